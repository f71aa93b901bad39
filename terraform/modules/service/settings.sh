#!/bin/sh
# Keeps the files of a server current: config.toml of a bucket, and secrets. Runs in a container beside the server (task.tf).
#
# A file that differs is put in the place of the old one by a rename, so the server, which watches the folder, never reads half of
# it. What cannot be fetched stays as it is, and is fetched again after the interval. After the first complete round there is a
# file `complete`, for which the server waits.
#
# Each start of the AWS CLI takes about a second of CPU, of which a small task has half. So all secrets are one request.
set -u
umask 022
trap 'exit 0' TERM INT
# The next round asks again, so an address that does not answer holds back nothing else for longer than half a minute.
export AWS_MAX_ATTEMPTS=2
limits="--cli-connect-timeout 5 --cli-read-timeout 10"

# Separators of ASCII: after an ARN, and after a secret. `secrets` refuses an answer in which a secret has one.
unit=$(printf '\037')
record=$(printf '\036')
# How many secrets there are, the secrets, and the errors.
# shellcheck disable=SC2016  # The backquotes are those of JMESPath.
query='join(`""`, [to_string(length(SecretValues)), `"\u001e"`, join(`""`, SecretValues[].join(`""`, [ARN, `"\u001f"`, SecretString || `""`, `"\u001e"`])), to_string(Errors)])'

# place FILE: takes what was fetched, if it differs from what is there.
place() {
    if [ -e "$FOLDER/$1" ] && [ "$(cat "$FOLDER/.fetched")" = "$(cat "$FOLDER/$1")" ]; then
        rm "$FOLDER/.fetched"
    else
        mv "$FOLDER/.fetched" "$FOLDER/$1" && echo "$1 has changed"
    fi
}

settings() {
    # shellcheck disable=SC2086  # Each limit is an argument.
    aws $limits s3api get-object --bucket "$BUCKET" --key "$KEY" "$FOLDER/.fetched" >/dev/null || return 1
    [ -s "$FOLDER/.fetched" ] || {
        echo "config.toml is empty, and stays as it is" >&2
        return 1
    }
    place config.toml
}

# text_of ARN: that of this secret among those received. The shell splits them, because to remove what is before it takes time by the
# square of its length: a minute for 64 KiB.
text_of() {
    set -f
    IFS=$record
    for each in $received; do
        case $each in
        "$1$unit"*)
            IFS=$unit
            # shellcheck disable=SC2086  # It is split into the ARN and the text.
            set -- $each
            printf '%s' "${2-}"
            return
            ;;
        esac
    done
    return 1
}

# A line of $SECRETS has a file, the ARN of a secret, and what is before and after it in the file: a password within an address.
# All secrets are in one region, which may be another one than that of the task: the fourth part of an ARN.
secrets() {
    # shellcheck disable=SC2046,SC2086  # Each limit and each ARN is an argument.
    received=$(aws $limits secretsmanager batch-get-secret-value --no-paginate --output text --query "$query" \
        --region "$(echo "$SECRETS" | head -n 1 | cut -d ' ' -f 2 | cut -d : -f 4)" \
        --secret-id-list $(echo "$SECRETS" | cut -d ' ' -f 2)) || return 1
    # Who may write one secret does not decide what another one is.
    if [ "$(printf '%s' "$received" | tr -cd "$unit" | wc -c)" -ne "${received%%"$record"*}" ]; then
        echo "A secret has a separator in it, and all secrets stay as they are" >&2
        return 1
    fi
    echo "$SECRETS" | {
        missing=0
        while read -r file arn before after; do
            # Without the line breaks at its end.
            if ! secret=$(text_of "$arn"); then
                echo "$file cannot be fetched: ${received##*"$record"}" >&2
                missing=1
            elif [ -z "$secret" ]; then
                echo "$file has no text in Secrets Manager, and stays as it is" >&2
                missing=1
            else
                printf '%s%s%s\n' "$before" "$secret" "$after" >"$FOLDER/.fetched" && place "$file" || missing=1
            fi
        done
        exit "$missing"
    }
}

# The certificates that sign those of the database, which are in no list of the system.
certificates() {
    printf '%s\n' "$CERTIFICATES" >"$FOLDER/.fetched" && place database-ca.pem
}

# Rounds in a row in which something was missing.
failed=0
while true; do
    # Each is fetched whatever becomes of the others.
    missing=false
    for part in settings secrets certificates; do
        "$part" || missing=true
    done
    if "$missing"; then
        failed=$((failed + 1))
        # The alarm SettingsNotFetched counts these lines.
        [ $((failed * INTERVAL)) -lt 600 ] || echo "Settings or secrets cannot be fetched for ten minutes, and stay as they are" >&2
    else
        failed=0
        touch "$FOLDER/complete"
    fi
    sleep "$INTERVAL" &
    wait $!
done
