#!/usr/bin/env bash
# postgres.sh start FOLDER BIN: a throw-away PostgreSQL cluster on a free loopback port; prints its URL.
# postgres.sh stop FOLDER BIN: stops it by its pid file and removes the folder.
# PostgreSQL refuses to run as root, so root runs it as the user `postgres`. fsync stays on.
set -euo pipefail
folder=$2 bin=$3

as_owner() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

case $1 in
start)
    if [ "$(id -u)" = 0 ]; then
        id postgres >/dev/null 2>&1 || useradd --system --no-create-home postgres
        chown postgres "$folder"
    fi
    chmod 700 "$folder"
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    cd "$folder"
    as_owner "$bin/initdb" -D "$folder/data" -U stagegate -A trust --no-sync >"$folder.log" 2>&1
    as_owner "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w \
        -o "-p $port -k $folder -c listen_addresses=127.0.0.1 -c max_connections=400" start >>"$folder.log" 2>&1
    echo "postgres://stagegate@127.0.0.1:$port/postgres"
    ;;
stop)
    as_owner "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$folder" "$folder.log"
    ;;
*)
    echo "usage: $0 start|stop FOLDER BIN" >&2
    exit 2
    ;;
esac
