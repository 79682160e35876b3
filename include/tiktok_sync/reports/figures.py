"""What do the views say about one week? Everything in a report, gathered from the database.

What is not known is ``None``, never 0. Weeks, gains and medians are those of the view
``store_week``; days and weeks are the sync's (``sync_calendar``), hours of posting the store's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from statistics import median
from typing import Any

from psycopg.rows import class_row, dict_row

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.reports import queries
from include.tiktok_sync.reports.week import Week
from include.tiktok_sync.store_db.database import Connection

USUAL_WEEKS = 8
"""Weeks before the report's own that say what is usual, as in ``store_week``."""

LEAST_WEEKS = 4
"""How many of a store's eight weeks before must be known for its week to be judged."""

LEAST_VIEWS = 100
"""The fewest views of a store's usual week: a percentage of a handful says little."""

STORES_SHOWN = 8
VIDEOS_SHOWN = 10
HASHTAGS_SHOWN = 12
GAPS_SHOWN = 25
"""Lines of each list; it gives the number of the rest."""

_WEEK = 7
_DAYS_OF = {
    "view_gain": "view_gain_days",
    "follower_gain": "profile_gain_days",
    "likes_gain": "profile_gain_days",
}


@dataclass(frozen=True)
class Total:
    """A figure of all stores in one week, compared with other weeks.

    Attributes:
        value: The sum over the stores of which it is known; ``None`` = of none.
        stores: How many those are.
        before: The same of the week before.
        stores_before: Stores that ``before`` counts.
        uneven: Stores whose gain covers more or fewer than 7 days, in ``value`` or ``before``.
        usual: Median of the sums of the eight weeks before, of those that are known.
    """

    value: int | None
    stores: int
    before: int | None
    stores_before: int
    uneven: int
    usual: float | None


@dataclass(frozen=True)
class StoreWeek:
    """A store's week compared with its own median of the eight weeks before, in views gained."""

    store_code: str
    store_name: str
    gain: int
    usual: float

    @property
    def change(self) -> float:
        """Relative to the usual week: 0.5 is half as many views again."""
        return (self.gain - self.usual) / self.usual


@dataclass(frozen=True)
class BestVideo:
    """A video by the views it gained in the week; ``engagement`` is by views, 0.05 five percent."""

    video_id: str
    store_code: str
    store_name: str
    title: str | None
    link: str | None
    posted: datetime | None
    zone: str
    views: int | None
    gain: int
    engagement: float | None


@dataclass(frozen=True)
class Hashtag:
    """A hashtag of the week's videos; ``median_views`` at the end of the week."""

    hashtag: str
    videos: int
    stores: int
    median_views: float | None


@dataclass(frozen=True)
class Gap:
    """A store with days of the week on which its figures were not observed."""

    store_code: str
    store_name: str
    profile_days: Sequence[date]
    video_days: Sequence[date]


@dataclass(frozen=True)
class NeedsConsent:
    """An active store without a working grant, as of now."""

    store_code: str
    store_name: str
    status: str


@dataclass(frozen=True)
class Figures:
    """Everything in a report.

    Attributes:
        week: Which week.
        region: Of which region; empty = all stores.
        stores: How many stores there were in the week.
        followers: At the end of the week.
        totals: Name of a figure of ``store_week`` -> the chain's week.
        view_weeks: Views gained in each of the nine weeks, the oldest first; ``None`` = unknown.
        follower_days: Followers gained on each day of this week and the week before.
        rose: Stores above their usual week, the most first.
        fell: Stores below it.
        compared: Stores that were compared; the others lack days, earlier weeks or views.
        videos: The best by views gained.
        hours: (weekday 1 to 7, hour) -> videos posted.
        hashtags: Of those videos.
        gaps: Active stores with missing days.
        consent: Stores whose manager must connect the account.
    """

    week: Week
    region: str
    stores: int
    followers: Total
    totals: Mapping[str, Total]
    view_weeks: Sequence[tuple[date, int | None]]
    follower_days: Mapping[date, int | None]
    rose: Sequence[StoreWeek]
    fell: Sequence[StoreWeek]
    compared: int
    videos: Sequence[BestVideo]
    hours: Mapping[tuple[int, int], int]
    hashtags: Sequence[Hashtag]
    gaps: Sequence[Gap]
    consent: Sequence[NeedsConsent]

    @property
    def is_known(self) -> bool:
        """Whether anything was observed in the week."""
        return any(total.value is not None for total in (self.followers, *self.totals.values()))


def read_figures(conn: Connection, week: Week, region: str = "") -> Figures:
    """Read them as of one moment.

    Args:
        conn: Autocommit; needs no more than reading.
        week: One of the weeks that ``store_week`` has.
        region: Only stores of this region; empty = all.

    Raises:
        ConfigurationError: No store is in this region.
    """
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        conn.execute("SET LOCAL jit = off")  # takes longer than what it would save
        _require_region(conn, region)
        return _read(conn, week, region)


def _require_region(conn: Connection, region: str) -> None:
    known = [row[0] for row in conn.execute("SELECT DISTINCT region FROM stores ORDER BY 1")]
    if region and region not in known:
        regions = ", ".join(name for name in known if name) or "no store has a region"
        message = f"No store is in the region {region}. There are: {regions}."
        raise ConfigurationError(message)


def _read(conn: Connection, week: Week, region: str) -> Figures:
    values = {
        "region": region,
        "start": week.start,
        "end": week.end,
        "before": week.earlier(1).start,
        "first": week.earlier(USUAL_WEEKS).start,
        "weeks": USUAL_WEEKS,
        "videos": VIDEOS_SHOWN,
        "hashtags": HASHTAGS_SHOWN,
    }

    def rows_of(kind: type[Any], query: str, **others: int) -> list[Any]:
        with conn.cursor(row_factory=class_row(kind)) as cursor:
            return cursor.execute(query.encode(), {**values, **others}).fetchall()

    with conn.cursor(row_factory=dict_row) as cursor:
        here = cursor.execute(queries.STORES.encode(), values).fetchall()
        weeks: dict[date, list[dict[str, Any]]] = defaultdict(list)
        for line in cursor.execute(queries.CHAIN.encode(), values):
            weeks[line["week_start"]].append(line)
    compared = [
        StoreWeek(s["store_code"], s["store_name"], s["view_gain"], s["median_view_gain"])
        for s in here
        if _is_comparable(s)
    ]
    compared.sort(key=lambda store: (store.change, store.store_code))
    return Figures(
        week=week,
        region=region,
        stores=len(here),
        followers=_total(weeks, week, "follower_count"),
        totals={
            name: _total(weeks, week, name)
            for name in ("view_gain", "follower_gain", "likes_gain", "videos_new", "videos_removed")
        },
        view_weeks=[
            (one.start, _sum(line["view_gain"] for line in weeks[one.start]))
            for one in (week.earlier(n) for n in range(USUAL_WEEKS, -1, -1))
        ],
        follower_days=dict(conn.execute(queries.DAYS.encode(), values).fetchall()),
        rose=[store for store in compared[::-1] if store.change > 0][:STORES_SHOWN],
        fell=[store for store in compared if store.change < 0][:STORES_SHOWN],
        compared=len(compared),
        videos=rows_of(BestVideo, queries.VIDEOS, weeks=0),
        hours={(day, hour): n for day, hour, n in conn.execute(queries.HOURS.encode(), values)},
        hashtags=rows_of(Hashtag, queries.HASHTAGS),
        gaps=[
            Gap(
                s["store_code"],
                s["store_name"],
                s["profile_days_missing"] or (),
                s["video_days_missing"] or (),
            )
            for s in here
            if s["is_active"] and (s["profile_days_missing"] or s["video_days_missing"])
        ],
        consent=rows_of(NeedsConsent, queries.CONSENT),
    )


def _is_comparable(line: Mapping[str, Any]) -> bool:
    """Whether a store's views of seven days can be compared with its usual week."""
    return (
        line["view_gain"] is not None
        and line["view_gain_days"] == _WEEK
        and line["weeks_view_gain"] >= LEAST_WEEKS
        and line["median_view_gain"] >= LEAST_VIEWS
    )


def _total(weeks: Mapping[date, list[dict[str, Any]]], week: Week, name: str) -> Total:
    def known(ago: int) -> list[int]:
        of_week = weeks.get(week.earlier(ago).start, [])
        return [line[name] for line in of_week if line[name] is not None]

    days = _DAYS_OF.get(name)
    uneven = {
        line["store_code"]
        for ago in (0, 1)
        for line in weeks.get(week.earlier(ago).start, [])
        if days and line[name] is not None and line[days] != _WEEK
    }
    sums = [sum(values) for n in range(1, USUAL_WEEKS + 1) if (values := known(n))]
    now, before = known(0), known(1)
    return Total(
        value=_sum(now),
        stores=len(now),
        before=_sum(before),
        stores_before=len(before),
        uneven=len(uneven),
        usual=median(sums) if sums else None,
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
