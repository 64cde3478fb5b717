{{/* Name of an object: <release>-<component>. Takes (list $ "component"). */}}
{{- define "millrace.name" -}}
{{- printf "%s-%s" (index . 0).Release.Name (index . 1) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that find the pods of a component; they can never change. Takes (list $ "component"). */}}
{{- define "millrace.selector" -}}
app.kubernetes.io/name: millrace
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of every object. Takes (list $ "component"). */}}
{{- define "millrace.labels" -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/part-of: millrace
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
{{- end -}}

{{/* Name and labels under `metadata:`. Takes (list $ "name" "component"). */}}
{{- define "millrace.metadata" -}}
name: {{ include "millrace.name" (list (index . 0) (index . 1)) }}
namespace: {{ (index . 0).Release.Namespace }}
labels:
  {{- include "millrace.labels" (list (index . 0) (index . 2)) | nindent 2 }}
{{- end -}}

{{/* Whole name of an image. Takes (list $ "image"). */}}
{{- define "millrace.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $name := printf "%s/%s" $root.Values.image.repository $image -}}
{{- if $root.Values.image.registry }}{{ $name = printf "%s/%s" $root.Values.image.registry $name }}{{ end -}}
{{- with index $root.Values.image.digests $image -}}
{{ $name }}@{{ . }}
{{- else -}}
{{ $name }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}
