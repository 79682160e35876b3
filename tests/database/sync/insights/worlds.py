"""A product with the Accounts API, a sandbox that serves it, and a clock for both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.app import BusinessApp
from include.tiktok_sync.business.models import AUDIENCE_LISTS, DAY_FIGURES, POST_LISTS
from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import INSIGHTS_JOB
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.store_job import StoreOutcome
from include.tiktok_sync.tiktok.http import Timeouts
from tests.database.bench import Bench, today
from tests.sandbox_server import BUSINESS_APP, SandboxServer

UTC = timezone.utc
NIGHT = time(5)
"""When the Dag runs."""

DAY_COLUMNS = (*DAY_FIGURES, "audience_activity")
POST_FIGURES = (
    *("video_views", "likes", "comments", "shares", "favorites", "reach", "new_followers"),
    *("profile_views", "website_clicks", "phone_number_clicks", "lead_submissions"),
    *("app_download_clicks", "email_clicks", "address_clicks", "video_duration"),
    *("total_time_watched", "average_time_watched", "full_video_watched_rate"),
)
INSIGHTS_REFUSED = [
    {
        "fault": "business_fields_offline",
        "endpoints": ["business_get"],
        "after": after,
        "times_per_store": 1,
    }
    for after in (0, 3)
]
"""The account's call is refused, then its groups are asked for, of which the insights come last."""

NO_LIMITS = {"per_second": 0, "per_minute": 0, "per_account_minute": 0}


@dataclass(frozen=True)
class InsightsBench:
    """What a test of the third sync works with.

    Attributes:
        bench: The product on one database and one sandbox.
        patch: Moves the product's clock.
    """

    bench: Bench
    patch: pytest.MonkeyPatch

    @property
    def app(self) -> BusinessApp:
        return BusinessApp(
            self.bench.sandbox.url,
            BUSINESS_APP["app_id"],
            BUSINESS_APP["secret"],
            Timeouts(connect_s=5, read_s=20),
        )

    def night(self, day: date) -> SnapshotDay:
        """It is five o'clock of that day, for the product and for TikTok."""
        now = datetime.combine(day, NIGHT, UTC)
        for module in ("account", "job", "past_day", "posts"):
            self.patch.setattr(f"include.tiktok_sync.sync.insights.{module}.utc_now", lambda: now)
        self.patch.setattr("include.tiktok_sync.tiktok.http.utc_now", lambda: now)
        self.bench.sandbox.admin("PATCH", "/settings", json={"date": day.isoformat()})
        return SnapshotDay(day, today().timezone)

    def sync(self, code: str, day: SnapshotDay, **options: Any) -> StoreOutcome:
        """One store through `run_store`."""
        options.setdefault("run_id", f"night {day.date}")
        return self.bench.sync(INSIGHTS_JOB, code, day=day, app=self.app, **options)

    def truth(self, code: str) -> dict[str, Any]:
        """What TikTok says about one store now, and what is true."""
        told = self.bench.sandbox.admin("GET", "/business/truth", params={"store_code": code})
        found: dict[str, Any] = told[code]
        return found

    def calls(self) -> dict[str, int]:
        """Calls of the Accounts API by endpoint."""
        return {
            name.removeprefix("business_"): calls
            for name, calls in self.bench.calls().items()
            if name.startswith("business_")
        }

    def days(self, code: str) -> dict[str, dict[str, Any]]:
        """The store's account days in the database."""
        found = self.bench.rows("SELECT * FROM account_daily WHERE store_code = %s", code)
        return {line["metric_date"].isoformat(): line for line in found}

    def posts(self, code: str, day: date) -> dict[str, dict[str, Any]]:
        """The store's posts of one snapshot in the database."""
        found = self.bench.rows(
            "SELECT * FROM video_insights_daily WHERE store_code = %s AND snapshot_date = %s",
            code,
            day,
        )
        return {line["video_id"]: line for line in found}


def day_figures(told: Mapping[str, Any]) -> dict[str, Any]:
    """A day of the sandbox's truth as the table has it."""
    return {name: told.get(name) for name in DAY_COLUMNS}


def differences(world: InsightsBench, code: str, day: date, *, is_first: bool = True) -> list[str]:
    """Where the database does not hold what TikTok says of the store now; empty = all is right.

    After the first night there may be more: older days, lists that TikTok leaves out by now; and
    less: posts that no longer change.
    """
    truth = world.truth(code)
    found = _wrong_days(world.days(code), truth["days"], is_first=is_first)
    audience = world.bench.row(
        "SELECT * FROM account_audience WHERE store_code = %s AND snapshot_date = %s", code, day
    )
    told = {**truth["profile"], **truth["audience"]}
    totals = ("followers_count", "following_count", "total_likes", "videos_count")
    found += [
        f"{column}: {audience[column]} is not {told.get(column)}"
        for column in (*AUDIENCE_LISTS, *totals)
        if audience[column] != told.get(column)
    ]
    found += _wrong_posts(world.posts(code, day), truth["posts"], day, is_first=is_first)
    return [f"{code} {line}" for line in found]


def _is_day(kept: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    # Nobody has documented whether a day's followers are the gain or the total.
    followers = (told.get("followers_count"), told.get("total_followers"))
    mine = {name: kept[name] for name in DAY_COLUMNS} | {"followers_count": followers[0]}
    return kept["followers_count"] in followers and mine == day_figures(told)


def _wrong_days(kept: Mapping[str, Any], told: Mapping[str, Any], *, is_first: bool) -> list[str]:
    found = [
        f"{name}: {kept.get(name)} is not {figures}"
        for name, figures in told.items()
        if name not in kept or not _is_day(kept[name], figures)
    ]
    more = kept.keys() - told.keys() if is_first else ()
    return found + [f"{name}: TikTok has no such day" for name in more]


def _wrong_posts(
    kept: Mapping[str, Any], posts: list[dict[str, Any]], day: date, *, is_first: bool
) -> list[str]:
    told = {post["item_id"]: post for post in posts if not post["hidden"]}
    old = (datetime.combine(day, NIGHT, UTC) - timedelta(days=366)).timestamp()
    found = [f"{video_id}: TikTok does not list it" for video_id in kept.keys() - told]
    for video_id, post in told.items():
        lists = [name for name in POST_LISTS if is_first or post.get(name) is not None]
        names = (*POST_FIGURES, *lists, "media_type", "is_ad")
        if video_id not in kept:
            if is_first or float(post["create_time"]) > old:
                found.append(f"{video_id}: missing")
        elif wrong := [name for name in names if kept[video_id][name] != post.get(name)]:
            found.append(f"{video_id}: {wrong}")
    return found


@contextmanager
def insights_bench(db_url: str, conn: Connection, server: SandboxServer) -> Iterator[InsightsBench]:
    """The product on `db_url` and `server`, no store imported, no limit."""
    settings = Settings.from_env(
        {
            "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(),
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "0",
            "TIKTOK_API_URL": server.url,
            "TIKTOK_CLIENT_KEY": server.client_key,
            "TIKTOK_CLIENT_SECRET": server.client_secret,
            "TIKTOK_BUSINESS_URL": server.url,
            "TIKTOK_BUSINESS_APP_ID": BUSINESS_APP["app_id"],
            "TIKTOK_BUSINESS_SECRET": BUSINESS_APP["secret"],
            "STORE_DB_URL": db_url,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        yield InsightsBench(Bench(db_url, conn, server, settings), patch)


def last_nights(count: int) -> list[date]:
    """The last days up to today, oldest first: tokens live by the real clock."""
    return [today().date - timedelta(days=ago) for ago in range(count - 1, -1, -1)]


def new_database(postgres: Any, template: str) -> tuple[str, Connection]:
    """A migrated database of its own and a connection to it."""
    url = postgres.url(postgres.new_database(template))
    return url, psycopg.connect(url, autocommit=True)
