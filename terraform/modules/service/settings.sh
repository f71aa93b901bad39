#!/bin/sh
# Keeps the files of a server current: config.toml of a bucket, and secrets. Runs in a container beside the server (task.tf).
#
# A file that differs is put in the place of the old one by a rename, so the server, which watches the folder, never reads half of
# it. What cannot be fetched stays as it is, and is fetched again after the interval. After the first complete round there is a
# file `complete`, for which the server waits.
set -u
umask 022
trap 'exit 0' TERM INT

# place FILE: takes what was fetched, if it differs from what is there.
place() {
    if [ -e "$FOLDER/$1" ] && [ "$(cat "$FOLDER/.fetched")" = "$(cat "$FOLDER/$1")" ]; then
        rm "$FOLDER/.fetched"
    else
        mv "$FOLDER/.fetched" "$FOLDER/$1" && echo "$1 has changed"
    fi
}

settings() {
    aws s3api get-object --bucket "$BUCKET" --key "$KEY" "$FOLDER/.fetched" >/dev/null && place config.toml
}

# A line of $SECRETS has a file, a secret, and what is before and after it in the file: a password within an address.
secrets() {
    echo "$SECRETS" | while read -r file arn before after; do
        secret=$(aws secretsmanager get-secret-value --secret-id "$arn" --query SecretString --output text) || exit 1
        printf '%s%s%s\n' "$before" "$secret" "$after" >"$FOLDER/.fetched"
        place "$file" || exit 1
    done
}

# The certificates that sign those of RDS are in no list of the system. They are fetched once.
certificates() {
    [ -e "$FOLDER/database-ca.pem" ] || {
        curl --silent --show-error --fail --max-time 30 --output "$FOLDER/.fetched" "$CA_URL" && place database-ca.pem
    }
}

while true; do
    settings && secrets && certificates && touch "$FOLDER/complete"
    sleep "$INTERVAL" &
    wait $!
done
