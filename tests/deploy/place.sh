# Where the deployment checks keep things; sourced by all of them. Promises that nothing of theirs touches the
# engine, the images or the containers this machine may have: storage, tools and downloads are in a folder of
# their own, outside the clone, which may be deleted between any two runs.
# shellcheck shell=bash

set -euo pipefail

# The clone.
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# What lasts from run to run.
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/realtime-server/deploy"
# Packages that are unpacked there rather than installed, and the Python programs.
PATH="$CACHE/tools/usr/bin:$CACHE/tools/usr/sbin:$CACHE/lint/bin:$PATH"
# Terraform of this machine is used if there is one.
PATH="$PATH:$CACHE/terraform/bin"
# The Debian release that the images are made of.
SUITE=bookworm
# The Node that the official clients are tested with.
NODE="$ROOT/tests/clients/node/node_modules/.bin/node"
# Images of the checks alone, and how buildah and podman run them: written by install.
CONTAINERS_STORAGE_CONF="$CACHE/storage.conf"
CONTAINERS_CONF="$CACHE/containers.conf"
# A machine that is itself a container may not nest namespaces; to build, a changed root is enough.
BUILDAH_ISOLATION=chroot

export ROOT CACHE PATH SUITE NODE CONTAINERS_STORAGE_CONF CONTAINERS_CONF BUILDAH_ISOLATION

# mirror: the address this machine's packages come from, as apt knows it.
mirror() {
    # The dollar signs are apt's.
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suite="$SUITE" '$1 == suite && $2 == "main" && !found {print $3; found = 1}'
}
