# The role of the server in a PostgreSQL: how the migration task makes it. Sourced by the rung `live`; `work` is its folder.
# shellcheck shell=bash

: "${work:?}" "${service:?}" "${certificates:=}" "${server:=}"

database_starts() {
    local programs
    programs=$(find /usr/lib/postgresql -name postgres -path '*/bin/*' | sort | tail -n 1)
    mkdir "$work/database"
    chown postgres "$work/database"
    chmod 755 "$work"
    runuser -u postgres -- "$(dirname "$programs")/initdb" --auth-local trust --auth-host scram-sha-256 --pgdata "$work/database"
    runuser -u postgres -- "$programs" -D "$work/database" -h 127.0.0.1 -p 5499 -k "$work/database" >"$work/postgres.log" 2>&1 &
    within 20 owner --command 'CREATE DATABASE realtime'
    # RDS has it; it stands for REPLICATION there.
    owner --command 'CREATE ROLE rds_replication'
}

owner() {
    runuser -u postgres -- psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 -h "$work/database" -p 5499 "$@"
}

# makes_role SECRET: the program of the container `role`, which has no terminal.
makes_role() {
    mkdir -p "$work/role"
    chown postgres "$work/role"
    runuser -u postgres -- env ROLE=realtime ROLE_PASSWORD="$1" PGDATABASE=realtime PGHOST="$work/database" PGPORT=5499 FOLDER="$work/role" \
        CERTIFICATES="$certificates" ROLE_SQL="$(cat "$service/role.sql")" setsid --wait /bin/sh -c "$(cat "$service/role.sh")"
}

# role_is_made PASSWORD [SECRET]: the role has the password.
role_is_made() {
    makes_role "${2:-$1}"
    PGPASSWORD=$1 psql -h 127.0.0.1 -p 5499 -U realtime realtime --tuples-only --no-align --command \
        "SELECT rolsuper, rolcreaterole, pg_has_role('rds_replication', 'member') FROM pg_roles WHERE rolname = current_user" |
        grep -Fx 'f|t|t'
}

role_is_changed() {
    role_is_made "a'password"
    role_is_made the-password
    if PGPASSWORD="a'password" psql -h 127.0.0.1 -p 5499 -U realtime realtime --command 'SELECT'; then return 1; fi
}

# A file that was written with an editor ends with a line break, and so does the secret.
line_break_is_no_password() {
    role_is_made the-password $'the-password\n'
}

# The log of RDS goes to CloudWatch.
password_is_not_logged() {
    owner --command "ALTER SYSTEM SET log_statement = 'all'" --command 'SELECT pg_reload_conf()'
    within 5 is_logged
    makes_role the-password
    grep -c 'ALTER USER realtime PASSWORD' "$work/postgres.log"
    if grep the-password "$work/postgres.log"; then return 1; fi
}

is_logged() {
    owner --command "SELECT 'it is logged'"
    grep -q 'it is logged' "$work/postgres.log"
}

# As when an apply is interrupted and repeated.
roles_are_made_at_once() {
    local pid pids=()
    for _ in 1 2 3 4; do
        makes_role the-password &
        pids+=("$!")
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
}

role_migrates() {
    DB_HOST=127.0.0.1 DB_PORT=5499 DB_NAME=realtime DB_USER=realtime DB_PASSWORD=the-password \
        DB_ENC_KEY_GCM=0123456789abcdef0123456789abcdef REALTIME__STORE__TLS_MODE=off \
        "$server" migrate 2>&1 | tee "$work/migrated"
    grep '[1-9][0-9]* applied, 0 were applied before' "$work/migrated"
}
