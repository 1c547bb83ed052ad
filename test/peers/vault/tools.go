//go:build tools

// Package vault pins the version of Vault that the tests run.
package vault

import _ "github.com/hashicorp/vault"
