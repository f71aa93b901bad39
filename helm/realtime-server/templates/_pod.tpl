{{- /* What the pods of the chart have in common. Everything keeps to the pod security standard «restricted». */ -}}

{{- define "realtime.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "realtime.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- /*
How a container is asked whether it is up: at its internal port. Without one, with PROXY protocol, the kubelet may be in a
network whose connections must begin with a header, which it does not send; the program in the pod asks over the loopback
address instead.
*/ -}}
{{- define "realtime.probe" -}}
{{- $root := index . 0 -}}
{{- $path := index . 1 -}}
{{- $scheme := include "realtime.scheme" $root -}}
{{- if include "realtime.internalPort" $root -}}
httpGet:
  path: {{ $path }}
  port: internal
{{- else if dig "server" "proxy_protocol_from" list $root.Values.config -}}
exec:
  command:
    - realtime-server
    - health
    - --url={{ $scheme }}://127.0.0.1:{{ include "realtime.port" $root }}{{ $path }}
{{- else -}}
httpGet:
  path: {{ $path }}
  port: http
  scheme: {{ upper $scheme }}
{{- end -}}
{{- end -}}

{{- define "realtime.spread" -}}
{{- if kindIs "invalid" .Values.topologySpreadConstraints -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "realtime.selector" $ | nindent 6 }}
  {{- if semverCompare ">=1.27-0" $.Capabilities.KubeVersion.Version }}
  # Of one version of the pods each: the old ones go anyway.
  matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- else -}}
{{ toYaml .Values.topologySpreadConstraints }}
{{- end -}}
{{- end -}}
