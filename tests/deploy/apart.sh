# Starts the rung that sources this once more in a network of its own: ports are free there whatever else runs on
# this machine, and bridges and firewall rules of an engine vanish with it. Nothing outside can be reached from it.
# shellcheck shell=bash

if [ "${APART:-no}" = no ]; then
    exec unshare --net env APART=yes "$PWD/${0##*/}" "$@"
fi
ip link set lo up
