{{- define "aftertone.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "aftertone.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Selector of the pods of a process: {root, process}. */}}
{{- define "aftertone.processSelector" -}}
{{ include "aftertone.selector" .root }}
app.kubernetes.io/component: {{ .process }}
{{- end }}

{{- define "aftertone.labels" -}}
{{ include "aftertone.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "aftertone.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The enabled Deployments by process, with their values. */}}
{{- define "aftertone.deployments" -}}
{{- $enabled := dict "api" .Values.api "relay" .Values.relay }}
{{- range $channel, $values := .Values.notifiers }}
{{- if $values.enabled }}{{ $_ := set $enabled $channel $values }}{{ end }}
{{- end }}
{{- toYaml $enabled }}
{{- end }}

{{/* Stop timeout of a process in seconds, rounded up. */}}
{{- define "aftertone.stopSeconds" -}}
{{- ceil (get .Values.settings "stop_timeout_s" | default 55) | int }}
{{- end }}

{{/* List of the processes with a need: {root, need}. */}}
{{- define "aftertone.needing" -}}
{{- range $process, $facts := include "aftertone.processes" .root | fromYaml }}
{{- if has $.need $facts.needs }}
- {{ $process }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Pod of a process: {root, process, values, serviceAccount, container}. `values` are the values of the
process; `container` adds ports, probes and the preStop pause of a long-running process.
*/}}
{{- define "aftertone.pod" -}}
{{- $pod := .root.Values.pod }}
{{- $secrets := .root.Values.secrets }}
{{- $facts := get (include "aftertone.processes" .root | fromYaml) .process }}
{{- $needs := $facts.needs }}
{{- $ring := include "aftertone.keyRing" . | fromYaml }}
serviceAccountName: {{ .serviceAccount }}
# No process uses the Kubernetes API. A workload identity mounts its own token.
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # Group that may read the mounted Secrets.
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
containers:
  - name: {{ .process }}
    image: {{ include "aftertone.image" .root | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: {{- toYaml $facts.args | nindent 6 }}
    env:
      {{- if .container }}
      - {name: AFTERTONE_ADMIN_HOST, value: "0.0.0.0"}
      - {name: AFTERTONE_ADMIN_PORT, value: "9090"}
      {{- end }}
      {{- if eq .process "api" }}
      - {name: AFTERTONE_HOST, value: "0.0.0.0"}
      - {name: AFTERTONE_PORT, value: "8000"}
      {{- end }}
      {{- include "aftertone.env" . | trim | nindent 6 }}
      {{- with .values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with .container }}
    {{- . | nindent 4 }}
    {{- end }}
    resources: {{- toYaml .values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      # Spool of uploads above 1 MB.
      - {name: tmp, mountPath: /tmp}
      {{- if $ring }}
      - {name: key-ring, mountPath: /etc/aftertone/key-ring, readOnly: true}
      {{- end }}
      {{- if and (has "nats" $needs) $secrets.natsCredentials.name }}
      - {name: nats, mountPath: /etc/aftertone/nats, readOnly: true}
      {{- end }}
      {{- with $pod.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: {{ $pod.tmpSizeLimit }}}
  {{- if $ring }}
  - name: key-ring
    secret: {secretName: {{ $ring.name | quote }}, defaultMode: 0440}
  {{- end }}
  {{- if and (has "nats" $needs) $secrets.natsCredentials.name }}
  - name: nats
    secret: {secretName: {{ $secrets.natsCredentials.name | quote }}, defaultMode: 0440}
  {{- end }}
  {{- with $pod.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $pod.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Labels and annotations of a pod: {root, process}. */}}
{{- define "aftertone.podMetadata" -}}
labels:
  {{- include "aftertone.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .process }}
  {{- with .root.Values.pod.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.pod.annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Service account of a process: the one with access to the audio store, or the one without rights. */}}
{{- define "aftertone.serviceAccount" -}}
{{- $needs := (get (include "aftertone.processes" .root | fromYaml) .process).needs }}
{{- include "aftertone.fullname" .root }}{{ if has "s3" $needs }}-storage{{ end }}
{{- end }}
