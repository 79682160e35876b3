#!/bin/sh
# Dumps the product's database into BACKUP_FOLDER, and keeps the newest BACKUP_KEEP (14) dumps.
#
#   STORE_DB_DIRECT_URL  libpq URL of the database, past the pooler
#
# A dump holds the stores' tokens as ciphertext: keep TIKTOK_TOKEN_KEYS apart from it, and keep both.
set -eu

: "${STORE_DB_DIRECT_URL:?libpq URL of the database, past the pooler}" "${BACKUP_FOLDER:?where dumps go}"
keep=${BACKUP_KEEP:-14}
case $keep in *[!0-9]* | "" | 0) echo "backup: BACKUP_KEEP must be a whole number from 1 on" >&2 && exit 2 ;; esac

umask 077
file=$BACKUP_FOLDER/tiktok_sync-$(date -u +%Y%m%dT%H%M%SZ).dump
# Under another name until it is whole: a half dump must not push out a good one.
trap 'rm -f "$file.part"' EXIT
pg_dump --dbname="$STORE_DB_DIRECT_URL" --format=custom --no-owner --no-privileges --file="$file.part"
mv "$file.part" "$file"
echo "backup: $file ($(du -h "$file" | cut -f1))"

# Their names sort by age, the oldest first.
set -- "$BACKUP_FOLDER"/tiktok_sync-*.dump
while [ $# -gt "$keep" ]; do
  rm -f "$1"
  echo "backup: removed $1"
  shift
done
