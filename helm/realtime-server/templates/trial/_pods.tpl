{{- /*
A pod of PostgreSQL or Redis with its Service, for trials: no backup, and its data are lost with the pod. Takes the
context, the component, the port, the user that its image runs as, and the rest of its container.
*/ -}}
{{- define "realtime.trial" -}}
{{- $name := printf "%s-%s" (include "realtime.fullname" .root) .component -}}
{{- $selector := printf "app.kubernetes.io/name: %s\napp.kubernetes.io/instance: %s\napp.kubernetes.io/component: %s" (include "realtime.name" .root) .root.Release.Name .component -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{- include "realtime.commonLabels" .root | nindent 4 }}
spec:
  selector: {{- $selector | nindent 4 }}
  ports:
    - { name: {{ .component }}, port: {{ .port }}, protocol: TCP, targetPort: {{ .component }} }
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- include "realtime.commonLabels" .root | nindent 4 }}
spec:
  replicas: 1
  strategy: { type: Recreate }
  selector:
    matchLabels: {{- $selector | nindent 6 }}
  template:
    metadata:
      labels: {{- $selector | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {{- include "realtime.podSecurity" .user | nindent 8 }}
      containers:
        - name: {{ .component }}
          image: {{ .image }}
          ports:
            - { name: {{ .component }}, containerPort: {{ .port }}, protocol: TCP }
          readinessProbe:
            tcpSocket: { port: {{ .component }} }
          resources:
            requests: { cpu: 100m, memory: 128Mi }
            limits: { memory: 512Mi }
          securityContext: {{- include "realtime.containerSecurity" . | nindent 12 }}
          {{- .container | nindent 10 }}
      volumes:
        {{- range .folders }}
        - name: {{ . }}
          emptyDir: { sizeLimit: 1Gi }
        {{- end }}
{{- end -}}
