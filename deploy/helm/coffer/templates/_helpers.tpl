{{- define "coffer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Claims and headless services have it with something behind: 52 characters leave room for that. */}}
{{- define "coffer.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "coffer.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "coffer.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "coffer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "coffer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "coffer.labels" -}}
{{ include "coffer.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "coffer.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "coffer.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: where none is made, say which one coffer uses" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "coffer.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "coffer.scheme" -}}
{{- ternary "HTTP" "HTTPS" .Values.insecureHttp -}}
{{- end -}}

{{- define "coffer.replicas" -}}
{{- eq .Values.mode "jetstream" | ternary (default 3 .Values.replicas) 1 -}}
{{- end -}}

{{/* "yes" if the pod speaks to the API server. */}}
{{- define "coffer.asksKubernetes" -}}
{{- range .Values.backends }}{{ if eq .kind "kubernetes" }}yes{{ end }}{{ end -}}
{{- end -}}

{{/*
The Secrets with which coffer goes elsewhere, each a file in /run/coffer/credentials: a list of {file, name, key}.
What is named twice is mounted twice: each setting has a file of its own.
*/}}
{{- define "coffer.credentials" -}}
{{- $files := list -}}
{{- $doors := list -}}
{{- if eq .Values.mode "jetstream" -}}{{- $doors = append $doors (list "storage" .Values.storage) -}}{{- end -}}
{{- if .Values.nats.servers -}}{{- $doors = append $doors (list "nats" .Values.nats) -}}{{- end -}}
{{- range $doors -}}
{{- $section := index . 0 -}}
{{- $door := index . 1 -}}
{{- range $setting, $file := dict "creds" "creds" "nkey" "nk" "ca" "ca.pem" "systemCreds" "system.creds" -}}
{{- with index $door $setting -}}
{{- $files = append $files (dict "file" (printf "%s.%s" $section $file) "name" .name "key" .key) -}}
{{- end -}}
{{- end -}}
{{- with $door.tlsSecret -}}
{{- $files = append $files (dict "file" (printf "%s.crt" $section) "name" . "key" "tls.crt") -}}
{{- $files = append $files (dict "file" (printf "%s.key" $section) "name" . "key" "tls.key") -}}
{{- end -}}
{{- end -}}
{{- range .Values.backends -}}
{{- if .ca -}}
{{- $files = append $files (dict "file" (printf "backend-%s.ca.pem" .name) "name" .ca.name "key" .ca.key) -}}
{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{/* How a NATS is reached, as coffer's configuration has it: (list SECTION VALUES). */}}
{{- define "coffer.reach" -}}
{{- $section := index . 0 -}}
{{- $door := index . 1 -}}
{{- $at := printf "/run/coffer/credentials/%s" $section -}}
{{- $reach := dict "servers" $door.servers -}}
{{- if $door.creds -}}{{- $_ := set $reach "creds" (printf "%s.creds" $at) -}}{{- end -}}
{{- if $door.nkey -}}{{- $_ := set $reach "nkey" (printf "%s.nk" $at) -}}{{- end -}}
{{- $tls := dict -}}
{{- if $door.ca -}}{{- $_ := set $tls "ca" (printf "%s.ca.pem" $at) -}}{{- end -}}
{{- if $door.tlsSecret -}}
{{- $_ := set $tls "cert" (printf "%s.crt" $at) -}}
{{- $_ := set $tls "key" (printf "%s.key" $at) -}}
{{- end -}}
{{- if $tls -}}{{- $_ := set $reach "tls" $tls -}}{{- end -}}
{{- toJson $reach -}}
{{- end -}}

{{/* coffer.yaml. What stands in it is nobody's secret. */}}
{{- define "coffer.config" -}}
{{- $values := .Values -}}
{{- $config := dict "listen" "0.0.0.0:2633" "stateDir" "/var/lib/coffer/state" "logLevel" $values.logLevel -}}
{{- $key := printf "file:/run/coffer/root-key/%s" $values.rootKey.key -}}
{{- $_ := set $config "rootKey" (eq $values.rootKey.kind "file" | ternary $key (printf "%s:%s" $values.rootKey.kind $key)) -}}
{{- if $values.insecureHttp -}}
{{- $_ := set $config "insecureHttp" true -}}
{{- else -}}
{{- $_ := set $config "tls" (dict "cert" "/run/coffer/tls/tls.crt" "key" "/run/coffer/tls/tls.key") -}}
{{- end -}}
{{- with $values.publicUrl -}}{{- $_ := set $config "publicUrl" . -}}{{- end -}}
{{- $trust := dict -}}
{{- range $setting := list "operators" "accounts" "audiences" "clockSkewSeconds" "maxAgeSeconds" -}}
{{- with index $values.trust $setting -}}{{- $_ := set $trust $setting . -}}{{- end -}}
{{- end -}}
{{- if $values.trust.accountsConfigMap -}}{{- $_ := set $trust "resolver" (dict "folder" "/etc/coffer/accounts") -}}{{- end -}}
{{- if $trust -}}{{- $_ := set $config "trust" $trust -}}{{- end -}}
{{- $storage := dict "kind" $values.mode -}}
{{- range $setting := list "quotaBytes" "minFreeBytes" -}}
{{- if hasKey $values.storage $setting -}}{{- $_ := set $storage $setting (index $values.storage $setting | int64) -}}{{- end -}}
{{- end -}}
{{- if eq $values.mode "jetstream" -}}
{{- $storage = merge $storage (include "coffer.reach" (list "storage" $values.storage) | fromJson) -}}
{{- if $values.storage.systemCreds -}}{{- $_ := set $storage "systemCreds" "/run/coffer/credentials/storage.system.creds" -}}{{- end -}}
{{- range $setting := list "maxBytes" "auditMaxBytes" "replicas" -}}
{{- if hasKey $values.storage $setting -}}{{- $_ := set $storage $setting (index $values.storage $setting | int64) -}}{{- end -}}
{{- end -}}
{{- range $setting := list "bucket" "placement" "syncAlways" "allowLazySync" "consistency" "stale" -}}
{{- with index $values.storage $setting -}}{{- $_ := set $storage $setting . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "storage" $storage -}}
{{- if $values.nats.servers -}}
{{- $nats := include "coffer.reach" (list "nats" $values.nats) | fromJson -}}
{{- if $values.nats.allowOpen -}}{{- $_ := set $nats "allowOpen" true -}}{{- end -}}
{{- $_ := set $config "nats" $nats -}}
{{- $_ := set $config "wasmcloud" $values.wasmcloud -}}
{{- end -}}
{{- $backends := list -}}
{{- range $values.backends -}}
{{- $backend := omit . "ca" -}}
{{- if .ca -}}
{{- $file := printf "/run/coffer/credentials/backend-%s.ca.pem" .name -}}
{{- $backend = set $backend "settings" (merge (dict "ca" $file) .settings) -}}
{{- end -}}
{{- $backends = append $backends $backend -}}
{{- end -}}
{{- with $backends -}}{{- $_ := set $config "backends" . -}}{{- end -}}
{{- with $values.audit -}}{{- $_ := set $config "audit" . -}}{{- end -}}
{{- with $values.retention -}}{{- $_ := set $config "retention" . -}}{{- end -}}
{{- with $values.limits -}}{{- $_ := set $config "limits" . -}}{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What the schema cannot say in a sentence. */}}
{{- define "coffer.check" -}}
{{- $values := .Values -}}
{{- if not $values.rootKey.existingSecret -}}
{{- fail "rootKey.existingSecret: make a Secret with the root key first (docs/deploy.md says how), and name it here" -}}
{{- end -}}
{{- if and (not $values.tls.existingSecret) (not $values.insecureHttp) -}}
{{- fail "tls.existingSecret: name the Secret with the certificate, or say insecureHttp: true, where a mesh encrypts" -}}
{{- end -}}
{{- if and (eq $values.mode "jetstream") (not $values.storage.servers) -}}
{{- fail "storage.servers: say where the NATS of the store is, such as [\"tls://nats.nats.svc:4222\"]" -}}
{{- end -}}
{{- if and $values.backends (not $values.nats.servers) -}}
{{- fail "nats.servers: backends are served over NATS; say where that is" -}}
{{- end -}}
{{- $names := list $values.wasmcloud.name -}}
{{- range $values.backends -}}
{{- if has .name $names -}}
{{- fail (printf "backends: %s is the name of another one, or wasmcloud.name, by which coffer's own store is served" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if and (eq $values.mode "embedded") (ne (int (default 1 $values.replicas)) 1) -}}
{{- fail "replicas: an embedded store has one instance; several share a store in mode: jetstream" -}}
{{- end -}}
{{- include "coffer.checkVault" . -}}
{{- include "coffer.checkKubernetes" . -}}
{{- end -}}

{{/* What coffer refuses of a Vault at its start. */}}
{{- define "coffer.checkVault" -}}
{{- $audiences := dict -}}
{{- range .Values.backends -}}
{{- if eq .kind "vault" -}}
{{- $settings := .settings -}}
{{- $address := lower (default "" $settings.address) -}}
{{- if and (hasPrefix "http:" $address) (not $settings.insecureHttp) (not (regexMatch "^http://(localhost|127(\\.[0-9]{1,3}){3}|\\[::1\\])([:/]|$)" $address)) -}}
{{- fail (printf "backends: %s: settings.address: without TLS everybody on the way reads the secrets, and can be anybody to Vault: write https://, or say settings.insecureHttp: true, where a mesh encrypts" .name) -}}
{{- end -}}
{{- $audience := default "Vault" $settings.audience -}}
{{- $asks := dict "name" .name "same" (toJson (list (default "lineage" .trust) (default "required" .grants) (default dict $settings.applicationHosts))) -}}
{{- with index $audiences $audience -}}
{{- if ne .same $asks.same -}}
{{- fail (printf "backends: %s: settings.audience: it is that of %s, too, which has another trust, grants or settings.applicationHosts: who is let in by one of them would be let in by the other. Give each an audience of its own, and bind it in Vault (bound_audiences)" $asks.name .name) -}}
{{- end -}}
{{- else -}}
{{- $_ := set $audiences $audience $asks -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secrets of the release's own namespace that make coffer what it is: a list of names. */}}
{{- define "coffer.ownSecrets" -}}
{{- $names := list .Values.rootKey.existingSecret .Values.tls.existingSecret -}}
{{- range include "coffer.credentials" . | fromJsonArray -}}{{- $names = append $names .name -}}{{- end -}}
{{- with .Values.serviceMonitor.token -}}{{- $names = append $names .name -}}{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* coffer refuses most of it at its start, when the rights that RBAC gives it have been made. */}}
{{- define "coffer.checkKubernetes" -}}
{{- $own := include "coffer.ownSecrets" . | fromJsonArray -}}
{{- $release := .Release.Namespace -}}
{{- range .Values.backends -}}
{{- if eq .kind "kubernetes" -}}
{{- $at := printf "backends: %s:" .name -}}
{{- $grants := .grants -}}
{{- $settings := .settings -}}
{{- if not (or $settings.impersonation $settings.direct) -}}
{{- fail (printf "%s it lets nobody read anything: write settings.impersonation, or settings.direct: true with settings.secretNames" $at) -}}
{{- end -}}
{{- range $settings.impersonation -}}
{{- if not (or .applications .hosts .entities) -}}
{{- fail (printf "%s a rule says for whom it is, in applications, hosts or entities; entities: [\"*\"] is for all that the backend believes" $at) -}}
{{- end -}}
{{- if and (eq (default "required" $grants) "upstream") (not .entities) -}}
{{- fail (printf "%s with grants: upstream a rule says in entities for whom it is, since applications and hosts are what hosts say; [\"*\"] is for all that the backend believes" $at) -}}
{{- end -}}
{{- if has "system:masters" (default list .groups) -}}
{{- fail (printf "%s who is in system:masters may do everything in the cluster: nobody gets it here" $at) -}}
{{- end -}}
{{- range .users -}}
{{- if hasPrefix "system:serviceaccount:" . -}}
{{- fail (printf "%s users: %s is a service account: write it into serviceAccounts, as NAMESPACE/NAME" $at .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $settings.direct (not $settings.secretNames) -}}
{{- fail (printf "%s direct: say in settings.secretNames which Secrets policies that name nobody read; [\"*\"] is all of the namespace" $at) -}}
{{- end -}}
{{- if and $settings.secretNames (not $settings.direct) -}}
{{- fail (printf "%s settings.secretNames are those that direct: true lets policies read, and it is not there" $at) -}}
{{- end -}}
{{- if and $settings.direct (eq (default "default" $settings.namespace) $release) -}}
{{- range $settings.secretNames -}}
{{- if eq . "*" -}}
{{- fail (printf "%s direct: %s is the namespace of coffer's own root key, certificate and credentials: name in settings.secretNames those that others may have, or keep them elsewhere" $at $release) -}}
{{- end -}}
{{- if has . $own -}}
{{- fail (printf "%s direct: the Secret %s is coffer's own: who has it is coffer, or reads all that coffer keeps" $at .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
