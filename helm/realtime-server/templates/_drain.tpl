{{- /* How long a stop takes, from durations such as "1m 15s" or "500ms". */ -}}

{{- define "realtime.milliseconds" -}}
{{- $units := dict "ns" 0.000001 "us" 0.001 "ms" 1.0 "s" 1000.0 "m" 60000.0 "h" 3600000.0 "d" 86400000.0 "w" 604800000.0 "M" 2630016000.0 "y" 31557600000.0 -}}
{{- $names := dict "nanos" "ns" "nsec" "ns" "usec" "us" "µs" "us" "millis" "ms" "msec" "ms" "sec" "s" "secs" "s" "second" "s" "seconds" "s" "min" "m" "mins" "m" "minute" "m" "minutes" "m" "hr" "h" "hrs" "h" "hour" "h" "hours" "h" "day" "d" "days" "d" "wk" "w" "wks" "w" "week" "w" "weeks" "w" "month" "M" "months" "M" "yr" "y" "yrs" "y" "year" "y" "years" "y" -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+\\s*[a-zA-Zµ]+" . -1 -}}
{{- $unit := regexReplaceAll "[0-9.\\s]+" . "" -}}
{{- $sum = addf $sum (mulf (regexFind "[0-9.]+" . | float64) (get $units (get $names $unit | default $unit))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{- /* The seconds of a setting: (root KEY). */ -}}
{{- define "realtime.seconds" -}}
{{- $duration := (include "realtime.setting" (dict "root" (index . 0) "key" (index . 1)) | fromJson).value -}}
{{- divf (include "realtime.milliseconds" $duration | float64) 1000.0 -}}
{{- end -}}

{{- /*
Seconds until a Network Load Balancer sends no new clients to a pod whose /readyz is 503: all checks that must fail, and 5 more,
in which the load balancer applies that.
*/ -}}
{{- define "realtime.noticedSeconds" -}}
{{- add 5 (mul .Values.service.nlb.healthCheckInterval .Values.service.nlb.unhealthyThreshold) -}}
{{- end -}}

{{- /* Seconds from SIGTERM until the server has exited at the latest. */ -}}
{{- define "realtime.drainSeconds" -}}
{{- $sum := 0.0 -}}
{{- range list "server.drain_delay" "server.drain_timeout" "server.shutdown_timeout" -}}
{{- $sum = addf $sum (include "realtime.seconds" (list $ .) | float64) -}}
{{- end -}}
{{- ceil $sum | int64 -}}
{{- end -}}

{{- /* 10 seconds more than the drain: after it the pod has 5 to sign off from the other nodes (1), to end the internal port (1), and to
send its last spans (2) and log lines (1). */ -}}
{{- define "realtime.gracePeriod" -}}
{{- $needed := add 10 (include "realtime.drainSeconds" . | int64) -}}
{{- .Values.terminationGracePeriodSeconds | default $needed | int64 -}}
{{- end -}}
