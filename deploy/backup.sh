#!/bin/sh
# Dumps the product's database into BACKUP_FOLDER, and keeps the newest BACKUP_KEEP (14) dumps.
#
#   STORE_DB_DIRECT_URL  libpq URL of the database, past the pooler
#
# A dump holds the stores' tokens as ciphertext: keep TIKTOK_TOKEN_KEYS apart from it, and keep both.
# Older dumps are removed only after the new one was read back whole and holds stores.
set -eu

script=backup
# shellcheck source=deploy/libpq.sh
. "$(dirname "$0")/libpq.sh"

: "${BACKUP_FOLDER:?where dumps go}"
keep=${BACKUP_KEEP:-14}
case $keep in *[!0-9]* | "" | 0*) fail "BACKUP_KEEP must be a whole number from 1 on, not '$keep'" ;; *) ;; esac
[ -d "$BACKUP_FOLDER" ] || fail "BACKUP_FOLDER $BACKUP_FOLDER is not a folder: create it first"
[ -w "$BACKUP_FOLDER" ] || fail "BACKUP_FOLDER $BACKUP_FOLDER is not writable for user id $(id -u): chown it"
log_in

umask 077
# One at a time, so that whatever is unfinished here was left by a backup that was killed.
exec 9<"$BACKUP_FOLDER"
flock -n 9 || fail "another backup into $BACKUP_FOLDER is running" 1
rm -f "$BACKUP_FOLDER"/tiktok_sync-*.part

stores=$(ask "SELECT count(*) FROM public.stores") ||
  fail "the database cannot be read (see above); nothing was written, older dumps are kept" 1

file=$BACKUP_FOLDER/tiktok_sync-$(date -u +%Y%m%dT%H%M%SZ).dump
[ ! -e "$file" ] || fail "$file exists already; nothing was written" 1
trap 'rm -f "$file.part"' EXIT
trap 'exit 143' HUP INT TERM
# Of the product alone: a table of another role, such as dbt's, or its large object would stop every
# dump. (--schema=public would make a dump that creates the schema, which is there at the restore.)
quoted="'\"' || replace(nspname, '\"', '\"\"') || '\"'"
own="nspname IN ('public', 'information_schema') OR starts_with(nspname, 'pg_')"
others=$(ask "SELECT $quoted FROM pg_namespace WHERE NOT ($own)") ||
  fail "the database cannot be read (see above); nothing was written, older dumps are kept" 1
set --
while IFS= read -r schema; do
  [ -z "$schema" ] || set -- "$@" "--exclude-schema=$schema"
done <<END
$others
END
pg_dump --dbname="$url" --format=custom --no-owner --no-privileges --no-large-objects \
  --lock-wait-timeout=60s --file="$file.part" "$@" ||
  fail "pg_dump failed (see above); older dumps are kept" 1
# Read back to the last block.
pg_restore --file=/dev/null "$file.part" ||
  fail "the dump could not be read back (see above); it was removed, older dumps are kept" 1
mv "$file.part" "$file"
size=$(wc -c <"$file")
echo "backup: $file ($((size / 1024)) KiB, $stores stores)"

# Their names sort by age, the oldest first. Files with names of another form are not ours to remove.
set -- "$BACKUP_FOLDER"/tiktok_sync-[0-9]*T[0-9]*Z.dump
if [ "$stores" = 0 ] && [ $# -gt 1 ]; then
  fail "the database holds no store, so older dumps are kept: is this the right database?" 1
fi
while [ $# -gt "$keep" ]; do
  # The new one is not always the last: the clock may have been ahead once.
  if [ "$1" != "$file" ]; then
    rm -f "$1"
    echo "backup: removed $1"
  fi
  shift
done

# For `doctor`, which warns when the newest is old. A database older than this script has no table.
noted=$(ask "SELECT to_regclass('public.backups') IS NOT NULL")
if [ "$noted" = t ]; then
  ask "INSERT INTO public.backups (file_name, bytes, stores) VALUES ('${file##*/}', $size, $stores)" ||
    fail "$file is whole, but could not be noted in the table backups: doctor will call it missing" 1
fi
