"""Do the views that people look at say what a plain computation over the same history says?"""

# ruff: noqa: S608 - names of views of this file
from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import UTC, rows
from tests.database.store_db.views.histories import (
    NOW,
    PIECES,
    REACH,
    YEAR,
    History,
    Video,
    code_of,
    created_at,
    folded,
    histories,
    profiles_of,
    video_days,
    videos_of,
    write,
)

FEW = settings(
    max_examples=int(os.environ.get("WORLDS", "12")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def world(postgres: Any, _template: str) -> Iterator[Connection]:
    """One database for the whole module: each history replaces what is in it."""
    postgres.run("CREATE DATABASE {} TEMPLATE {}", "figures", _template)
    with psycopg.connect(postgres.url("figures"), autocommit=True) as conn:
        first = (NOW - timedelta(days=REACH + 40)).date()
        conn.execute("SELECT ensure_video_daily_stats_partitions(%s, 6)", [first])
        yield conn
    postgres.run("DROP DATABASE {}", "figures")


def total(values: Iterable[int | None]) -> int | None:
    """The sum of the known ones; unknown if none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def minus(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left - right


def middle(values: Iterable[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def same(
    conn: Connection, view: str, key: Sequence[str], expected: Iterable[dict[str, Any]]
) -> None:
    """The view has exactly these rows, as far as their columns go."""

    def order(line: dict[str, Any]) -> str:
        return str([line[name] for name in key])

    wanted = sorted(expected, key=order)
    found = sorted(rows(conn, f"SELECT * FROM {view}"), key=order)
    names = list(wanted[0]) if wanted else []
    assert [{name: line[name] for name in names} for line in found] == wanted


@FEW
@given(history=histories)
def test_engagement_is_by_views_and_by_followers_of_the_same_day(
    world: Connection, history: History
) -> None:
    write(world, history)
    profiles = profiles_of(history)

    def lines(video: Video) -> Iterator[dict[str, Any]]:
        for day, (_, (views, likes, comments, shares)) in video.days.items():
            followers = profiles[video.code].get(day, (None,))[0]
            done = (
                None
                if likes is None or comments is None or shares is None
                else likes + comments + shares
            )
            yield {
                "video_id": video.video_id,
                "snapshot_date": day,
                "store_code": video.code,
                "view_count": views,
                "follower_count": followers,
                "engagement_count": done,
                "engagement_rate_by_views": done / views if done is not None and views else None,
                "engagement_rate_by_followers": (
                    done / followers if done is not None and followers else None
                ),
            }

    expected = [line for video in videos_of(history) for line in lines(video)]
    same(world, "video_engagement", ("video_id", "snapshot_date"), expected)


def at_age(video: Video, days: int) -> tuple[date, datetime, tuple[int | None, ...]] | None:
    """The first observation from that age on, and before the next day of its life."""
    assert video.posted is not None
    begin = video.posted + days * timedelta(hours=24)
    found = [
        (observed, day, figures)
        for day, (observed, figures) in video.days.items()
        if begin <= observed.astimezone(UTC) < begin + timedelta(hours=24)
    ]
    if not found:
        return None
    observed, day, figures = min(found)
    return day, observed, figures


@FEW
@given(history=histories)
def test_the_curve_after_posting_goes_by_the_hours_since(
    world: Connection, history: History
) -> None:
    write(world, history)
    expected = []
    for video in videos_of(history):
        for days in (1, 2, 3, 7, 28) if video.posted else ():
            day, observed, figures = at_age(video, days) or (None, None, (None,) * 4)
            names = ("view_count", "like_count", "comment_count", "share_count")
            expected.append(
                {
                    "video_id": video.video_id,
                    "days_after_posting": days,
                    "create_time": video.posted,
                    "snapshot_date": day,
                    "observed_at": observed,
                    **dict(zip(names, figures, strict=True)),
                }
            )
    same(world, "video_age_curve", ("video_id", "days_after_posting"), expected)


def by_group(
    history: History, keys_of: Callable[[Video], Iterable[tuple[Any, ...]]]
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any], int | None]]:
    """Each group of this year's videos with its counts and medians, and its sum of views."""
    groups: dict[tuple[Any, ...], list[Video]] = defaultdict(list)
    for video in videos_of(history):
        if video.posted and video.posted > NOW - timedelta(hours=YEAR):
            for key in keys_of(video):
                groups[key].append(video)
    for key, videos in groups.items():
        newest = [max(v.days.items())[1][1][0] if v.days else None for v in videos]
        week = [seen[2][0] if (seen := at_age(v, 7)) else None for v in videos]
        figures = {
            "videos": len(videos),
            "videos_with_views": sum(views is not None for views in newest),
            "median_views": middle(newest),
            "videos_with_views_7d": sum(views is not None for views in week),
            "median_views_7d": middle(week),
        }
        yield key, figures, total(newest)


@FEW
@given(history=histories)
def test_times_of_posting_are_in_the_stores_own_zone(world: Connection, history: History) -> None:
    write(world, history)
    zones = {code_of(n): shop.zone or history.zone for n, shop in enumerate(history.shops)}

    def hour(video: Video) -> Iterator[tuple[Any, ...]]:
        assert video.posted is not None
        local = video.posted.astimezone(ZoneInfo(zones[video.code]))
        yield video.code, zones[video.code], local.isoweekday(), local.hour

    names = ("store_code", "timezone", "weekday", "hour")
    expected = [
        dict(zip(names, key, strict=True)) | figures for key, figures, _ in by_group(history, hour)
    ]
    same(world, "posting_times", names, expected)


@FEW
@given(history=histories)
def test_hashtags_of_every_script_and_case_are_counted_once_a_video(
    world: Connection, history: History
) -> None:
    write(world, history)

    def tags(video: Video) -> set[tuple[Any, ...]]:
        return {(video.code, folded(PIECES[piece])) for piece in video.text if PIECES[piece]}

    names = ("store_code", "hashtag")
    expected = [
        dict(zip(names, key, strict=True)) | figures | {"total_views": views}
        for key, figures, views in by_group(history, tags)
    ]
    same(world, "hashtag_performance", names, expected)


def view_gain(videos: Iterable[Video], before: date | None, day: date | None, zone: str) -> Any:
    """From one day of reading to the other; what was posted since then began at 0."""

    def gain(video: Video) -> int | None:
        if day not in video.days or before is None:
            return None
        views = video.days[day][1][0]
        if before in video.days:
            return minus(views, video.days[before][1][0])
        is_new = video.posted and video.posted.astimezone(ZoneInfo(zone)).date() >= before
        return views if is_new else None

    return total(gain(video) for video in videos)


def last_of(days: Iterable[date], first: date, last: date) -> date | None:
    return max((day for day in days if first <= day <= last), default=None)


def missing(
    history: History, number: int, days: Iterable[date], have: Iterable[date]
) -> list[date]:
    """The days that a connected store lacks."""
    shop = history.shops[number]
    begin = created_at(shop).astimezone(ZoneInfo(history.zone)).date()
    return [day for day in days if day > begin and day not in set(have)]


@FEW
@given(history=histories)
def test_a_store_is_compared_with_its_own_eight_weeks_before(
    world: Connection, history: History
) -> None:
    write(world, history)
    profiles = profiles_of(history)
    zone = ZoneInfo(history.zone)
    monday = history.today - timedelta(days=history.today.weekday())
    expected = []
    for number, shop in enumerate(history.shops):
        code = code_of(number)
        profile = profiles[code]
        videos = [video for video in videos_of(history) if video.code == code]
        in_time = video_days(history, number)
        read = in_time & {day for video in videos for day in video.days}
        read_at_all = video_days(history, number, late=True)

        def gains(
            week: date, profile: Any = profile, videos: Any = videos, read: Any = read
        ) -> dict[str, Any]:
            spans = ((week, week + 6 * DAY), (week - 7 * DAY, week - DAY))
            end, before = (last_of(profile, *span) for span in spans)
            day, day_before = (last_of(read, *span) for span in spans)
            now, then = (profile.get(of, (None,) * 3) for of in (end, before))
            return {
                "follower_count": now[0],
                "follower_gain": minus(now[0], then[0]),
                "likes_gain": minus(now[1], then[1]),
                "view_gain": view_gain(videos, day_before, day, history.zone),
                "profile_gain_days": (end - before).days if end and before else None,
                "view_gain_days": (day - day_before).days if day and day_before else None,
            }

        for back in range(1, 54):
            week = monday - back * 7 * DAY
            days = [week + n * DAY for n in range(7)]
            if created_at(shop).astimezone(zone).date() > days[-1]:
                continue
            earlier = [gains(week - n * 7 * DAY) for n in range(1, 9)]
            line: dict[str, Any] = {"store_code": code, "week_start": week, **gains(week)}
            for gain in ("follower_gain", "likes_gain", "view_gain"):
                usual = middle(past[gain] for past in earlier)
                line[f"median_{gain}"] = usual
                line[f"{gain}_vs_median"] = (
                    None if usual is None or line[gain] is None else line[gain] - usual
                )
                line[f"weeks_{gain}"] = sum(past[gain] is not None for past in earlier)
            is_read = shop.connected and not read_at_all.isdisjoint(days)
            for name, moments in (
                ("videos_new", [video.posted for video in videos]),
                ("videos_removed", [video.removed_at for video in videos]),
            ):
                happened = [moment and moment.astimezone(zone).date() for moment in moments]
                line[name] = sum(day in days for day in happened) if is_read else None
            for name, have in (("profile", profile), ("video", in_time)):
                line[f"{name}_days_missing"] = (
                    missing(history, number, days, have) if shop.connected else None
                )
            expected.append(line)
    same(world, "store_week", ("store_code", "week_start"), expected)


@FEW
@given(history=histories)
def test_the_chains_day_sums_what_is_known_and_names_the_stores_that_lack(
    world: Connection, history: History
) -> None:
    write(world, history)
    profiles = profiles_of(history)
    seen = {day for profile in profiles.values() for day in profile}
    reach = (max(seen) - min(seen)).days + 1 if seen else 0
    videos = {code: [v for v in videos_of(history) if v.code == code] for code in profiles}
    in_time = {code_of(n): video_days(history, n) for n in range(len(history.shops))}
    read = {
        code: in_time[code] & {day for v in found for day in v.days}
        for code, found in videos.items()
    }
    expected = []
    for day in (min(seen) + n * DAY for n in range(reach)):
        there = [profile for profile in profiles.values() if day in profile]
        before = [
            profile.get(last_of(profile, date.min, day - DAY), (None,) * 3)  # type: ignore[arg-type] # no day is None
            for profile in there
        ]
        gains = [
            [minus(now[day][n], then[n]) for now, then in zip(there, before, strict=True)]
            for n in (0, 1)
        ]
        expected.append(
            {
                "snapshot_date": day,
                "stores": len(there),
                "follower_count": total(profile[day][0] for profile in there),
                "follower_gain": total(gains[0]),
                "stores_with_follower_gain": sum(gain is not None for gain in gains[0]),
                "likes_count": total(profile[day][1] for profile in there),
                "likes_gain": total(gains[1]),
                "video_count": total(profile[day][2] for profile in there),
                "view_gain": total(
                    view_gain(videos[code], last_of(days, date.min, day - DAY), day, history.zone)
                    for code, days in read.items()
                    if day in days
                ),
                **{
                    f"stores_without_{name}": [
                        code_of(number)
                        for number, shop in enumerate(history.shops)
                        if shop.connected
                        and missing(history, number, [day], have.get(code_of(number), ()))
                    ]
                    for name, have in (("profile", profiles), ("videos", in_time))
                },
            }
        )
    same(world, "chain_day", ("snapshot_date",), expected)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "Europe/Berlín"])
def test_a_zone_that_would_break_the_views_is_not_stored(conn: Connection, zone: str) -> None:
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('S1', 'One')")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="not recognized"):
        conn.execute("UPDATE stores SET timezone = %s", [zone])
    conn.execute("UPDATE stores SET timezone = 'Europe/Berlin'")
