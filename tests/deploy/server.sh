# The program that rungs run: the one that tests were run with (REALTIME_SERVER), else that of the image. Sourced by the rungs
# that need it; `work` is their folder.
# shellcheck shell=bash

server=${REALTIME_SERVER:-"$work/realtime-server"}

server_is_there() {
    [ -x "$server" ] && return
    local image
    image=$(podman image mount realtime-server:prebuilt)
    cp "$image/usr/local/bin/realtime-server" "$server"
    podman image unmount realtime-server:prebuilt
}
