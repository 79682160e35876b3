"""How long are a video's daily figures kept? Thins old days and drops old months, or reports them.

The tables that grow are ``video_daily_stats`` and, where the Accounts API is used,
``video_insights_daily``: one row per video and day. Days older than ``RETENTION_DAILY_DAYS`` are
thinned to one per week: each video's newest, and a late one only if none was observed on time; rows
that keep a post's lists stay. Whole months older than ``RETENTION_WEEKLY_DAYS`` are dropped.
Profiles, videos and logs stay. The connect app's records:
:mod:`include.tiktok_sync.store_db.connect_retention`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

import psycopg
import structlog
from psycopg import sql
from pydantic import AfterValidator, BeforeValidator, model_validator
from typing_extensions import Self

from include.tiktok_sync.days import next_month
from include.tiktok_sync.errors import DatabaseUnavailableError
from include.tiktok_sync.settings import EnvironmentSettings, WholeNumber, variable
from include.tiktok_sync.store_db.database import Connection

DEFAULT_DAILY_DAYS = 400
"""More than a year, so that every day can be compared with the same day of the year before."""

LEAST_DAYS = 62
"""The views look 30 days back, and a backfill may write the month before."""

DEFAULT_CONNECT_DAYS = 180
"""Half a year: long enough to ask who connected a store, and how often it went wrong."""

LEAST_CONNECT_DAYS = 7
"""TikTok repeats an event for three days, and its row ensures that it counts once."""

DEFAULT_IDENTITY_DAYS = 90
DEFAULT_REMOVED_TEXT_DAYS = 30
DEFAULT_LEFT_DAYS = 30
"""The clocks of personal data run unless they are switched off (0)."""

_MOST_DAYS = 36_500
"""A hundred years, so that the day to count from is one."""

_LOCK_TIMEOUT = "10s"

log = structlog.get_logger(__name__)


def _for_ever_or(least: int) -> AfterValidator:
    def check(days: int) -> int:
        if 0 < days < least or days > _MOST_DAYS:
            raise ValueError
        return days

    return AfterValidator(check)


def _yes(value: object) -> bool:
    if not isinstance(value, bool) and value not in {"yes", "no"}:
        raise ValueError
    return value in {True, "yes"}


class RetentionSettings(EnvironmentSettings):
    """How long figures, records and personal data are kept.

    Attributes:
        daily_days: Days for which every day is kept; 0 = all of them, forever.
        weekly_days: Days for which one day a week is kept; 0 = forever.
        connect_days: Days for which the connect app's attempts, links and events are kept; 0 = for
            ever.
        identity_days: Days for which daily profile rows name the account; 0 = forever.
        removed_text_days: Days for which a removed video keeps its text; 0 = forever.
        left_days: Days for which a store that left keeps its personal data; 0 = forever.
        apply: Whether the run deletes figures and the connect app's records, instead of saying
            what it would delete (``RETENTION_APPLY=yes``). The clocks of personal data run anyway.
    """

    daily_days: Annotated[
        WholeNumber,
        _for_ever_or(LEAST_DAYS),
        variable("RETENTION_DAILY_DAYS", f"0 (forever) or {LEAST_DAYS} to {_MOST_DAYS} days"),
    ] = DEFAULT_DAILY_DAYS
    weekly_days: Annotated[
        WholeNumber,
        _for_ever_or(LEAST_DAYS),
        variable("RETENTION_WEEKLY_DAYS", f"0 (forever) or {LEAST_DAYS} to {_MOST_DAYS} days"),
    ] = 0
    connect_days: Annotated[
        WholeNumber,
        _for_ever_or(LEAST_CONNECT_DAYS),
        variable(
            "RETENTION_CONNECT_DAYS", f"0 (forever) or {LEAST_CONNECT_DAYS} to {_MOST_DAYS} days"
        ),
    ] = DEFAULT_CONNECT_DAYS
    identity_days: Annotated[
        WholeNumber,
        _for_ever_or(1),
        variable("RETENTION_IDENTITY_DAYS", f"0 (forever) or 1 to {_MOST_DAYS} days"),
    ] = DEFAULT_IDENTITY_DAYS
    removed_text_days: Annotated[
        WholeNumber,
        _for_ever_or(1),
        variable("RETENTION_REMOVED_TEXT_DAYS", f"0 (forever) or 1 to {_MOST_DAYS} days"),
    ] = DEFAULT_REMOVED_TEXT_DAYS
    left_days: Annotated[
        WholeNumber,
        _for_ever_or(1),
        variable("RETENTION_LEFT_DAYS", f"0 (forever) or 1 to {_MOST_DAYS} days"),
    ] = DEFAULT_LEFT_DAYS
    apply: Annotated[bool, BeforeValidator(_yes), variable("RETENTION_APPLY", "yes or no")] = False

    @model_validator(mode="after")
    def _keep_what_is_kept(self) -> Self:
        if self.weekly_days and self.daily_days and self.weekly_days < self.daily_days:
            message = (
                f"RETENTION_WEEKLY_DAYS ({self.weekly_days}) is smaller than RETENTION_DAILY_DAYS"
                f" ({self.daily_days}): days would be dropped that are to be kept. Raise it, or set"
                " it to 0 (forever)."
            )
            raise ValueError(message)
        return self


@dataclass(frozen=True)
class Month:
    """What is done to one month, or would be done.

    Attributes:
        partition: Its table.
        action: ``thin`` or ``drop``.
        rows: Rows that are deleted.
    """

    partition: str
    action: Literal["thin", "drop"]
    rows: int


def apply_retention(
    conn: Connection, settings: RetentionSettings, *, today: date, dry_run: bool
) -> list[Month]:
    """Thin and drop; each month is one transaction, so an interrupted run loses nothing.

    Repeating it finds nothing more to do. It never waits longer than ten seconds for a reader or
    writer, because others queue behind it: then it gives up, and the next run continues.

    Args:
        conn: Autocommit, as the owner of the tables.
        settings: How long figures are kept.
        today: The day from which the days are counted.
        dry_run: Change nothing, count what would be deleted.

    Returns:
        The months from which rows are deleted, the oldest first.

    Raises:
        DatabaseUnavailableError: A table was in use for too long.
    """
    done = []
    for month in _plan(conn, settings, today):
        try:
            found = _treat(conn, *month, dry_run=dry_run)
        except psycopg.errors.LockNotAvailable as error:
            message = f"{month[1]} was in use for too long. It is tried again."
            raise DatabaseUnavailableError(message, retry_after_s=300) from error
        if found.rows or found.action == "drop":
            log.info(
                "Would go" if dry_run else "Gone",
                partition=found.partition,
                action=found.action,
                rows=found.rows,
            )
            done.append(found)
    return done


def _plan(
    conn: Connection, settings: RetentionSettings, today: date
) -> Iterator[tuple[Literal["thin", "drop"], str, date]]:
    """The months concerned: action, partition, the first day that is kept."""
    # Whole weeks only: a week that is thinned in two parts would keep two days.
    keep_all = _monday(today - timedelta(days=settings.daily_days))
    keep_any = today - timedelta(days=settings.weekly_days)
    for parent in _OLDER_OF_A_WEEK:
        for partition, first in _partitions(conn, parent):
            following = next_month(first)
            if settings.weekly_days and following <= keep_any:
                yield "drop", partition, following
            elif settings.daily_days and first < keep_all:
                yield "thin", partition, keep_all


def _partitions(conn: Connection, parent: str) -> list[tuple[str, date]]:
    """Every monthly partition of a table with its first day, the oldest first."""
    rows = conn.execute(
        "SELECT c.relname, to_date(right(c.relname, 7), 'YYYY_MM') FROM pg_inherits i"
        " JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = %s::regclass AND c.relname ~ '_\\d{4}_\\d{2}$' ORDER BY 2",
        [parent],
    )
    return [(name, first) for name, first in rows]


def _treat(
    conn: Connection,
    action: Literal["thin", "drop"],
    partition: str,
    before: date,
    *,
    dry_run: bool,
) -> Month:
    table = sql.Identifier(partition)
    older = _OLDER_OF_A_WEEK[partition[: -len("_YYYY_MM")]]
    with conn.transaction():
        conn.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
        if action == "drop":
            rows = _count(conn, sql.SQL("SELECT count(*) FROM {}").format(table), {})
            if not dry_run:
                conn.execute(sql.SQL("DROP TABLE {}").format(table))
            return Month(partition, action, rows)
        if dry_run:
            query = sql.SQL("SELECT count(*) FROM {} d WHERE ").format(table) + older
            return Month(partition, action, _count(conn, query, {"before": before}))
        query = sql.SQL("DELETE FROM {} d WHERE ").format(table) + older
        return Month(partition, action, conn.execute(query, {"before": before}).rowcount)


# The week may begin in the month before, or end in the next; the row that stays is looked up by
# primary key: the newest in time, and the newest late one only where the week has no other.
_IN_ITS_WEEK = (
    " AND n.snapshot_date >= date_trunc('week', d.snapshot_date)::date"
    " AND n.snapshot_date < date_trunc('week', d.snapshot_date)::date + 7"
)
_OLDER_OF_A_WEEK: Mapping[str, sql.SQL] = {
    "video_daily_stats": sql.SQL(
        "d.snapshot_date < %(before)s AND EXISTS (SELECT FROM video_daily_stats n"
        f" WHERE n.video_id = d.video_id{_IN_ITS_WEEK}"
        " AND (NOT n.is_late, n.snapshot_date) > (NOT d.is_late, d.snapshot_date))"
    ),
    "video_insights_daily": sql.SQL(
        "d.snapshot_date < %(before)s AND d.lists_kept_for IS NULL"
        " AND EXISTS (SELECT FROM video_insights_daily n WHERE n.store_code = d.store_code"
        f" AND n.video_id = d.video_id{_IN_ITS_WEEK} AND n.snapshot_date > d.snapshot_date)"
    ),
}


def _count(conn: Connection, query: sql.Composed, values: Mapping[str, object]) -> int:
    row = conn.execute(query, values).fetchone()
    return int(row[0]) if row else 0


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
