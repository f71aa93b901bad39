{{- /*
Secrets are files below /run/secrets/realtime, named after their settings; variables name the files. They come from a
Secret of the chart (`secrets.values`, those that it makes up, trials) and from ones that exist (`secrets.existing`).
*/ -}}

{{- /* The text of one that the chart keeps: the one it has kept so far, else a new one of this length. */ -}}
{{- define "realtime.secrets.kept" -}}
{{- $root := index . 0 -}}
{{- $kept := lookup "v1" "Secret" $root.Release.Namespace (include "realtime.fullname" $root) -}}
{{- $found := get (default dict (get (default dict $kept) "data")) (index . 1) -}}
{{- if $found -}}{{ b64dec $found }}{{- else -}}{{ randAlphaNum (index . 2) }}{{- end -}}
{{- end -}}

{{- /* Name of a setting → text, of everything that the Secret of the chart holds but what it makes up, as JSON. */ -}}
{{- define "realtime.secrets.own" -}}
{{- $own := dict -}}
{{- range $name, $value := .Values.secrets.values -}}
{{- $_ := set $own $name (kindIs "slice" $value | ternary (join "\n" $value) $value) -}}
{{- end -}}
{{- if .Values.trial.redis.enabled -}}
{{- $_ := set $own "bus.redis_url" (printf "redis://%s-redis:6379" (include "realtime.fullname" .)) -}}
{{- end -}}
{{- $own | toJson -}}
{{- end -}}

{{- /* Names of those that the chart makes up: keys of tokens where no other is given, and what a trial needs. */ -}}
{{- define "realtime.secrets.generated" -}}
{{- $names := list -}}
{{- $given := list . "auth.jwt_secret" "auth.jwt_secrets" "auth.jwt_jwks" "auth.jwks_url" -}}
{{- if .Values.secrets.generate -}}
{{- if not (include "realtime.secrets.has" $given) -}}{{- $names = append $names "auth.jwt_secret" -}}{{- end -}}
{{- if not (include "realtime.secrets.has" (list . "admin.jwt_secret" "admin.jwt_secrets")) -}}{{- $names = append $names "admin.jwt_secret" -}}{{- end -}}
{{- end -}}
{{- if .Values.trial.postgresql.enabled -}}
{{- $names = concat $names (list "store.encryption_key" "store.password") -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{- /* "yes" if one of these settings is given as a secret. */ -}}
{{- define "realtime.secrets.has" -}}
{{- $root := first . -}}
{{- $own := include "realtime.secrets.own" $root | fromJson -}}
{{- $has := "" -}}
{{- range rest . -}}
{{- if or (hasKey $own .) (hasKey $root.Values.secrets.existing .) -}}{{- $has = "yes" -}}{{- end -}}
{{- end -}}
{{- $has -}}
{{- end -}}

{{- /* The data of the Secret of the chart; takes the context, and a prefix that names must have. */ -}}
{{- define "realtime.secrets.data" -}}
{{- $root := index . 0 -}}
{{- $prefix := index . 1 -}}
{{- range $name, $value := include "realtime.secrets.own" $root | fromJson }}
{{- if hasPrefix $prefix $name }}
{{ $name }}: {{ $value | b64enc | quote }}
{{- end }}
{{- end }}
{{- range include "realtime.secrets.generated" $root | fromJsonArray }}
{{- if hasPrefix $prefix . }}
{{ . }}: {{ include "realtime.secrets.kept" (list $root . (eq . "store.encryption_key" | ternary 32 48)) | b64enc | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* All names, sorted, of those with this prefix. */ -}}
{{- define "realtime.secrets.names" -}}
{{- $root := index . 0 -}}
{{- $prefix := index . 1 -}}
{{- $all := concat (keys (include "realtime.secrets.own" $root | fromJson)) (keys $root.Values.secrets.existing) (include "realtime.secrets.generated" $root | fromJsonArray) -}}
{{- $names := list -}}
{{- range $all | uniq | sortAlpha -}}
{{- if hasPrefix $prefix . -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{- /* The variables that name the files. */ -}}
{{- define "realtime.secrets.env" -}}
{{- range include "realtime.secrets.names" . | fromJsonArray }}
- name: REALTIME__{{ . | replace "." "__" | upper }}_FILE
  value: /run/secrets/realtime/{{ . }}
{{- end }}
{{- end -}}

{{- /*
The sources of the projected volume, with secrets of this prefix and no others; takes the context, the prefix, and the name of
the Secret of the chart.
*/ -}}
{{- define "realtime.secrets.sources" -}}
{{- $root := index . 0 -}}
{{- $prefix := index . 1 -}}
{{- $own := concat (keys (include "realtime.secrets.own" $root | fromJson)) (include "realtime.secrets.generated" $root | fromJsonArray) -}}
{{- $items := list -}}
{{- range $own | uniq | sortAlpha -}}
{{- if hasPrefix $prefix . -}}{{- $items = append $items (dict "key" . "path" .) -}}{{- end -}}
{{- end -}}
{{- if $items }}
- secret:
    name: {{ index . 2 }}
    {{- if $prefix }}
    items: {{- toYaml $items | nindent 6 }}
    {{- end }}
{{- end }}
{{- range $name, $from := $root.Values.secrets.existing }}
{{- if hasPrefix $prefix $name }}
- secret:
    name: {{ $from.name }}
    items:
      - { key: {{ $from.key | default $name | quote }}, path: {{ $name | quote }} }
{{- end }}
{{- end }}
{{- end -}}
