# What the CDK app synthesises, for the rungs that look at it. Sourced by them; `work` is their folder.
# shellcheck shell=bash

: "${work:?}"

# app FOLDER: the files of the clone that the app reads, with the packages of the cache, and the inputs that Terraform has too
# (../terraform/stand-in.sh).
app() {
    mkdir -p "$1"
    (cd "$ROOT" && tar -c --exclude node_modules --exclude cdk.out --exclude .terraform infra terraform config/schema.json) | tar -x -C "$1"
    ln -s "$CACHE/cdk/node_modules" "$1/infra/node_modules"
    sed -i '/"context": {/r /dev/stdin' "$1/infra/cdk.json" <<'INPUTS'
    "region": "eu-central-1",
    "domain": { "name": "realtime.example.com", "zoneId": "Z0123456789" },
    "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/realtime-server:0.1.0",
INPUTS
}

# program APP FILE: runs a program of the app without `cdk`, which takes seconds to start. It passes on what is in a file, and that names
# of constructs are in the templates.
program() {
    cd "$1/infra" || return
    local context
    context=$(python3 -c 'import json; print(json.dumps(json.load(open("cdk.json"))["context"] | {"aws:cdk:enable-path-metadata": True}))')
    CDK_CONTEXT_JSON="$context" node_modules/.bin/tsx "$2"
}

# templates_place: where the templates of these files of the clone are, once they are made.
templates_place() {
    local key
    key=$(cd "$ROOT" && find infra terraform/config.toml terraform/sizes.json terraform/modules/{service,database/certificates} tests/deploy/cdk/synth.sh \
        \( -name node_modules -o -name .terraform -o -name cdk.out \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
    echo "$CACHE/synthesised/${key%% *}"
}

# keep_templates FOLDER: for the rungs that follow; none of more than a day ago.
keep_templates() {
    local place
    place=$(templates_place)
    mkdir -p "$CACHE/synthesised"
    find "$CACHE/synthesised" -mindepth 1 -maxdepth 1 -mtime +0 -exec rm -rf {} +
    [ ! -e "$place" ] || return 0
    cp -r "$1" "$work/kept-templates"
    mv -T "$work/kept-templates" "$place" 2>/dev/null || rm -rf "$work/kept-templates"
}

# templates_once: prints the folder of the templates of the clone.
templates_once() {
    if [ ! -e "$(templates_place)" ]; then
        app "$work/once"
        (CDK_OUTDIR="$work/once/out" program "$work/once" bin/realtime.ts) >&2
        keep_templates "$work/once/out"
    fi
    templates_place
}
