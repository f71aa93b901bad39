{{- /* Settings that the server would refuse, or that do not belong into a ConfigMap. The first problem ends the rendering. */ -}}

{{- /* Secrets among the settings, in a section of this path. The schema lets them pass, whose error would be that of a misspelt key. */ -}}
{{- define "realtime.validate.secrets" -}}
{{- $known := include "realtime.settings.secrets" . | fromJsonArray -}}
{{- range $key, $value := .keys -}}
{{- $path := ternary (printf "%s.%s" $.path $key) $key (ne $.path "") -}}
{{- if and (has (regexReplaceAll "^tenants\\.[^.]*\\." $path "tenants.*.") $known) (not (kindIs "invalid" $value)) -}}
{{- fail (printf "config.%s is a secret, and config becomes a ConfigMap: put it into a Secret, and name that in secrets.existing, \"%s\": {name: …}; for a trial, into secrets.values" $path $path) -}}
{{- else if kindIs "map" $value -}}
{{- include "realtime.validate.secrets" (dict "path" $path "keys" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "realtime.validate.settings" -}}
{{- $internal := include "realtime.internalPort" . -}}
{{- if and $internal (eq $internal (include "realtime.port" .)) -}}
{{- fail (printf "config.server.port and config.server.internal.port are both %s: the internal port needs one of its own" $internal) -}}
{{- end -}}
{{- $certificate := (include "realtime.setting" (dict "root" . "key" "server.tls.cert_file") | fromJson).value -}}
{{- $key := (include "realtime.setting" (dict "root" . "key" "server.tls.key_file") | fromJson).value -}}
{{- if and (not .Values.tls.existingSecret) (ne (empty $certificate) (empty $key)) -}}
{{- fail "config.server.tls.cert_file and config.server.tls.key_file are needed together; or let tls.existingSecret name a Secret with both" -}}
{{- end -}}
{{- $hasAddress := or (include "realtime.secrets.has" (list . "telemetry.push.url")) (include "realtime.extraEnv.has" (list . "telemetry.push.url" "METRICS_PUSHER_URL")) -}}
{{- if and (include "realtime.setting" (dict "root" . "key" "telemetry.push.enabled") | fromJson).value (not $hasAddress) -}}
{{- fail "config.telemetry.push.enabled needs the address that metrics are pushed to: give secrets.existing a \"telemetry.push.url\"" -}}
{{- end -}}
{{- $namespace := (include "realtime.setting" (dict "root" . "key" "telemetry.cloudwatch.namespace") | fromJson).value | default "" -}}
{{- if hasPrefix "AWS/" $namespace -}}
{{- fail (printf "config.telemetry.cloudwatch.namespace is %q, but namespaces that begin with AWS/ are those of AWS itself" $namespace) -}}
{{- end -}}
{{- $dimensions := (include "realtime.setting" (dict "root" . "key" "telemetry.cloudwatch.dimensions") | fromJson).value -}}
{{- range $name, $value := ternary $dimensions dict (kindIs "map" $dimensions) -}}
{{- if or (eq (trim $name) "") (hasPrefix ":" $name) (eq (trim (toString $value)) "") -}}
{{- fail (printf "config.telemetry.cloudwatch.dimensions has %q: %q, but a dimension needs a name, not `:` first, and a value" $name (toString $value)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
