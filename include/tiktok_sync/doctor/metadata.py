"""The doctor's check of Airflow's own database: did `airflow db clean` leave tables behind?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from include.tiktok_sync.doctor.finding import Finding
from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.store_db.database import connect, database_errors
from include.tiktok_sync.stores.erasure import airflow_history

VARIABLE = airflow_history.VARIABLE
CHECK = "Airflow's history"

_NAMED = 3

# The prefix that Airflow gives them (airflow.utils.db_cleanup.ARCHIVE_TABLE_PREFIX).
_LEFT = r"""
SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relname LIKE '\_airflow\_deleted\_\_%%'
    AND pg_table_is_visible(c.oid)
ORDER BY c.relname
"""


def check(env: Mapping[str, str]) -> Iterator[Finding]:
    """Look for archive tables, which nobody reads and nothing removes; only in Postgres."""
    url = airflow_history.database_url(env)
    if url is None:
        return
    try:
        with (
            connect(url, application_name="tiktok_sync:doctor", setting=VARIABLE) as conn,
            database_errors(),
        ):
            left = conn.execute(_LEFT).fetchall()
    except SyncError as error:
        yield Finding(CHECK, "skip", f"could not be checked: {error}")
        return
    if not left:
        yield Finding(CHECK, "ok", "no archive tables of airflow db clean")
        return
    named = ", ".join(name for name, _ in left[:_NAMED]) + (", …" if len(left) > _NAMED else "")
    size = sum(size for _, size in left) / 1_000_000
    yield Finding(
        CHECK,
        "warn",
        f"{len(left)} archive tables of airflow db clean take {size:.1f} MB: {named}",
        "airflow db drop-archived --yes; and give airflow db clean --skip-archive, as"
        " docs/operations.md does, so that it leaves none.",
    )
