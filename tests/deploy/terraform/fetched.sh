# Secrets that are missing, hostile, long, or beside an address that does not answer. Sourced by the rung `live`; `work` is its folder.
# shellcheck shell=bash

: "${work:?}" "${users:=}"

# The secret that is missing is the first one. Ten minutes are one round here.
missing_secret_is_reported() {
    interval=600 fetching missing "$work/missing" "operators $(arn jwt)-missing"$'\n'"jwt $(arn jwt)"
    within 30 grep -q '^Settings or secrets cannot be fetched' "$work/missing.log"
    grep -q 'operators cannot be fetched: .*ResourceNotFoundException' "$work/missing.log"
    kill "$(cat "$work/missing.pid")"
    [ "$(cat "$work/missing/jwt")" = "$users" ]
    [ ! -e "$work/missing/complete" ]
    if grep "$users" "$work/missing.log"; then return 1; fi
}

# A secret that has the ARN and a value of another one between the separators.
secret_is_no_other_one() {
    local value
    printf -v value '%s\036%s\037%s\036' "$users" "$(arn operators)" another-secret-of-operators-that-is-long
    aws secretsmanager create-secret --name hostile --secret-string "$value"
    fetching hostile "$work/hostile" "jwt $(arn hostile)"$'\n'"operators $(arn operators)"
    within 30 grep -q '^A secret has a separator in it' "$work/hostile.log"
    kill "$(cat "$work/hostile.pid")"
    [ ! -e "$work/hostile/operators" ]
    # The alarm is about ten minutes.
    if grep '^Settings or secrets' "$work/hostile.log"; then return 1; fi
}

# S3 accepts connections, and does not answer. A stand-in that is asked for secrets is another one.
silence_holds_nothing_back() {
    started silence python3 -c 'import socket, time; each = socket.create_server(("127.0.0.1", 5056)); time.sleep(600)'
    AWS_ENDPOINT_URL_S3=http://127.0.0.1:5056 fetching silent "$work/silent" "jwt $(arn jwt)"
    within 60 test -e "$work/silent/jwt"
    kill "$(cat "$work/silent.pid")" "$(cat "$work/silence.pid")"
}

# As long as Secrets Manager has them, and what the shell would expand.
long_secrets_are_fetched() {
    local name secrets=""
    for name in first second; do
        { echo "$name * \$(id) ~"; head -c 48000 /dev/urandom | base64 --wrap 0; } >"$work/$name"
        aws secretsmanager create-secret --name "$name" --secret-string "file://$work/$name"
        secrets+="$name $(arn "$name")"$'\n'
    done
    fetching long "$work/long" "${secrets%$'\n'}"
    within 15 test -e "$work/long/complete"
    kill "$(cat "$work/long.pid")"
    for name in first second; do cmp "$work/long/$name" <(cat "$work/$name"; echo); done
}
