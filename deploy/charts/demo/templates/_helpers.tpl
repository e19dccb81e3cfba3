{{- define "demo.fullname" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "demo.rabbitmq" -}}
{{- include "demo.fullname" . }}-rabbitmq
{{- end -}}

{{- define "demo.secret" -}}
{{- default (include "demo.rabbitmq" .) .Values.auth.existingSecret -}}
{{- end -}}

{{- /* (dict "root" $ "component" NAME) */ -}}
{{- define "demo.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "demo.labels" -}}
{{ include "demo.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "demo.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* The pool's `queue`; the publisher has the same. */ -}}
{{- define "demo.queue" -}}
rabbitmq:
  url: amqp://{{ include "demo.rabbitmq" . }}.{{ .Release.Namespace }}.svc:5672
  credentials: {secret: {{ include "demo.secret" . | quote }}}
  queue: {{ .Values.queue.name | quote }}
  management: http://{{ include "demo.rabbitmq" . }}.{{ .Release.Namespace }}.svc:15672
  declare: {type: {{ .Values.queue.type }}}
{{- end -}}

{{- define "demo.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "demo.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* The publisher's pod: makes the queues, as soon as RabbitMQ is there, then publishes. */ -}}
{{- define "demo.publisher" -}}
{{- $container := printf "image: %s\nimagePullPolicy: %s" (include "demo.image" . | quote) .Values.image.pullPolicy -}}
restartPolicy: OnFailure
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "demo.podSecurity" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
initContainers:
  - name: declare
    {{- $container | nindent 4 }}
    # Standard input is empty: the queues are made, nothing is published. It is tried until RabbitMQ answers.
    args: [publish, --declare]
    env: {{- include "demo.publisherEnv" . | nindent 6 }}
    volumeMounts: {{- include "demo.secretMount" . | nindent 6 }}
    resources: {{- toYaml .Values.worker.resources | nindent 6 }}
    securityContext: {{- include "demo.containerSecurity" . | nindent 6 }}
containers:
  - name: publish
    {{- $container | nindent 4 }}
    args: [publish, --count, $(MESSAGES), --output, json]
    env:
      - {name: MESSAGES, value: {{ .Values.publisher.messages | quote }}}
      {{- include "demo.publisherEnv" . | nindent 6 }}
    volumeMounts: {{- include "demo.secretMount" . | nindent 6 }}
    resources: {{- toYaml .Values.worker.resources | nindent 6 }}
    securityContext: {{- include "demo.containerSecurity" . | nindent 6 }}
volumes:
  - name: credentials
    secret: {secretName: {{ include "demo.secret" . | quote }}, defaultMode: 0440}
{{- end -}}

{{- define "demo.publisherEnv" -}}
- name: SLUICE_QUEUE
  value: {{ dict "queue" (include "demo.queue" . | fromYaml) | toJson | quote }}
- {name: SLUICE_SECRETS, value: /var/run/secrets/sluice.dev}
{{- end -}}

{{- define "demo.secretMount" -}}
- {name: credentials, mountPath: /var/run/secrets/sluice.dev/{{ include "demo.secret" . }}, readOnly: true}
{{- end -}}
