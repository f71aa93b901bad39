# The containers of the task, the load balancer before them, and clients behind it. Sourced by the rung `task`; `work` is its folder.
# shellcheck shell=bash

: "${CACHE:?}" "${work:?}" "${name:?}" "${folder:?}" "${domain:?}" "${database:=}" "${cache:=}" "${user:=}" "${balancer:=}" "${task:=}" "${users:=}" "${operators:=}"

# run CONTAINER NAME PODMAN'S ARGUMENTS…: the container as the task has it, with the volumes below $volumes.
run() {
    local arguments
    mapfile -d '' arguments < <(./container "${volumes:-$work/volumes}" "$1" "${image:-localhost/realtime-server:prebuilt}" --name "$2" --no-healthcheck \
        --network host --add-host "$database:127.0.1.1" --add-host "$cache:127.0.1.1" --env SSL_CERT_FILE=/run/realtime/database-ca.pem "${@:3}")
    printf '%s\n' "${arguments[@]}" | grep -a '^--'
    podman run "${arguments[@]}"
}

# leads NAME ADDRESS: from now on the name has this address in the containers.
leads() {
    local number file
    for number in 1 2; do
        file=$(podman inspect --format '{{.HostsPath}}' "$name-$number")
        sed "s/^[0-9.]*\(\s.*\b$1\b\)/$2\1/" "$file" >"$work/hosts"
        # The same file, which is mounted.
        cat "$work/hosts" >"$file"
    done
}

# program ARGUMENTS…: the program of the image, as someone outside has it.
program() {
    podman run --rm --network host --add-host "$domain:127.0.0.1" --volume "$work/authority.pem:/authority.pem:ro" \
        --env SSL_CERT_FILE=/authority.pem --env JWT_SECRET="$users" --env API_JWT_SECRET="$operators" localhost/realtime-server:prebuilt "$@"
}

# What stands for S3 and Secrets Manager, with all that the container `settings` fetches. Prints its variables.
secrets_are_there() {
    "$CACHE/aws/bin/moto_server" -H 127.0.0.1 -p 5055 >"$work/moto.log" 2>&1 &
    echo $! >"$work/moto.pid"
    within 30 curl --silent --fail --output /dev/null http://127.0.0.1:5055/moto-api/
    DATABASE_PASSWORD=the-role ENCRYPTION_KEY=0123456789abcdef0123456789abcdef JWT="$users" OPERATORS="$operators" REDIS_URL=the-cache \
        "$CACHE/aws/bin/python" ./secrets "$ROOT/terraform/config.toml" >"$work/variables"
}

# The image has the programs of this machine, below a root that cannot be written as that of the AWS CLI.
settings_are_fetched() {
    secrets_are_there
    rm "$folder"/*
    local python given programs=(--volume /usr:/usr:ro --volume "$CACHE/aws:$CACHE/aws:ro")
    python=$(dirname "$(dirname "$(realpath "$CACHE/aws/bin/python")")")
    [ "$python" = /usr ] || programs+=(--volume "$python:$python:ro")
    mapfile -d '' given <"$work/variables"
    image=localhost/debian:bookworm-slim run settings "$name-settings" --detach "${programs[@]}" \
        --env "PATH=$CACHE/aws/bin:/usr/bin:/bin" --env CERTIFICATES="$(cat "$work/authority.pem")" \
        --env AWS_ENDPOINT_URL=http://127.0.0.1:5055 --env AWS_REGION=eu-central-1 --env AWS_DEFAULT_REGION=eu-central-1 --env AWS_ACCESS_KEY_ID=example \
        --env AWS_SECRET_ACCESS_KEY=example "${given[@]/#/--env=}"
    within 60 podman exec "$name-settings" test -e /run/realtime/complete || {
        podman logs "$name-settings" 2>&1 | tail -n 20
        return 1
    }
    ls -l "$folder"
    cmp "$folder/database-ca.pem" "$work/authority.pem"
    grep -Fx "rediss://$user:the-cache@$cache:6379" "$folder/redis-url"
    local started=$SECONDS
    podman stop "$name-settings"
    podman inspect --format '{{.State.ExitCode}}' "$name-settings" | grep -x 0
    [ $((SECONDS - started)) -lt 5 ]
}

# is_ready NUMBER: with the other nodes and with the store, and not only as far as clients are accepted.
is_ready() {
    curl --silent --fail --max-time 2 "http://127.0.0.1:909$(($1 - 1))/readyz" | tee /dev/stderr | grep --invert-match degraded
}

# is_degraded NUMBER PART: without the other nodes, or without the store.
is_degraded() {
    curl --silent --max-time 2 "http://127.0.0.1:909$(($1 - 1))/readyz" | tee /dev/stderr | grep "$2"
}

is_connected() {
    is_ready 1 && is_ready 2
}

# Clients at 443 are those of the first server, and of the second one when it is not ready. At 4432 they are those of the second one.
balancer_starts() {
    cat >"$work/haproxy.cfg" <<CFG
defaults
    mode tcp
    timeout connect 5s
    timeout client 350s
    timeout server 350s
frontend clients
    bind 127.0.0.1:443 ssl crt $work/both.pem alpn http/1.1
    default_backend tasks
frontend second
    bind 127.0.0.1:4432 ssl crt $work/both.pem alpn http/1.1
    default_backend second
backend tasks
    source $balancer
    balance first
    option httpchk GET /readyz
    http-check expect status 200
    server first $task:8080 send-proxy-v2 check check-send-proxy inter 1s fall 2 rise 1
    server second $task:8081 send-proxy-v2 check check-send-proxy inter 1s fall 2 rise 1
backend second
    source $balancer
    server second $task:8081 send-proxy-v2
CFG
    /usr/sbin/haproxy -W -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
    echo $! >"$work/haproxy.pid"
    within 10 answered 200 /readyz
}

# through PATH [CURL'S ARGUMENTS…]: a request of a client, by the load balancer.
through() {
    curl --silent --max-time 5 --cacert "$work/authority.pem" --resolve "$domain:443:127.0.0.1" "https://$domain$1" "${@:2}"
}

# answered STATUS PATH [CURL'S ARGUMENTS…]: its status.
answered() {
    [ "$1" = "$(through "$2" --output /dev/null --write-out '%{http_code}' "${@:3}")" ]
}

# held NUMBER: a client stays at this server, through the load balancer.
held() {
    local port=443
    [ "$1" = 1 ] || port=4432
    mkfifo "$work/held-$1"
    TOKEN=$(cat "$work/token") NODE_EXTRA_CA_CERTS="$work/authority.pem" "$NODE" ../visitors/held.mjs "https://127.0.0.1:$port" \
        <>"$work/held-$1" >"$work/held-$1.log" 2>&1 &
    echo $! >"$work/held-$1.pid"
    within 10 grep -x inside "$work/held-$1.log"
}

# rooms_are_one: what the client of the second server says is received by that of the first one.
rooms_are_one() {
    local words="said $RANDOM$RANDOM"
    echo "$words" >"$work/held-2"
    within 2 grep "$words" "$work/held-1.log"
}

# sql_arrives NUMBER: what SQL sends in this PostgreSQL is received by a client.
sql_arrives() {
    local words="sent $RANDOM$RANDOM"
    on=realtime superuser "$1" --command "SELECT realtime.send('{\"said\": \"$words\"}', 'said', 'held', false)"
    within 2 grep "$words" "$work/held-1.log"
}

# is_written NUMBER: a tenant is created by the second server, and this PostgreSQL has it.
is_written() {
    local id="tenant-$RANDOM$RANDOM"
    [ -s "$work/operator" ] || program token --operator >"$work/operator"
    curl --silent --max-time 5 --output "$work/created" --write-out '%{http_code}\n' --request PUT "http://127.0.0.1:9091/api/tenants/$id" \
        --header "authorization: Bearer $(cat "$work/operator")" --header 'content-type: application/json' \
        --data '{"tenant": {"jwt_secret": "a-secret-of-a-tenant-that-is-long-enough"}}' | tee /dev/stderr | grep -x 201
    on=realtime superuser "$1" --command "SELECT external_id FROM _realtime.tenants WHERE external_id = '$id'" | grep -x "$id"
}

# refuses_writes NUMBER: the second server has tried to write to this PostgreSQL, which is a standby. Connections that are read-only are
# closed at once, so it is the log that shows them.
refuses_writes() {
    if is_written "$1"; then return 1; fi
    grep 'in a read-only transaction' "$work/postgres-$1.log"
}
