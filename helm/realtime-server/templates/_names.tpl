{{- /* Names and labels. */ -}}

{{- define "realtime.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- /* The release's name, with the chart's unless it contains it; 50 characters leave room for what objects append. */ -}}
{{- define "realtime.fullname" -}}
{{- $name := include "realtime.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* The labels by which the pods of the server are found; they never change. */ -}}
{{- define "realtime.selector" -}}
app.kubernetes.io/name: {{ include "realtime.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- /* The labels of the Service of the internal port. */ -}}
{{- define "realtime.internalSelector" -}}
app.kubernetes.io/name: {{ include "realtime.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: internal
{{- end -}}

{{- /* The labels of the pod of `helm test`, by which the NetworkPolicy admits it. */ -}}
{{- define "realtime.testSelector" -}}
app.kubernetes.io/name: {{ include "realtime.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}

{{- define "realtime.labels" -}}
{{ include "realtime.commonLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- /* For objects that do not belong to the server's pods. */ -}}
{{- define "realtime.commonLabels" -}}
app.kubernetes.io/name: {{ include "realtime.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "realtime.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The job of Prometheus: the name of the release, with «realtime», by which the alerts find it. */ -}}
{{- define "realtime.job" -}}
{{- $name := include "realtime.fullname" . -}}
{{- ternary $name (printf "realtime-%s" $name) (contains "realtime" $name) -}}
{{- end -}}

{{- /* What the server itself speaks: https with a certificate of its own. */ -}}
{{- define "realtime.scheme" -}}
{{- if or .Values.tls.existingSecret (dig "server" "tls" "cert_file" "" .Values.config) -}}https{{- else -}}http{{- end -}}
{{- end -}}

{{- define "realtime.service.port" -}}
{{- $hasTls := or (eq (include "realtime.scheme" .) "https") (and .Values.service.nlb.enabled (gt (len .Values.service.nlb.certificates) 0)) -}}
{{- .Values.service.port | default (ternary 443 80 $hasTls) -}}
{{- end -}}

{{- define "realtime.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "realtime.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- /* Whether an address is one by which only the pod itself reaches the server. */ -}}
{{- define "realtime.isLoopback" -}}
{{- if regexMatch "^(?i:::ffff:)?127\\.|^[0:]*:0*1$" (toString .) -}}yes{{- end -}}
{{- end -}}

{{- /* Who reaches the internal port, in words. */ -}}
{{- define "realtime.internalReach" -}}
{{- with .Values.networkPolicy -}}
{{- if not .enabled -}}
every pod of the cluster: networkPolicy.enabled is false
{{- else if and (kindIs "invalid" .internalFrom) (not .from) -}}
every pod of the cluster, until networkPolicy.internalFrom says who may reach it
{{- else if and (not .internalFrom) (not (kindIs "invalid" .internalFrom)) -}}
{{ ternary "the kubelet and the pod of helm test" "the kubelet alone" (eq (include "realtime.test.port" $) "internal") }}
{{- else -}}
those whom networkPolicy names
{{- end -}}
{{- end -}}
{{- end -}}
