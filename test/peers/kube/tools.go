//go:build tools

// Package kube pins the version of Kubernetes whose API server the tests run.
package kube

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
