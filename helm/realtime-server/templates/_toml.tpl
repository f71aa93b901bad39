{{- /*
Settings as TOML. Not `toToml`, which writes every number as a float: 2000000 as 2e+06, which is no whole number to the
server. Numbers and quoted text look the same in JSON and TOML.
*/ -}}

{{- define "realtime.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{ . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end -}}

{{- define "realtime.toml.value" -}}
{{- if kindIs "map" . -}}
{{- $items := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $items = append $items (printf "%s = %s" (include "realtime.toml.key" $key) (include "realtime.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{ {{ join ", " $items }} }
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
{{- $items = append $items (include "realtime.toml.value" .) -}}
{{- end -}}
[{{ join ", " $items }}]
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}

{{- /*
A section and those below it; takes its path, as it stands in the heading, and its keys. What is null is unset. A section
that only has further sections needs no heading.
*/ -}}
{{- define "realtime.toml.section" -}}
{{- $path := .path -}}
{{- $lines := list -}}
{{- $sections := dict -}}
{{- range $key, $value := .keys -}}
{{- $name := include "realtime.toml.key" $key -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $sections $name $value -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $lines = append $lines (printf "%s = %s" $name (include "realtime.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{{- if and $path (or $lines (not $sections)) }}
[{{ $path }}]
{{ end -}}
{{- range $lines }}{{ . }}
{{ end -}}
{{- range $name, $keys := $sections -}}
{{- include "realtime.toml.section" (dict "path" (ternary (printf "%s.%s" $path $name) $name (ne $path "")) "keys" $keys) -}}
{{- end -}}
{{- end -}}
