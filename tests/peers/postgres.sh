#!/usr/bin/env bash
# postgres.sh DIR PORT: a new PostgreSQL in DIR, on 127.0.0.1, that lets everybody in; ends with SIGTERM.
set -euo pipefail
dir=$1 port=$2
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
as=()
if [ "$(id -u)" = 0 ]; then # it runs as anybody but root
  as=(setpriv --reuid "$(id -u postgres)" --regid "$(id -g postgres)" --clear-groups)
fi
mkdir -m 0755 "$dir"
[ "$(id -u)" != 0 ] || { chmod 0711 "$(dirname "$dir")" && chown postgres "$dir"; }
cd "$dir"
"${as[@]}" "$bin/initdb" -A trust -U postgres --no-sync --locale=C -D "$PWD/data" >/dev/null
exec "${as[@]}" "$bin/postgres" -D "$PWD/data" -k "$PWD" -p "$port" -c listen_addresses=127.0.0.1 -c fsync=off
