# What Helm refuses to render, with the reason, and what the notes of an installation say; sourced by `static`, for its `$chart`,
# its folder `$work` and both versions of Helm.
# shellcheck shell=bash
# The variables are those of the script.
# shellcheck disable=SC2154

# refused TEXT HELM'S ARGUMENTS…: rendering fails for that reason, with both versions.
refused() {
    local text=$1 version
    shift
    for version in "$helm3" "$helm4"; do
        if "$version" template rt "$chart" "$@" >"$work/said" 2>&1; then return 1; fi
        cat "$work/said"
        grep -qF -e "$text" "$work/said"
    done
}

# notes TEXT HELM'S ARGUMENTS…: the notes of the installation say that.
notes() {
    local text=$1
    shift
    "$helm4" install rt "$chart" --dry-run=client "$@" >"$work/said" 2>&1
    sed -n '/^NOTES:/,$p' "$work/said" | tee /dev/stderr | grep -qF -e "$text"
}

# not_in_notes TEXT HELM'S ARGUMENTS…: there are notes, and they do not say that.
not_in_notes() {
    notes "Connect clients to" "${@:2}"
    if grep -F -e "$1" "$work/said"; then return 1; fi
}

check "the notes say that the internal port is open to all, which is the default" notes "open to every pod of the cluster, until"
check "the notes say that it is closed" notes "open to the kubelet alone" --set-json networkPolicy.internalFrom=[]
by_provider=(--set secrets.existing.auth\\.jwks_url.name=realtime)
database=(--set-json 'extraEnv=[{"name":"DATABASE_URL","value":"postgres://a@b/c"}]')
behind_both=(--set 'ingress.enabled=true,ingress.hosts={rt.example.com},service.nlb.enabled=true,config.server.proxy_protocol_from={10.0.0.0/8}')
check "the notes have the command that signs a token" notes "token --sub ann"
check "the notes do not have it where the server only verifies tokens" not_in_notes "token --sub ann" "${by_provider[@]}"
check "the notes say that tenants without a store are lost" notes "are lost with their pod"
check "the notes do not say so of a store in a variable" not_in_notes "are lost with their pod" "${database[@]}"
check "the notes have the Ingress beside a load balancer" notes "ws://rt.example.com/realtime/v1/websocket" "${behind_both[@]}"
check "the notes have the load balancer beside an Ingress" notes "get service rt-realtime-server" "${behind_both[@]}"
check "the notes say what helm test does not, behind PROXY protocol" notes "realtime-server probe https://HOST" "${behind_both[@]}"
check "refused: a misspelt setting, by name" refused max_join_per_second --set config.limits.max_join_per_second=3
check "refused: a setting of another type, by name" refused drain_delay --set config.server.drain_delay=soon
check "refused: a section that does not exist, by name" refused limit --set config.limit.max_joins_per_second=3
for secret in auth.jwt_secret telemetry.push.url telemetry.traces.endpoint tenants.acme.database.url; do
    check "refused: a secret among the settings, with where it belongs ($secret)" \
        refused "name that in secrets.existing, \"$secret\": {name: …}" --set "config.$secret=x"
done
check "refused: metrics that are pushed to no address" refused telemetry.push.url --set config.telemetry.push.enabled=true
check "refused: two listeners at one port" refused "both 9090" --set config.server.port=9090
check "refused: a certificate alone" refused key_file --set config.server.tls.cert_file=/run/tls.crt
check "refused: a namespace of AWS itself" refused "AWS/x" --set config.telemetry.cloudwatch.namespace=AWS/x
check "refused: a dimension without a name" refused dimensions --set-json 'config.telemetry.cloudwatch.dimensions={"":"x"}'
check "refused: fewer pods at most than at least" refused "maxReplicas is 3, less than autoscaling.minReplicas, 4" \
    --set 'autoscaling.enabled=true,autoscaling.minReplicas=4,autoscaling.maxReplicas=3,secrets.values.bus\.redis_url=redis://r'
check "refused: a key of the token without its Secret" refused token --set monitoring.token.key=x
check "refused: a secret that does not exist, by name" refused auth.jwt_secre --set 'secrets.values.auth\.jwt_secre=x'
check "refused: a misspelt value of the chart, by name" refused replica --set replica=2
check "refused: less time than a stop takes" refused "take 45 seconds" --set terminationGracePeriodSeconds=45
check "refused: a drain that a given time does not cover" refused "take 95 seconds" \
    --set terminationGracePeriodSeconds=60,config.server.drain_timeout=1m
check "refused: several pods without Redis" refused bus.redis_url --set replicas=2
check "refused: no key to verify tokens with" refused auth.jwt_secret --set secrets.generate=false
check "refused: a drain shorter than the load balancer needs to notice it" refused "up to 25 seconds" \
    --set service.nlb.enabled=true,service.nlb.proxyProtocol=false,config.server.drain_delay=24s
check "refused: checks so rare that the drain is over before" refused "up to 35 seconds" \
    --set service.nlb.enabled=true,service.nlb.proxyProtocol=false,service.nlb.healthCheckInterval=15
for address in 127.0.0.1 ::1 0:0:0:0:0:0:0:1 ::ffff:127.0.0.1; do
    check "refused: an internal port that the kubelet does not reach ($address)" refused config.server.internal.host \
        --set "config.server.internal.host=$address"
done
check "refused: a server that no Service reaches" refused config.server.host --set config.server.host=127.0.0.1
check "refused: PROXY protocol from nowhere" refused proxy_protocol_from --set service.nlb.enabled=true
