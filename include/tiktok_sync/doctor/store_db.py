"""The doctor's checks of the product's database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from typing_extensions import LiteralString

from include.tiktok_sync.alerts.log import NO_CHANNEL, TRIED_FOR
from include.tiktok_sync.days import SnapshotDay, next_month, utc_now
from include.tiktok_sync.doctor import backup as doctor_backup
from include.tiktok_sync.doctor.finding import Finding, Status
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db import schema
from include.tiktok_sync.store_db.connect_role import open_to_all
from include.tiktok_sync.store_db.connections import server_connections
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.consents import consents_ending
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from include.tiktok_sync.tokens.grant_app import NEXT_STEP, app_use, other_app_message
from include.tiktok_sync.tokens.vault import TokenVault

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

_NAMED = 3


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
    yield from _tokens(conn, settings)
    yield _accounts(conn)
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


def _tokens(conn: Connection, settings: Settings) -> Iterator[Finding]:
    stores, connected, dead, partial = _row(
        conn,
        "SELECT count(*), count(t.store_code),"
        " count(*) FILTER (WHERE coalesce(t.status, 'needs_consent') = 'needs_consent'),"
        " count(*) FILTER (WHERE t.status = 'missing_scope')"
        " FROM stores LEFT JOIN store_tokens AS t USING (store_code) WHERE is_active",
    )
    ending = len(consents_ending(conn, settings.consent_warning_days, active=True))
    if not connected:
        todo = "python -m include.tiktok_sync stores import stores.csv"
        yield Finding("stores", "warn", "no active store has tokens", todo)
        return
    yield _decrypted(conn, settings)
    yield _app(conn, settings)
    text = f"{stores} active stores"
    if dead or partial or ending:
        text += (
            f": {dead} need consent, {partial} miss a permission,"
            f" {ending} end within {settings.consent_warning_days} days"
        )
        todo = "The view sync_freshness names them; connect them again."
        yield Finding("grants", "warn", text, todo)
    else:
        yield Finding("grants", "ok", text)


def _decrypted(conn: Connection, settings: Settings) -> Finding:
    try:
        vault = TokenVault(settings.token_keys)
    except ConfigurationError:
        return Finding("stored tokens", "skip", "no usable key to read them with")
    rows = conn.execute(
        "SELECT store_code, refresh_token FROM store_tokens ORDER BY store_code"
    ).fetchall()
    bad = [code for code, token in rows if not _readable(vault, code, token)]
    if not bad:
        return Finding("stored tokens", "ok", f"{len(rows)} read, all decrypted")
    named = ", ".join(bad[:_NAMED]) + (", …" if len(bad) > _NAMED else "")
    return Finding(
        "stored tokens",
        "fail",
        f"{len(bad)} of {len(rows)} cannot be decrypted with TIKTOK_TOKEN_KEYS ({named})",
        "Append the key they were encrypted with to TIKTOK_TOKEN_KEYS, after a comma; if it is"
        " lost, connect or import these stores again.",
    )


def _accounts(conn: Connection) -> Finding:
    doubles = accounts.doubles(conn)
    if not doubles:
        return _account_conflicts(conn)
    named = "; ".join(" and ".join(codes) for codes in doubles[:_NAMED])
    more = " …" if len(doubles) > _NAMED else ""
    return Finding(
        "accounts",
        "fail",
        f"{len(doubles)} TikTok accounts have more than one store ({named}{more}): each refresh"
        " ends the other's tokens, and the videos change owner with every sync",
        "Decide whose account it is, and take it from the other: stores disconnect CODE"
        " --no-revoke (revoking would end both). If that one has an account of its own: stores"
        " resume CODE --without-grant, then stores link CODE.",
    )


def _account_conflicts(conn: Connection) -> Finding:
    codes = accounts.conflicts(conn)
    if not codes:
        return Finding("accounts", "ok", "no two stores have the same TikTok account")
    named = ", ".join(codes[:_NAMED]) + (", …" if len(codes) > _NAMED else "")
    return Finding(
        "accounts",
        "fail",
        f"TikTok says that the tokens of {len(codes)} stores ({named}) belong to an account that"
        " another store holds: was the open_id column of an import shifted?",
        "Compare each store with its account. If the tokens are the right ones, disconnect one of"
        " these stores: stores disconnect CODE --no-revoke. The others take their own accounts"
        " with their next refresh. Then stores resume CODE --without-grant, and stores link CODE.",
    )


def _app(conn: Connection, settings: Settings) -> Finding:
    check = "app of the grants"
    if not settings.client_key:
        return Finding(check, "skip", "TIKTOK_CLIENT_KEY is not set")
    use = app_use(conn, fingerprint_of(settings.client_key))
    if use.of_others:
        status: Status = "fail" if len(use.of_others) == use.grants else "warn"
        return Finding(check, status, other_app_message(use, next_step=False), NEXT_STEP)
    text = f"{use.grants - use.unknown} of {use.grants} living grants were given to this app"
    if use.unknown:
        text += f"; of {use.unknown} it is not known before their next refresh"
    return Finding(check, "ok", text)


def _readable(vault: TokenVault, store_code: str, token: bytes) -> bool:
    try:
        vault.decrypt(token, store_code=store_code, kind="refresh")
    except ConfigurationError:
        return False
    return True


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
    named = ", ".join(functions[:_NAMED]) + (" …" if len(functions) > _NAMED else "")
    return Finding(
        "rights",
        "fail",
        f"every login may call {len(functions)} functions with the owner's rights: {named}",
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
