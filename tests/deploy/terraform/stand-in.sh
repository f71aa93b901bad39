# What stands for AWS where Terraform runs in the checks: a provider and the AWS CLI. Sourced by the rungs; `work` is their folder.
# shellcheck shell=bash

: "${work:?}"
export PYTHONDONTWRITEBYTECODE=1 TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE="$work/terraformrc"
export TF_VAR_region=eu-central-1 TF_VAR_domain='{ name = "realtime.example.com", zone_id = "Z0123456789" }'
export TF_VAR_image=123456789012.dkr.ecr.eu-central-1.amazonaws.com/realtime-server:0.1.0

# The place of a provider among those of a mirror has the name of the default registry in it, which Terraform prints.
provider_is_there() {
    local host version=6.69.1 place
    cat >"$work/terraformrc" <<RC
provider_installation {
  filesystem_mirror {
    path = "$work/mirror"
  }
}
RC
    host=$(cd "$ROOT/terraform/modules/registry" && terraform providers | sed -n 's|.*provider\[\(.*\)/hashicorp/aws\].*|\1|p' | head -n 1)
    place="$work/mirror/$host/hashicorp/aws/$version/linux_amd64"
    mkdir -p "$place"
    "$CACHE/provider/bin/python" ./schema.py "$CACHE"/provider/*.whl "$ROOT/terraform" "$work/schema.json"
    cat >"$place/terraform-provider-aws_v$version" <<PROVIDER
#!/bin/sh
SCHEMA="$work/schema.json" exec "$CACHE/provider/bin/python" "$PWD/provider.py"
PROVIDER
    chmod +x "$place"/*
}

# The AWS CLI, as far as run-migration uses it. The answer to run-task, the exit codes of the containers and the reasons are in files,
# and while there is a file `endless` no task ends, for the reason in it.
aws_cli_is_there() {
    mkdir "$work/bin"
    cat >"$work/bin/aws" <<AWS
#!/bin/sh
echo "\$2" >>"$work/calls"
case \$2 in
run-task) cat "$work/started" ;;
wait) if [ -e "$work/endless" ]; then cat "$work/endless" >&2 && exit 255; fi ;;
describe-tasks)
    case \$* in
    *stoppedReason*) cat "$work/reasons" ;;
    *) cat "$work/codes" ;;
    esac
    ;;
esac
AWS
    chmod +x "$work/bin/aws"
    task_ends_with '0 0'
}

# task_ends_with CODES [REASONS]: so the next task ends.
task_ends_with() {
    printf 'arn:aws:ecs:eu-central-1:123456789012:task/realtime/1\tNone\n' >"$work/started"
    echo "$1" >"$work/codes"
    echo "${2-}" >"$work/reasons"
}

# copy FOLDER: the files of the clone that Terraform reads, without what it has left there.
copy() {
    mkdir -p "$1/infra/monitoring"
    cp "$ROOT"/infra/monitoring/cloudwatch-*.json "$1/infra/monitoring/"
    (cd "$ROOT" && tar -c --exclude .terraform --exclude .terraform.lock.hcl --exclude '*.tfstate*' --exclude '*.tfvars' --exclude backend.tf terraform) | tar -x -C "$1"
}

# state_key: what an applied state follows from.
state_key() {
    {
        TF_CLI_CONFIG_FILE=/dev/null terraform version
        cd "$ROOT" || return
        find terraform infra/monitoring/cloudwatch-*.json tests/deploy/terraform/{provider.py,schema.py,stand-in.sh} \
            \( -name .terraform -prune \) -o -type f ! -name '*.tfstate*' ! -name .terraform.lock.hcl -print0 |
            sort -z | xargs -0 sha256sum
    } | sha256sum | cut -d ' ' -f 1
}

# kept KEY FOLDER: keeps a plan and a state for the rungs that follow, and none of more than a day ago.
kept() {
    local place="$CACHE/applied"
    mkdir -p "$place"
    find "$place" -mindepth 1 -maxdepth 1 -mtime +0 -exec rm -rf {} +
    [ ! -e "$place/$1" ] || return 0
    mkdir "$work/kept"
    cp "$2/plan.json" "$2/state.json" "$work/kept/"
    mv -T "$work/kept" "$place/$1" 2>/dev/null || rm -rf "$work/kept"
}

# applied_once: a plan and a state of the files of the clone, in $CACHE/applied. Prints the folder.
applied_once() {
    local key
    key=$(state_key)
    if [ ! -e "$CACHE/applied/$key" ]; then
        {
            provider_is_there
            aws_cli_is_there
            copy "$work/tree"
            (applied "$work/tree")
            kept "$key" "$work/tree"
        } >&2
    fi
    echo "$CACHE/applied/$key"
}

# applied FOLDER: applies a copy with the stand-ins, and writes its plan and its state as JSON beside it.
applied() {
    cd "$1/terraform" || return
    terraform init -backend=false >/dev/null
    terraform plan -no-color -out "$1/plan" >/dev/null
    terraform show -json "$1/plan" >"$1/plan.json"
    PATH="$work/bin:$PATH" terraform apply -no-color "$1/plan" || return
    terraform show -json >"$1/state.json"
}
