#!/bin/sh
# The entrypoint of the member in docker-compose.yml: writes the key by which members of a replica set know
# each other, readable by mongod alone as it demands, and hands over to the image's own entrypoint.
set -eu
: "${MONGODB_KEY:?is empty}"
install --directory --owner=mongodb --group=mongodb --mode=0700 /run/mongodb
(umask 077 && printf '%s\n' "$MONGODB_KEY" >/run/mongodb/keyfile)
chown mongodb:mongodb /run/mongodb/keyfile
unset MONGODB_KEY
exec docker-entrypoint.sh mongod --config /etc/chat/mongod.conf
