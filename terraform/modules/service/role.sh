#!/bin/sh
# Makes the role of the server in the database (role.sql), as the owner. Runs in a container of the migration task (migration.tf).
#
# A secret that was written from a file may end with a line break, which settings.sh does not give to servers either.
set -eu
printf '%s\n' "$CERTIFICATES" >"$FOLDER/database-ca.pem"
printf '%s\n' "$ROLE_SQL" >"$FOLDER/role.sql"
password=$(printf '%s' "$ROLE_PASSWORD")
printf '%s\n%s\n' "$password" "$password" |
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --file "$FOLDER/role.sql"
