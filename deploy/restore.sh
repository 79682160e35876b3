#!/bin/sh
# Restores a dump of deploy/backup.sh into a database that holds no store yet.
#
#   STORE_DB_DIRECT_URL  libpq URL of the database, past the pooler, as its owner
#   BACKUP_FILE          the dump
#
# Before: `python -m include.tiktok_sync db prepare` on the new server makes roles and database.
# After: the same again (rights, and migrations newer than the dump), then `doctor`.
#
# The dump is read to its end first. Then one transaction checks that the database holds no store,
# drops its empty tables and restores: whatever fails, the database stays as it was.
set -eu

script=restore
# shellcheck source=deploy/libpq.sh
. "$(dirname "$0")/libpq.sh"

: "${BACKUP_FILE:?the dump}"
[ -f "$BACKUP_FILE" ] || fail "there is no file $BACKUP_FILE; the database was not touched"
[ -r "$BACKUP_FILE" ] || fail "$BACKUP_FILE is not readable for user id $(id -u); the database was not touched"
log_in

# To a variable, not through a pipe: a pipe has the status of its last command only.
contents=$(pg_restore --list "$BACKUP_FILE") ||
  fail "$BACKUP_FILE is not a whole dump of pg_dump (see above); the database was not touched"
case $contents in
  *" TABLE DATA public stores "*) ;;
  *) fail "$BACKUP_FILE is a dump of another database: it has no table stores; nothing was touched" ;;
esac
pg_restore --file=/dev/null "$BACKUP_FILE" ||
  fail "$BACKUP_FILE is damaged (see above); the database was not touched"

# Nobody else may fill the tables between the check and the drop, hence the lock.
before="
BEGIN;
SET LOCAL lock_timeout = '60s';
SET LOCAL client_min_messages = error;
DO \$\$
DECLARE
    stores bigint := 0;
BEGIN
    IF to_regclass('public.stores') IS NOT NULL THEN
        LOCK TABLE public.stores IN ACCESS EXCLUSIVE MODE;
        SELECT count(*) INTO stores FROM public.stores;
    END IF;
    IF stores > 0 THEN
        RAISE EXCEPTION 'the database holds % stores already. Restore into an empty one: rename this (ALTER DATABASE … RENAME TO …), then db prepare, then restore.', stores;
    END IF;
END
\$\$;
DROP OWNED BY CURRENT_USER;
"
# The end of the transaction is written only if pg_restore says that it reached the end of the dump,
# and the dump's own last line came through: when psql sees no COMMIT, the server rolls back.
done=$(
  {
    printf '%s' "$before"
    { pg_restore --no-owner --no-privileges --file=- "$BACKUP_FILE" && echo "-- pg_restore ended"; } |
      LC_ALL=C awk '
        $0 == "-- PostgreSQL database dump complete" { whole = 1 }
        $0 == "-- pg_restore ended" { ended = 1 }
        { print }
        END { if (whole && ended) print "COMMIT;\n\\echo restored" }'
  } | psql "$url" -X -q -o /dev/null -v ON_ERROR_STOP=1 -v VERBOSITY=terse -f -
) || fail "nothing was restored (see above); the database is as it was before" 1
[ "$done" = restored ] || fail "nothing was restored: the dump ended early; the database is as it was before" 1
echo "restore: done; now: python -m include.tiktok_sync db prepare"
