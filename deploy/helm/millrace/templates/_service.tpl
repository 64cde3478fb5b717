{{/* Environment of a Node service. Takes (list $ "name" $service). */}}
{{- define "millrace.serviceEnv" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $service := index . 2 -}}
{{- $secrets := $root.Values.secrets -}}
- name: MILLRACE_HOST
  value: 0.0.0.0
- name: MILLRACE_PORT
  value: {{ $service.port | quote }}
{{ include "millrace.settingEnv" (list $root "MILLRACE_LOG_LEVEL" "log-level") }}
{{- if $root.Values.settings.otlpEndpoint }}
{{ include "millrace.settingEnv" (list $root "MILLRACE_OTLP_ENDPOINT" "otlp-endpoint") }}
{{- end }}
- name: MILLRACE_AUTH_MODE
  value: required
- name: MILLRACE_AUTH_PUBLIC_KEY_FILE
  value: /etc/millrace/keys/{{ $secrets.publicKeys.gateway }}
{{ include "millrace.secretEnv" (list "MILLRACE_DATABASE_URL" $secrets.database.name $secrets.database.url) }}
{{ include "millrace.secretEnv" (list "MILLRACE_NATS_URL" $secrets.nats.name $secrets.nats.servicesUrl) }}
{{ include "millrace.settingEnv" (list $root "MILLRACE_NATS_INBOX_PREFIX" "nats-inbox-prefix") }}
{{- if $service.s3 }}
{{ include "millrace.s3Env" (list $root $secrets.s3) }}
{{- if $root.Values.settings.s3PublicEndpoint }}
{{ include "millrace.settingEnv" (list $root "MILLRACE_S3_PUBLIC_ENDPOINT" "s3-public-endpoint") }}
{{- end }}
{{- end }}
{{- if eq $name "gateway" }}
{{ include "millrace.gatewayEnv" $root }}
{{- end }}
{{- if eq $name "registry" }}
- name: MILLRACE_SIGNING_KEY_FILE
  value: /etc/millrace/keys/{{ $secrets.registryKey.key }}
{{- end }}
{{- if or (eq $name "registry") (eq $name "inference") }}
- name: MILLRACE_SIGNING_PUBLIC_KEY_FILE
  value: /etc/millrace/keys/{{ $secrets.publicKeys.registry }}
{{- end }}
{{- if eq $name "inference" }}
- name: MILLRACE_GRPC_PORT
  value: {{ $service.grpcPort | quote }}
- name: MILLRACE_CACHE_DIR
  value: /data/cache
{{- end }}
{{- range $variable, $value := $service.env }}
- name: {{ $variable }}
  value: {{ $value | quote }}
{{- end }}
# stripped and compiled sources are kept, so that a restart of the container is faster
- name: NODE_COMPILE_CACHE
  value: /tmp/compile-cache
{{- end -}}

{{/* What only the gateway gets: its keys and where the services are. Takes $. */}}
{{- define "millrace.gatewayEnv" -}}
{{- $root := . -}}
- name: MILLRACE_AUTH_KEY_FILE
  value: /etc/millrace/keys/{{ .Values.secrets.gatewayKey.key }}
- name: MILLRACE_BOOTSTRAP_TOKEN_FILE
  value: /etc/millrace/keys/{{ .Values.secrets.gatewayKey.token }}
{{- if .Values.oidcIssuers }}
- name: MILLRACE_OIDC_ISSUERS_FILE
  value: /etc/millrace/oidc/issuers.json
{{- end }}
{{- range $name, $service := .Values.services }}
{{- if ne $name "gateway" }}
- name: MILLRACE_UPSTREAM_{{ $name | upper | replace "-" "_" }}
  value: http://{{ include "millrace.name" (list $root $name) }}:{{ $service.port }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Files that a service reads: public keys, and the private one of its own. Takes (list $ "name"). */}}
{{- define "millrace.keySources" -}}
{{- $secrets := (index . 0).Values.secrets -}}
{{- $name := index . 1 -}}
- secret:
    name: {{ $secrets.publicKeys.name }}
{{- if eq $name "gateway" }}
- secret:
    name: {{ $secrets.gatewayKey.name }}
{{- end }}
{{- if eq $name "registry" }}
- secret:
    name: {{ $secrets.registryKey.name }}
{{- end }}
{{- end -}}

{{/* Container of a Node service. Takes (list $ "name" $service). */}}
{{- define "millrace.serviceContainer" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $service := index . 2 -}}
- name: {{ $name }}
  image: {{ include "millrace.image" (list $root $name) }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  securityContext:
    {{- include "millrace.containerSecurity" $root | nindent 4 }}
  env:
    {{- include "millrace.serviceEnv" . | nindent 4 }}
  ports:
    - name: http
      containerPort: {{ $service.port }}
      protocol: TCP
    {{- with $service.grpcPort }}
    - name: grpc
      containerPort: {{ . }}
      protocol: TCP
    {{- end }}
  # migrations and connections come before the first answer
  startupProbe:
    httpGet: { path: /health/live, port: http }
    periodSeconds: 2
    timeoutSeconds: 3
    failureThreshold: 90
  livenessProbe:
    httpGet: { path: /health/live, port: http }
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  # its own checks give up after 2 s
  readinessProbe:
    httpGet: { path: /health/ready, port: http }
    periodSeconds: 5
    timeoutSeconds: 4
    failureThreshold: {{ $service.readinessFailures }}
  lifecycle:
    preStop:
      sleep: { seconds: {{ $root.Values.drainSeconds }} }
  resources:
    {{- toYaml $service.resources | nindent 4 }}
  volumeMounts:
    - { name: keys, mountPath: /etc/millrace/keys, readOnly: true }
    - { name: tmp, mountPath: /tmp }
    {{- if and (eq $name "gateway") $root.Values.oidcIssuers }}
    - { name: oidc, mountPath: /etc/millrace/oidc, readOnly: true }
    {{- end }}
    {{- if $service.stateful }}
    - { name: cache, mountPath: /data }
    - { name: shm, mountPath: /dev/shm }
    {{- end }}
{{- end -}}

{{/* Pod template of a Node service. Takes (list $ "name" $service). */}}
{{- define "millrace.servicePod" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $service := index . 2 -}}
metadata:
  labels:
    {{- include "millrace.labels" (list $root $name) | nindent 4 }}
  annotations:
    # a change of the settings restarts the pods
    millrace.dev/settings: {{ include "millrace.settingsDigest" $root }}
spec:
  {{- include "millrace.pod" (list $root $name) | nindent 2 }}
  {{- include "millrace.spread" (list $root $name) | nindent 2 }}
  # preStop, 25 s in which the service closes by itself, and some slack
  terminationGracePeriodSeconds: {{ add $root.Values.drainSeconds 35 }}
  {{- with $root.Values.scheduling.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.scheduling.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    {{- include "millrace.serviceContainer" . | nindent 4 }}
  volumes:
    - name: keys
      projected:
        # 0440
        defaultMode: 288
        sources:
          {{- include "millrace.keySources" (list $root $name) | nindent 10 }}
    - name: tmp
      emptyDir: { sizeLimit: {{ $service.tmpSize }} }
    {{- if and (eq $name "gateway") $root.Values.oidcIssuers }}
    - name: oidc
      configMap:
        name: {{ include "millrace.name" (list $root "oidc") }}
    {{- end }}
    {{- if $service.stateful }}
    - name: shm
      emptyDir: { medium: Memory, sizeLimit: {{ $service.shmSize }} }
    {{- end }}
{{- end -}}
