{{- /* What no schema can say: values that contradict each other. The first problem ends the rendering. */ -}}
{{- define "realtime.validate" -}}
{{- include "realtime.validate.secrets" (dict "path" "" "keys" .Values.config) -}}
{{- include "realtime.validate.settings" . -}}
{{- $hasBus := include "realtime.secrets.has" (list . "bus.redis_url") -}}
{{- $replicas := include "realtime.replicas" . | int -}}
{{- if and (not $hasBus) (or .Values.autoscaling.enabled (gt $replicas 1)) -}}
{{- fail "several pods exchange messages through Redis: give secrets.existing or secrets.values a \"bus.redis_url\", or set replicas to 1 and autoscaling.enabled to false" -}}
{{- end -}}

{{- $keys := list . "auth.jwt_secret" "auth.jwt_secrets" "auth.jwt_jwks" "auth.jwks_url" "admin.jwt_secret" "seed.jwt_secret" -}}
{{- $tenants := include "realtime.secrets.names" (list . "tenants.") | fromJsonArray -}}
{{- if not (or .Values.secrets.generate (include "realtime.secrets.has" $keys) $tenants .Values.extraEnv) -}}
{{- fail "without a key that verifies tokens the server does not start: give secrets.existing an \"auth.jwt_secret\", or set secrets.generate to true" -}}
{{- end -}}
{{- range $name, $_ := .Values.secrets.existing -}}
{{- if hasKey $.Values.secrets.values $name -}}
{{- fail (printf "the secret %s is in secrets.values and in secrets.existing" $name) -}}
{{- end -}}
{{- end -}}

{{- $drain := include "realtime.drainSeconds" . | int -}}
{{- $grace := include "realtime.gracePeriod" . | int -}}
{{- if lt $grace (add $drain 5) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but server.drain_delay, server.drain_timeout and server.shutdown_timeout take %d seconds, and what follows them up to 5 more: pods would be killed with clients connected" $grace $drain) -}}
{{- end -}}

{{- range $key := list "server.host" "server.internal.host" -}}
{{- if include "realtime.isLoopback" (include "realtime.setting" (dict "root" $ "key" $key) | fromJson).value -}}
{{- fail (printf "config.%s is an address of the pod itself: neither the probes of the kubelet nor the Services would reach the server. Leave it out, and let networkPolicy say who may reach a port" $key) -}}
{{- end -}}
{{- end -}}

{{- with .Values.service.nlb -}}
{{- $noticed := include "realtime.noticedSeconds" $ | int -}}
{{- $delay := include "realtime.seconds" (list $ "server.drain_delay") | float64 -}}
{{- if and .enabled (lt $delay (float64 $noticed)) -}}
{{- fail (printf "config.server.drain_delay is %v seconds, but the load balancer sends new clients to a pod that stops for up to %d seconds (service.nlb.healthCheckInterval × unhealthyThreshold, and 5): they would be disconnected at once, and reconnect twice" $delay $noticed) -}}
{{- end -}}
{{- if and .enabled .proxyProtocol (not (dig "server" "proxy_protocol_from" list $.Values.config)) -}}
{{- fail "service.nlb.proxyProtocol needs config.server.proxy_protocol_from, the subnets of the load balancer; or set it to false" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.monitoring.serviceMonitor.enabled .Values.monitoring.podMonitor.enabled -}}
{{- fail "monitoring.serviceMonitor and monitoring.podMonitor would scrape each pod twice: enable one of them" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not (or (include "realtime.autoscaling.cpu" . | int) .Values.autoscaling.connections)) -}}
{{- fail "autoscaling needs cpu or connections above 0" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) -}}
{{- fail (printf "autoscaling.maxReplicas is %d, less than autoscaling.minReplicas, %d" (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled needs ingress.hosts, such as [realtime.example.com]" -}}
{{- end -}}
{{- if and .Values.trial.postgresql.enabled (or (include "realtime.secrets.has" (list . "store.url" "store.password" "store.encryption_key")) (dig "store" "host" "" .Values.config)) -}}
{{- fail "trial.postgresql.enabled and a store of your own (store.url, store.host, store.password, store.encryption_key) exclude each other" -}}
{{- end -}}
{{- if and .Values.trial.redis.enabled (or (hasKey .Values.secrets.values "bus.redis_url") (hasKey .Values.secrets.existing "bus.redis_url")) -}}
{{- fail "trial.redis.enabled and a bus.redis_url of your own exclude each other" -}}
{{- end -}}
{{- end -}}
