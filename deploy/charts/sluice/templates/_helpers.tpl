{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "sluice.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ include "sluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sluice.adapter.name" -}}
{{- include "sluice.fullname" . }}-adapter
{{- end -}}

{{- define "sluice.adapter.selector" -}}
app.kubernetes.io/name: {{ include "sluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: adapter
{{- end -}}

{{- define "sluice.adapter.labels" -}}
{{ include "sluice.adapter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sluice.adapter.account" -}}
{{- default (include "sluice.adapter.name" .) .Values.adapter.serviceAccount.name -}}
{{- end -}}

{{- define "sluice.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "sluice.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "sluice.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "sluice.lease" -}}
{{- default (include "sluice.fullname" .) .Values.lease.name -}}
{{- end -}}

{{- /* The namespaces whose pools it acts on, as a JSON list; empty: all of them. */ -}}
{{- define "sluice.namespaces" -}}
{{- if eq .Values.scope "cluster" -}}
[]
{{- else -}}
{{- default (list .Release.Namespace) .Values.namespaces | uniq | toJson -}}
{{- end -}}
{{- end -}}

{{- /* Exactly what the controller does, wherever its pools are. */ -}}
{{- define "sluice.rules" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete{{ if .Values.deploymentFleet.enabled }}, patch{{ end }}]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
- apiGroups: [sluice.dev]
  resources: [workerpools]
  verbs: [get, list, watch]
- apiGroups: [sluice.dev]
  resources: [workerpools/status]
  verbs: [get, update, patch]
{{- if .Values.deploymentFleet.enabled }}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [update]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
{{- end }}
{{- with .Values.credentials.read }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get]
{{- end }}
{{- end -}}

{{- define "sluice.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "sluice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* What a schema cannot say. */ -}}
{{- define "sluice.check" -}}
{{- $adapter := .Values.adapter -}}
{{- if and $adapter.enabled (not $adapter.pools) (not $adapter.monitoring.enabled) (not $adapter.queues) -}}
{{- fail "adapter: it has no numbers to serve; set pools or monitoring.enabled" -}}
{{- end -}}
{{- if and $adapter.certificate (not $adapter.caBundle) -}}
{{- fail "adapter.caBundle: missing; with a certificate of your own it is the authority's PEM in base64" -}}
{{- end -}}
{{- if and $adapter.caBundle (not $adapter.certificate) -}}
{{- fail "adapter.caBundle: goes with adapter.certificate; without one the adapter writes its own there" -}}
{{- end -}}
{{- if and (eq .Values.scope "cluster") .Values.namespaces -}}
{{- fail "namespaces: with scope cluster every namespace is meant; leave it empty, or take scope namespace" -}}
{{- end -}}
{{- if and .Values.credentials.read .Values.credentials.mount -}}
{{- fail "credentials: read or mount, not both: mounted ones are read from their files alone" -}}
{{- end -}}
{{- end -}}
