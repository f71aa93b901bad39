# The program that rungs run beside the build of the image: REALTIME_SERVER, else that of the clone, built without optimisation
# as it is for the tests. Sourced by these rungs.
# shellcheck shell=bash

server=${REALTIME_SERVER:-"$("$ROOT/tests/target-dir")/debug/realtime-server"}

server_is_there() {
    [ -n "${REALTIME_SERVER:-}" ] || (cd "$ROOT" && cargo build --quiet --workspace --bins)
    [ -x "$server" ]
}
