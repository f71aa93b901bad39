# PostgreSQL and Redis as the task has them: each is a pair of servers at 127.0.1.1 and 127.0.1.2, with TLS and passwords alone. A name
# leads to one of the two, as the endpoints of Aurora and ElastiCache do. Sourced by the rung `task`; `work` is its folder.
# shellcheck shell=bash
#
# What differs from AWS: a standby of PostgreSQL copies the log, and takes over no slot; the servers of Aurora share their storage, and
# its reader does not have the log as sessions see it. Names lead elsewhere at once, and not after seconds.

: "${work:?}" "${database:=}" "${cache:=}" "${user:=}" "${rights:=}"

program_of_postgres() {
    find /usr/lib/postgresql -name "$1" -path '*/bin/*' | sort | tail -n 1
}

as_postgres() {
    runuser -u postgres -- "$(program_of_postgres "$1")" "${@:2}"
}

# database_runs NUMBER: starts one of the two.
database_runs() {
    as_postgres postgres -D "$work/database/$1" -h "127.0.1.$1" -k "$work/database/sockets-$1" -c ssl=on -c wal_level=logical -c fsync=off \
        -c ssl_cert_file="$work/database/certificate.pem" -c ssl_key_file="$work/database/key.pem" >"$work/postgres-$1.log" 2>&1 &
    within 20 superuser "$1" --command SELECT >"$work/started" 2>&1 || { tail -n 5 "$work/started" "$work/postgres-$1.log"; return 1; }
}

# superuser NUMBER [PSQL'S ARGUMENTS…]: as RDS itself, in the database $on.
superuser() {
    runuser -u postgres -- psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 -h "$work/database/sockets-$1" -U rdsadmin \
        -d "${on:-postgres}" "${@:2}"
}

# database_ends NUMBER SIGNAL: QUIT ends it as a crash does, INT closes its connections.
database_ends() {
    local file="$work/database/$1/postmaster.pid" id
    [ -s "$file" ] || return 0
    id=$(head -n 1 "$file")
    kill "-$2" "$id"
    within 20 test ! -d "/proc/$id"
}

# standby_runs NUMBER OF: makes one a standby of the other.
standby_runs() {
    rm -rf "$work/database/$1"
    as_postgres pg_basebackup -h "$work/database/sockets-$2" -U rdsadmin -D "$work/database/$1" --write-recovery-conf --checkpoint fast --no-sync
    database_runs "$1"
    within 10 follows "$2"
}

# follows NUMBER: something copies its log.
follows() {
    [ "$(superuser "$1" --command "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'walreceiver' AND state = 'streaming'")" = 1 ]
}

# The owner is what RDS' master user is: no superuser, and may grant what it has.
database_starts() {
    mkdir "$work/database" "$work/database/sockets-1" "$work/database/sockets-2"
    cp "$work/key.pem" "$work/certificate.pem" "$work/database/"
    chown -R postgres "$work/database"
    as_postgres initdb --no-sync --username rdsadmin --auth-local trust --auth-host reject --pgdata "$work/database/1"
    printf '%s\n' 'hostssl all all all scram-sha-256' 'local all all trust' 'local replication all trust' >"$work/database/1/pg_hba.conf"
    database_runs 1
    superuser 1 --command "CREATE ROLE postgres LOGIN NOSUPERUSER CREATEROLE CREATEDB PASSWORD 'the-owner'" \
        --command 'CREATE ROLE rds_replication' --command 'GRANT rds_replication TO postgres WITH ADMIN OPTION' \
        --command 'CREATE DATABASE realtime OWNER postgres'
}

cache_starts() {
    local number
    for number in 1 2; do
        cat >"$work/redis-$number.conf" <<CONF
bind 127.0.1.$number
port 0
tls-port 6379
tls-cert-file $work/certificate.pem
tls-key-file $work/key.pem
tls-ca-cert-file $work/authority.pem
tls-auth-clients no
tls-replication yes
repl-diskless-sync-delay 0
save ""
dir $work
user default off
user $user $rights >the-cache
user operator on ~* &* +@all >the-operator
masteruser operator
masterauth the-operator
CONF
    done
    cache_runs 1
}

# copies_start: a standby and a replica of those that run.
copies_start() {
    standby_runs 2 1
    cache_runs 2
    operate 2 REPLICAOF 127.0.1.1 6379
    within 10 replicates 2
}

# cache_runs NUMBER: starts one, as a primary.
cache_runs() {
    redis-server "$work/redis-$1.conf" >"$work/redis-$1.log" 2>&1 &
    echo $! >"$work/redis-$1.pid"
    within 10 operate "$1" PING >"$work/started" 2>&1 || { tail -n 5 "$work/started" "$work/redis-$1.log"; return 1; }
}

# operate NUMBER COMMAND…: as ElastiCache itself does.
operate() {
    REDISCLI_AUTH=the-operator redis-cli -e --tls --cacert "$work/authority.pem" --sni "$cache" -h "127.0.1.$1" --user operator "${@:2}"
}

# replicates NUMBER: it has what its primary has.
replicates() {
    operate "$1" INFO replication | grep 'master_link_status:up'
}

cache_ends() {
    kill -9 "$(cat "$work/redis-$1.pid")"
    within 5 test ! -d "/proc/$(cat "$work/redis-$1.pid")"
}

pairs_end() {
    local number
    for number in 1 2; do
        database_ends "$number" QUIT || true
        [ ! -s "$work/redis-$number.pid" ] || kill -9 "$(cat "$work/redis-$number.pid")" 2>/dev/null || true
    done
}
