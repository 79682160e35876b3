"""Random histories of a few stores, up to today, as the syncs would have written them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from include.tiktok_sync.jobs import VIDEO_JOB
from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import UTC

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
YEAR = 365 * 24
"""Hours; a video that is about as old is left out, since the tests take some time."""

ZONES = ("UTC", "Asia/Tokyo", "America/New_York")
REACH = 75
"""Days that a history goes back."""

# What a description may hold -> its hashtag as people write it.
PIECES = {
    "new in store": "",
    "#": "",
    "no.#Sale!": "Sale",
    "#sale": "sale",
    "##SALE": "SALE",
    "\uff03Äpfel,": "Äpfel",
    "#A\u0308PFEL": "A\u0308PFEL",
    "#Straße": "Straße",
    "#STRASSE": "STRASSE",
    "#東京タワー。": "東京タワー",
    "#ПРИВЕТ": "ПРИВЕТ",
    "#привет": "привет",
    "#सूरत": "सूरत",
    "#new_in-2026": "new_in",
    "#🔥": "🔥",
}


@dataclass(frozen=True)
class Seen:
    """A row of a day, ``ago`` days back: its figures, and when it was observed."""

    ago: int
    figures: tuple[int | None, ...]
    hour: int
    late: bool

    def day(self, today: date) -> date:
        return today - timedelta(days=self.ago)

    def observed_at(self, today: date, zone: str) -> datetime:
        day = self.day(today) + timedelta(days=self.late)
        return datetime(day.year, day.month, day.day, self.hour, 20, tzinfo=ZoneInfo(zone))


@dataclass(frozen=True)
class Clip:
    """A video: hours since it was posted (``None`` = not known), its text, its days."""

    hours: int | None
    text: tuple[str, ...]
    removed_ago: int | None
    days: tuple[Seen, ...]


@dataclass(frozen=True)
class Shop:
    """A store: its own time zone, whether it was ever connected, since when it is in, its days.

    ``log`` has days, some time ago, on which its videos were read, and what each attempt was.
    """

    zone: str | None
    connected: bool
    created_ago: int | None
    profile: tuple[Seen, ...]
    clips: tuple[Clip, ...]
    log: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class History:
    """Stores, by the calendar of one zone."""

    zone: str
    shops: tuple[Shop, ...]

    @property
    def today(self) -> date:
        return NOW.astimezone(ZoneInfo(self.zone)).date()


@dataclass(frozen=True)
class Video:
    """A video as it is in the database, with its days observed on time."""

    video_id: str
    code: str
    posted: datetime | None
    text: tuple[str, ...]
    removed_at: datetime | None
    days: dict[date, tuple[datetime, tuple[int | None, ...]]]


def folded(tag: str) -> str:
    return unicodedata.normalize("NFC", tag).upper().lower()


_count = st.none() | st.sampled_from([0, 0, 1, 3, 10, 1000, 10**10])


def _days(figures: int, most: int) -> st.SearchStrategy[tuple[Seen, ...]]:
    row = st.tuples(
        st.tuples(*[_count] * figures), st.integers(0, 23), st.sampled_from([False] * 4 + [True])
    )
    return st.dictionaries(st.integers(1, REACH - 1), row, max_size=most).map(
        lambda found: tuple(Seen(ago, *values) for ago, values in sorted(found.items()))
    )


_clips = st.builds(
    Clip,
    hours=st.none()
    | st.integers(1, REACH * 24)
    | st.integers(YEAR - 99, YEAR - 3)
    | st.integers(YEAR + 3, YEAR + 99),
    text=st.lists(st.sampled_from(sorted(PIECES)), max_size=4).map(tuple),
    removed_ago=st.none() | st.integers(0, 30),
    days=_days(4, 40),
)
_shops = st.builds(
    Shop,
    zone=st.none() | st.sampled_from(ZONES),
    connected=st.booleans(),
    created_ago=st.none() | st.integers(0, 40),
    profile=_days(3, 40),
    clips=st.lists(_clips, max_size=4).map(tuple),
    log=st.dictionaries(
        st.integers(1, REACH - 1),
        st.lists(st.sampled_from(["success", "failed", "skipped", "late"]), min_size=1, max_size=2),
        max_size=40,
    ).map(lambda found: tuple((ago, tuple(attempts)) for ago, attempts in found.items())),
)
histories = st.builds(
    History,
    zone=st.sampled_from(ZONES),
    shops=st.lists(_shops, min_size=1, max_size=3).map(tuple),
)


def code_of(number: int) -> str:
    return f"S{number}"


def created_at(shop: Shop) -> datetime:
    if shop.created_ago is None:
        return datetime(2025, 1, 1, tzinfo=UTC)
    return NOW - timedelta(days=shop.created_ago)


def videos_of(history: History) -> list[Video]:
    """All videos, without what was observed late."""
    return [
        Video(
            f"{number}-{place}",
            code_of(number),
            None if clip.hours is None else NOW - timedelta(hours=clip.hours, minutes=30),
            clip.text,
            None if clip.removed_ago is None else NOW - timedelta(days=clip.removed_ago),
            {
                seen.day(history.today): (
                    seen.observed_at(history.today, history.zone),
                    seen.figures,
                )
                for seen in clip.days
                if not seen.late
            },
        )
        for number, shop in enumerate(history.shops)
        for place, clip in enumerate(shop.clips)
    ]


def video_days(history: History, number: int, *, late: bool = False) -> set[date]:
    """Days on which a store's videos were read: complete by the log or, without one, with rows."""
    shop, today = history.shops[number], history.today
    log = {today - timedelta(days=ago): attempts for ago, attempts in shop.log}
    complete = {"success", "late"} if late else {"success"}
    logged = {day for day, attempts in log.items() if complete & set(attempts)}
    rows = {s.day(today) for clip in shop.clips for s in clip.days if late or not s.late}
    return logged | (rows - set(log))


def profiles_of(history: History) -> dict[str, dict[date, tuple[int | None, ...]]]:
    """Each store's profile figures observed on time, by day."""
    return {
        code_of(number): {
            seen.day(history.today): seen.figures for seen in shop.profile if not seen.late
        }
        for number, shop in enumerate(history.shops)
    }


def write(conn: Connection, history: History) -> None:
    """Make it the whole content of the database."""
    today, zone = history.today, history.zone
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute("DELETE FROM sync_logs")
        cursor.execute("DELETE FROM stores")
        cursor.execute("UPDATE sync_calendar SET timezone = %s", [zone])
        for number, shop in enumerate(history.shops):
            code = code_of(number)
            cursor.execute(
                "INSERT INTO stores (store_code, store_name, region, timezone, created_at)"
                " VALUES (%s, %s, 'North', %s, %s)",
                [code, f"Store {code}", shop.zone, created_at(shop)],
            )
            if shop.connected:
                cursor.execute(
                    "INSERT INTO store_tokens (store_code, open_id, scope, access_token,"
                    " refresh_token, created_at) VALUES (%s, %s, 's', '', '', '2025-01-01')",
                    [code, f"o-{code}"],
                )
            cursor.executemany(
                "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count,"
                " likes_count, video_count, observed_at, is_late)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [
                    (code, d.day(today), *d.figures, d.observed_at(today, zone), d.late)
                    for d in shop.profile
                ],
            )
            cursor.executemany(
                "INSERT INTO sync_logs (job_name, store_code, status, message, run_id,"
                " snapshot_date, details) VALUES (%s, %s, %s, '', %s, %s, %s)",
                [
                    (
                        VIDEO_JOB,
                        code,
                        "success" if attempt == "late" else attempt,
                        f"{ago}-{place}",
                        today - timedelta(days=ago),
                        Jsonb({"late": True} if attempt == "late" else {}),
                    )
                    for ago, attempts in shop.log
                    for place, attempt in enumerate(attempts)
                ],
            )
        for video in videos_of(history):
            number, place = map(int, video.video_id.split("-"))
            clip = history.shops[number].clips[place]
            seen = [d.observed_at(today, zone) for d in clip.days] or [NOW]
            cursor.execute(
                "INSERT INTO videos (video_id, store_code, title, video_description, create_time,"
                " first_seen_at, last_seen_at, removed_at)"
                " VALUES (%s, %s, 'T', %s, %s, %s, %s, %s)",
                [
                    video.video_id,
                    video.code,
                    " ".join(video.text) or None,
                    video.posted,
                    min(seen),
                    max(seen),
                    video.removed_at,
                ],
            )
            cursor.executemany(
                "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
                " like_count, comment_count, share_count, observed_at, is_late)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        video.video_id,
                        d.day(today),
                        video.code,
                        *d.figures,
                        d.observed_at(today, zone),
                        d.late,
                    )
                    for d in clip.days
                ],
            )
