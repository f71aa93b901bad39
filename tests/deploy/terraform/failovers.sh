# What fails beside two servers, and how they end. Sourced by the rung `task`; `work` is its folder.
# shellcheck shell=bash

: "${work:?}" "${name:?}" "${folder:?}" "${role:=}" "${database:=}" "${cache:=}" "${stop:=}"

# Both follow the database, whose messages a client of the first one receives.
second_server_starts() {
    edited "[tenants.default.database]
url = \"postgres://$role:the-role@$database/realtime\"
tls_mode = \"verify\"
tls_ca_file = \"/run/realtime/database-ca.pem\""
    mkdir "$work/volumes-2"
    ln -s "$folder" "$work/volumes-2/settings"
    volumes="$work/volumes-2" run server "$name-2" --detach --env REALTIME__SERVER__PORT=8081 --env REALTIME__SERVER__INTERNAL__PORT=9091
    within 30 is_ready 2 || {
        podman logs "$name-2" 2>&1 | tail -n 30
        return 1
    }
    held 1
    held 2
    within 20 sql_arrives 1
    rooms_are_one
}

# leads_elsewhere NAME ADDRESS: from now on there are ten seconds for all that has to hold again.
leads_elsewhere() {
    leads "$1" "$2"
    since=$SECONDS
}

# in_time COMMAND…: repeats it until it succeeds, at most until ten seconds after the name leads elsewhere.
in_time() {
    within $((since + 10 - SECONDS)) "$@"
    echo "$((SECONDS - since)) s after the name leads elsewhere: $*"
    [ $((SECONDS - since)) -le 10 ]
}

# Whatever was stored in it is copied; what was not copied yet is lost.
cache_is_killed() {
    cache_ends 1
    operate 2 REPLICAOF NO ONE
    leads_elsewhere "$cache" 127.0.1.2
    in_time is_connected
    in_time rooms_are_one
}

# The primary stays up, as a replica, and so do connections to it.
cache_is_demoted() {
    cache_runs 1
    operate 1 REPLICAOF 127.0.1.2 6379
    within 10 replicates 1
    operate 1 REPLICAOF NO ONE
    operate 2 REPLICAOF 127.0.1.1 6379
    leads_elsewhere "$cache" 127.0.1.1
    in_time rooms_are_one
    in_time left_by_servers
}

# left_by_servers: none is connected to the cache that was demoted.
left_by_servers() {
    ! operate 2 CLIENT LIST | grep name=realtime-server:publish
}

database_is_killed() {
    database_ends 1 QUIT
    superuser 2 --command 'SELECT pg_promote()'
    leads_elsewhere "$database" 127.0.1.2
    in_time is_written 2
    in_time sql_arrives 2
    rooms_are_one
}

# The writer is restarted as a reader. For three seconds the name leads to it still: connections succeed, and writes do not.
database_is_demoted() {
    standby_runs 1 2
    database_ends 2 INT
    superuser 1 --command 'SELECT pg_promote()'
    runuser -u postgres -- touch "$work/database/2/standby.signal"
    printf "primary_conninfo = 'host=%s user=rdsadmin'\n" "$work/database/sockets-1" >>"$work/database/2/postgresql.auto.conf"
    database_runs 2
    within 10 refuses_writes 2
    sleep 3
    leads_elsewhere "$database" 127.0.1.1
    in_time is_written 1
    in_time sql_arrives 1
    # With each connection of the pool.
    for _ in 1 2 3 4 5 6; do is_written 1; done
}

# The first server is stopped, and its client joins the second one.
stops_in_time() {
    local started=$SECONDS
    : >"$work/held-1.log"
    podman stop "$name-1"
    podman inspect --format '{{.State.ExitCode}}' "$name-1" | grep -x 0
    echo "after $((SECONDS - started)) of $stop s"
    [ $((SECONDS - started)) -lt "$stop" ]
}

client_is_elsewhere() {
    cat "$work/held-1.log"
    grep -x 'closed with 1012' "$work/held-1.log"
    within 5 grep -x inside "$work/held-1.log"
    rooms_are_one
}
