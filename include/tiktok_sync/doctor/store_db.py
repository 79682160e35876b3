"""The doctor's checks of the product's database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from typing_extensions import LiteralString

from include.tiktok_sync.alerts.log import NO_CHANNEL, TRIED_FOR
from include.tiktok_sync.days import SnapshotDay, next_month, utc_now
from include.tiktok_sync.doctor import backup as doctor_backup
from include.tiktok_sync.doctor import grants as doctor_grants
from include.tiktok_sync.doctor.finding import Finding, Status, named
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db import schema
from include.tiktok_sync.store_db.connect_role import open_to_all
from include.tiktok_sync.store_db.connections import server_connections
from include.tiktok_sync.store_db.database import Connection

CONNECTIONS_WARN = 0.70
CONNECTIONS_FAIL = 0.85
"""Shares of ``max_connections``: the targets of the design."""

CLOCK_WARN = timedelta(seconds=5)
CLOCK_FAIL = timedelta(minutes=1)

STALE = timedelta(hours=26)
"""How long a daily Dag may go without a summary: a day and two hours."""

_DATED = ("user_daily_stats", "video_daily_stats", "sync_logs")
_AHEAD: LiteralString = (
    "SELECT (SELECT count(*) FROM user_daily_stats WHERE snapshot_date > %s),"
    " (SELECT count(*) FROM video_daily_stats WHERE snapshot_date > %s),"
    # A run that was refused has only a summary, which says why.
    " (SELECT count(*) FROM sync_logs WHERE snapshot_date > %s AND status = 'success')"
)


def check(conn: Connection, settings: Settings, env: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the database that answers on ``conn``."""
    yield _server(conn)
    yield _clock(conn)
    yield _connections(conn, env)
    try:
        schema.check_schema(conn)
    except ConfigurationError as error:
        todo = "python -m include.tiktok_sync db upgrade; or deploy the code that fits."
        yield Finding("schema", "fail", str(error), todo)
        return  # the tables may not be there
    yield Finding("schema", "ok", f"revision {schema.SCHEMA_REVISION}")
    yield _partitions(conn)
    yield from doctor_grants.check(conn, settings)
    yield _last_night(conn)
    yield _rights(conn)
    yield from doctor_backup.check(conn, env)
    yield _days_to_come(conn, settings)
    yield from _unsent_alerts(conn)


def _server(conn: Connection) -> Finding:
    version, size = _row(
        conn,
        "SELECT current_setting('server_version'),"
        " pg_size_pretty(pg_database_size(current_database()))",
    )
    return Finding("store database", "ok", f"Postgres {version}, {size}")


def _clock(conn: Connection) -> Finding:
    (now,) = _row(conn, "SELECT clock_timestamp()")
    return clock_finding("clock of the store database", now - datetime.now(timezone.utc))


def clock_finding(check: str, ahead: timedelta) -> Finding:
    """The finding for a clock that is this far ahead of this host's."""
    distance = abs(ahead)
    if distance < CLOCK_WARN:
        return Finding(check, "ok", "in step with this host's")
    status: Status = "warn" if distance < CLOCK_FAIL else "fail"
    word = "ahead of" if ahead > timedelta(0) else "behind"
    return Finding(
        check,
        status,
        f"{distance.total_seconds():.0f} s {word} this host's",
        "Let both hosts take their time from NTP (timedatectl; chronyc tracking).",
    )


def _connections(conn: Connection, env: Mapping[str, str]) -> Finding:
    use = server_connections(conn)
    pool = env.get("DB_POOL_SIZE", "")
    wanted = max(use.used, int(pool) if pool.isdecimal() else 0)
    share = wanted / use.most
    text = f"{use.used} of {use.most} in use" + (
        f", DB_POOL_SIZE {pool}" if pool.isdecimal() else ""
    )
    if share < CONNECTIONS_WARN:
        return Finding("connections", "ok", text)
    status: Status = "warn" if share < CONNECTIONS_FAIL else "fail"
    todo = (
        "See who holds them: SELECT application_name, count(*) FROM pg_stat_activity GROUP BY 1."
        " Lower DB_POOL_SIZE or the Dags' pools, or raise max_connections."
    )
    return Finding("connections", status, f"{text}: {share:.0%}", todo)


def _partitions(conn: Connection) -> Finding:
    ahead = next_month(utc_now().date())
    (found,) = _row(conn, "SELECT to_regclass(%s)", f"video_daily_stats_{ahead:%Y_%m}")
    if found:
        return Finding("partitions", "ok", f"there is one for {ahead:%Y-%m}")
    return Finding(
        "partitions",
        "warn",
        f"none for {ahead:%Y-%m} yet",
        "python -m include.tiktok_sync db upgrade makes them; so does list_stores of each run.",
    )


def _last_night(conn: Connection) -> Finding:
    rows = dict(
        conn.execute(
            "SELECT job_name, max(run_time) FROM sync_logs"
            " WHERE store_code IS NULL AND job_name = ANY(%s) GROUP BY 1",
            [[USER_JOB, VIDEO_JOB]],
        ).fetchall()
    )
    if not rows:
        return Finding("last night", "ok", "no run yet")
    since = datetime.now(timezone.utc) - STALE
    late = [job for job in (USER_JOB, VIDEO_JOB) if job not in rows or rows[job] < since]
    if not late:
        return Finding("last night", "ok", "both syncs ran within a day")
    return Finding(
        "last night",
        "warn",
        f"no run of {' and '.join(late)} for more than {STALE.total_seconds() / 3600:.0f} hours",
        "Check that the Dag is not paused and the scheduler runs, then trigger it: a day that is"
        " missed cannot be fetched later.",
    )


def _rights(conn: Connection) -> Finding:
    functions = open_to_all(conn)
    if not functions:
        return Finding("rights", "ok", "no function with the owner's rights is open to every login")
    return Finding(
        "rights",
        "fail",
        f"every login may call {len(functions)} functions with the owner's rights:"
        f" {named(functions)}",
        "A restore leaves it so. Run: python -m include.tiktok_sync db prepare",
    )


def _unsent_alerts(conn: Connection) -> Iterator[Finding]:
    count, error = _row(
        conn,
        "SELECT count(*), (array_agg(notify_error ORDER BY id DESC))[1] FROM alerts"
        " WHERE notified_at IS NULL AND raised_at > now() - %s"
        " AND notify_error IS DISTINCT FROM %s",
        TRIED_FOR,
        NO_CHANNEL,  # reported with the settings, once
    )
    if count:
        text = f"{count} raised since yesterday were accepted by no channel. {error or ''}".rstrip()
        todo = "Correct the channel's URL (docs/alerts.md); the next run sends them."
        yield Finding("alerts sent", "warn", text, todo)


def _days_to_come(conn: Connection, settings: Settings) -> Finding:
    # A sync refuses such a day; these rows were written by an older version, or with a wrong clock.
    today = SnapshotDay.of(utc_now(), settings.timezone).date
    counts = _row(conn, _AHEAD, *[today] * len(_DATED))
    found = {table: count for table, count in zip(_DATED, counts, strict=True) if count}
    if not found:
        return Finding("days to come", "ok", "no figures of a day after today")
    return Finding(
        "days to come",
        "warn",
        f"rows of days after {today} ({settings.timezone}): "
        + ", ".join(f"{count} in {table}" for table, count in found.items())
        + ". They count as the newest, so every gain is unknown",
        " ".join(f"DELETE FROM {table} WHERE snapshot_date > '{today}';" for table in found),  # noqa: S608 - for a person; our own names
    )


def _row(conn: Connection, query: LiteralString, *values: object) -> tuple[Any, ...]:
    return conn.execute(query, list(values)).fetchone() or ()
