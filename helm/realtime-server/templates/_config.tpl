{{- /* The settings: what the operator gives in `config`, and what follows from other values. */ -}}

{{- /* The value of a key of the operator's settings by its dotted path, else its default, as JSON; {} without either. */ -}}
{{- define "realtime.setting" -}}
{{- $found := .root.Values.config -}}
{{- range splitList "." .key -}}
{{- $found = ternary (get (default dict $found) .) nil (kindIs "map" $found) -}}
{{- end -}}
{{- if or (kindIs "invalid" $found) (and (kindIs "string" $found) (eq $found "")) -}}
{{- $found = get (include "realtime.settings.defaults" . | fromJson) .key -}}
{{- end -}}
{{- dict "value" $found | toJson -}}
{{- end -}}

{{- define "realtime.port" -}}
{{- (include "realtime.setting" (dict "root" . "key" "server.port") | fromJson).value -}}
{{- end -}}

{{- /* The port for operators and for what watches the server; empty without one. */ -}}
{{- define "realtime.internalPort" -}}
{{- with dig "server" "internal" "port" 0 .Values.config -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "realtime.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $server := dict "data_dir" "/var/lib/realtime" -}}
{{- if .Values.tls.existingSecret -}}
{{- $_ := set $server "tls" (dict "cert_file" "/run/secrets/tls/tls.crt" "key_file" "/run/secrets/tls/tls.key") -}}
{{- end -}}
{{- $config = mergeOverwrite $config (dict "server" $server) -}}
{{- if .Values.trial.postgresql.enabled -}}
{{- $store := dict "host" (printf "%s-postgresql" (include "realtime.fullname" .)) "user" "postgres" "database" "realtime" "tls_mode" "off" -}}
{{- $config = mergeOverwrite $config (dict "store" $store) -}}
{{- end -}}
{{- if and .Release.IsUpgrade (include "realtime.migration.job" .) -}}
{{- $config = merge $config (dict "store" (dict "migrate" "never")) -}}
{{- end -}}
{{- include "realtime.toml.section" (dict "path" "" "keys" $config) | trim -}}
{{- end -}}

{{- /*
What replaces the pods when it changes: the operator's value of every key that waits for a restart, secrets of the chart
among them, and of addresses what is not their credentials. `store.migrate` counts as far as the operator sets it: that it becomes `never` with the first upgrade is of no
effect on pods that run.
*/ -}}
{{- define "realtime.restartChecksum" -}}
{{- $secrets := include "realtime.secrets.own" . | fromJson -}}
{{- $values := dict "tls" .Values.tls.existingSecret "trial" .Values.trial.postgresql.enabled -}}
{{- range include "realtime.settings.restart" . | fromJsonArray -}}
{{- $value := default (include "realtime.setting" (dict "root" $ "key" .) | fromJson).value (get $secrets .) -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $values . $value -}}
{{- end -}}
{{- end -}}
{{- range include "realtime.settings.addresses" . | fromJsonArray -}}
{{- $_ := set $values . (regexReplaceAll "//.*@" (default "" (get $secrets .)) "//") -}}
{{- end -}}
{{- $values | toJson | sha256sum -}}
{{- end -}}

{{- /* Whether a Job migrates: only PostgreSQL can be migrated by another pod. */ -}}
{{- define "realtime.migration.job" -}}
{{- if and .Values.migration.enabled (include "realtime.store.isShared" .) (not .Values.trial.postgresql.enabled) -}}yes{{- end -}}
{{- end -}}

{{- /* "yes" if the store is a PostgreSQL of the operator's, by a secret, a setting or a variable. */ -}}
{{- define "realtime.store.isShared" -}}
{{- $isGiven := or (include "realtime.secrets.has" (list . "store.url")) (dig "store" "host" "" .Values.config) -}}
{{- if or $isGiven (include "realtime.extraEnv.has" (list . "store.url" "DATABASE_URL" "store.host" "DB_HOST")) -}}yes{{- end -}}
{{- end -}}

{{- /* "yes" if extraEnv sets one of these, each a key or a variable of upstream's. */ -}}
{{- define "realtime.extraEnv.has" -}}
{{- $given := list -}}
{{- range (first .).Values.extraEnv -}}{{- $given = append $given (trimSuffix "_FILE" .name) -}}{{- end -}}
{{- $has := "" -}}
{{- range rest . -}}
{{- $name := ternary (printf "REALTIME__%s" (. | replace "." "__" | upper)) . (contains "." .) -}}
{{- if has $name $given -}}{{- $has = "yes" -}}{{- end -}}
{{- end -}}
{{- $has -}}
{{- end -}}

{{- /* "yes" if the server has a secret that signs tokens of users, which `token` and `probe` need. */ -}}
{{- define "realtime.signsTokens" -}}
{{- if include "realtime.secrets.names" (list . "auth.jwt_secret") | fromJsonArray -}}
yes
{{- else -}}
{{- include "realtime.extraEnv.has" (list . "auth.jwt_secret" "JWT_SECRET" "auth.jwt_secrets") -}}
{{- end -}}
{{- end -}}

{{- /* How many pods: without a bus they could not exchange messages. */ -}}
{{- define "realtime.replicas" -}}
{{- $hasBus := include "realtime.secrets.has" (list . "bus.redis_url") -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{ ternary 2 1 (ne $hasBus "") }}
{{- else -}}
{{ int .Values.replicas }}
{{- end -}}
{{- end -}}
