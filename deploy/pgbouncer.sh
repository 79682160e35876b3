#!/bin/sh
# Writes PgBouncer's configuration from the environment and becomes PgBouncer.
#
#   POOL_UPSTREAM      host:port of the product's Postgres
#   POOL_LISTEN        address:port to listen on (0.0.0.0:6432)
#   POOL_FOLDER        where the two files go; its memory alone holds the password (/run/pgbouncer)
#   STORE_DB_PASSWORD  of the role tiktok_sync
#   DB_POOL_SIZE       connections to Postgres at most (20)
#   DB_POOL_MIN        connections kept open (5)
#   STORE_DB_SSLMODE   prefer, require, verify-full, …: the way on to Postgres (prefer)
set -eu

fail() {
  echo "pgbouncer: $1" >&2
  exit 2
}

: "${POOL_UPSTREAM:?where Postgres is, host:port}" "${STORE_DB_PASSWORD:?of the role tiktok_sync}"
folder=${POOL_FOLDER:-/run/pgbouncer}
listen=${POOL_LISTEN:-0.0.0.0:6432}
size=${DB_POOL_SIZE:-20}
least=${DB_POOL_MIN:-5}
for number in "$size" "$least"; do
  case $number in *[!0-9]* | "" | 0*) fail "DB_POOL_SIZE and DB_POOL_MIN must be whole numbers from 1 on" ;; *) ;; esac
done
[ "$least" -le "$size" ] || fail "DB_POOL_MIN ($least) is larger than DB_POOL_SIZE ($size)"
case $STORE_DB_PASSWORD in *[\"\ ]*) fail "STORE_DB_PASSWORD must not hold blanks or quotes" ;; *) ;; esac

case $POOL_UPSTREAM in ?*:?*) ;; *) fail "POOL_UPSTREAM must be host:port, not '$POOL_UPSTREAM'" ;; esac
[ -w "$folder" ] || fail "POOL_FOLDER $folder is not writable for user id $(id -u)"

umask 077
printf '"tiktok_sync" "%s"\n' "$STORE_DB_PASSWORD" >"$folder/users.txt"
# No `options` among ignore_startup_parameters: a setting that the pooler would drop in silence must
# fail instead. A statement is bounded here because behind a pooler no client can bound its own;
# 30 minutes is the longest task. server_idle_timeout lets the pool shrink after the night.
cat >"$folder/pgbouncer.ini" <<END
[databases]
tiktok_sync = host=${POOL_UPSTREAM%:*} port=${POOL_UPSTREAM##*:} dbname=tiktok_sync connect_query='SET statement_timeout TO 1800000; SET idle_in_transaction_session_timeout TO 300000'

[pgbouncer]
listen_addr = ${listen%:*}
listen_port = ${listen##*:}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $folder/users.txt
stats_users = tiktok_sync
pool_mode = transaction
default_pool_size = $size
min_pool_size = $least
max_client_conn = 1000
server_tls_sslmode = ${STORE_DB_SSLMODE:-prefer}
server_connect_timeout = 10
server_login_retry = 2
server_idle_timeout = 600
query_wait_timeout = 60
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
END
exec pgbouncer "$folder/pgbouncer.ini"
