# A Docker engine apart from this machine's, and Compose that talks to it; sourced by the rungs that bring a stack up. It has
# the stand-ins for the official images and realtime-server:prebuilt, ends with the rung, and keeps nothing.
# shellcheck shell=bash

work=$(mktemp -d)
project="$work/project"
# Of the server, as the rung that sources this requests it.
# shellcheck disable=SC2034
url=http://127.0.0.1:8080
export DOCKER_HOST="unix://$work/docker.sock"

compose() {
    docker-compose --project-directory "$project" "$@"
}

tidy() {
    if [ -s "$work/docker.pid" ]; then
        compose down --volumes --timeout 1 >/dev/null 2>&1 || true
        kill "$(cat "$work/docker.pid")" 2>/dev/null || true
        within 30 test ! -e "$work/docker.pid" || true
    fi
    rm -rf "$work"
}
trap tidy EXIT

engine_starts() {
    dockerd --data-root "$work/data" --exec-root "$work/exec" --host "$DOCKER_HOST" --pidfile "$work/docker.pid" \
        --iptables=false --ip6tables=false --ip-forward=false --bridge=none >"$work/docker.log" 2>&1 &
    within 60 docker version || {
        cat "$work/docker.log"
        return 1
    }
}

# images_load SERVICE…: the server, and these, under the names that compose.yaml calls them by.
images_load() {
    local images image
    ./images --names "$@" >"$work/images"
    mapfile -t images <"$work/images"
    # In one archive, which has the layers that they share once.
    podman save --multi-image-archive "${images[@]}" realtime-server:prebuilt | docker load
    for image in "${images[@]}"; do docker tag "localhost/$image" "$image"; done
    docker tag localhost/realtime-server:prebuilt realtime-server
}
