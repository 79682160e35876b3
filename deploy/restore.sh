#!/bin/sh
# Restores a dump of deploy/backup.sh into a database that holds no store yet.
#
#   STORE_DB_DIRECT_URL  libpq URL of the database, past the pooler, as its owner
#   BACKUP_FILE          the dump
#
# Before: `python -m include.tiktok_sync db prepare` on the new server makes roles and database.
# After: the same again (grants, and migrations newer than the dump), then `doctor`.
set -eu

: "${STORE_DB_DIRECT_URL:?libpq URL of the database, past the pooler}" "${BACKUP_FILE:?the dump}"

ask() {
  psql "$STORE_DB_DIRECT_URL" -XAtc "$1"
}

stores=0
if [ -n "$(ask "SELECT to_regclass('public.stores')")" ]; then
  stores=$(ask "SELECT count(*) FROM public.stores")
fi
if [ "$stores" != 0 ]; then
  echo "restore: the database holds $stores stores already. Restore into an empty one: rename this" \
    "(ALTER DATABASE … RENAME TO …), then db prepare, then restore." >&2
  exit 1
fi
# Away with the empty tables that db prepare has made: pg_restore's own --clean fails on partitions.
psql "$STORE_DB_DIRECT_URL" -Xq -v ON_ERROR_STOP=1 -c "DROP OWNED BY CURRENT_USER"
pg_restore --dbname="$STORE_DB_DIRECT_URL" --no-owner --no-privileges --single-transaction \
  --exit-on-error "$BACKUP_FILE"
echo "restore: done; now: python -m include.tiktok_sync db prepare"
