{{/* What every pod has: no token of the cluster, a plain user, the default seccomp profile. Takes (list $ "component"). */}}
{{- define "millrace.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "millrace.name" . }}
automountServiceAccountToken: false
# else Kubernetes would set MILLRACE_* variables of its own, named after our Services
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $root.Values.podSecurity.uid }}
  runAsGroup: {{ $root.Values.podSecurity.gid }}
  fsGroup: {{ $root.Values.podSecurity.gid }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Spreads the pods of a component over zones and nodes. Takes (list $ "component"). */}}
{{- define "millrace.spread" -}}
{{- $context := . -}}
topologySpreadConstraints:
{{- range (index . 0).Values.scheduling.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "millrace.selector" $context | nindent 8 }}
{{- end }}
{{- end -}}

{{/* What every container has. */}}
{{- define "millrace.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* A variable from a Secret. Takes (list "VARIABLE" "secret" "key"). */}}
{{- define "millrace.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end -}}

{{/* A variable from the settings. Takes (list $ "VARIABLE" "key"). */}}
{{- define "millrace.settingEnv" -}}
- name: {{ index . 1 }}
  valueFrom:
    configMapKeyRef:
      name: {{ include "millrace.name" (list (index . 0) "settings") }}
      key: {{ index . 2 }}
{{- end -}}

{{/* Where the object store is, with the keys of a Secret. Takes (list $ .Values.secrets.s3). */}}
{{- define "millrace.s3Env" -}}
{{- $root := index . 0 -}}
{{- $secret := index . 1 -}}
{{ include "millrace.settingEnv" (list $root "MILLRACE_S3_ENDPOINT" "s3-endpoint") }}
{{ include "millrace.settingEnv" (list $root "MILLRACE_S3_REGION" "s3-region") }}
{{ include "millrace.settingEnv" (list $root "MILLRACE_S3_BUCKET" "s3-bucket") }}
{{ include "millrace.secretEnv" (list "MILLRACE_S3_ACCESS_KEY_ID" $secret.name $secret.accessKeyId) }}
{{ include "millrace.secretEnv" (list "MILLRACE_S3_SECRET_ACCESS_KEY" $secret.name $secret.secretAccessKey) }}
{{- end -}}
