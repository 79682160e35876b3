"""The seeded world: the same everywhere, growing by the day, with every kind of content."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from include.sandbox.settings import FIRST_DAY, SandboxSettings
from include.sandbox.world.changes import Changes
from include.sandbox.world.content import MAX_CAPTION
from include.sandbox.world.state_file import StateFile
from include.sandbox.world.world import REFERENCE_VIDEOS, World, store_code, store_number
from tests.sandbox_server import running_sandbox

ROOT = Path(__file__).parents[4]
DAY = dt.date(2026, 11, 24)

DIGEST = """
import datetime, hashlib, json
from include.sandbox.world.changes import Changes
from include.sandbox.settings import SandboxSettings
from include.sandbox.world.state_file import StateFile
from include.sandbox.world.world import World
world = World(SandboxSettings("k", "s", seed=7), Changes(StateFile(None, 7)))
day = datetime.date(2026, 11, 24)
figures = [world.user(world.store(n), day) for n in range(1, 31)]
stores = [world.store(n) for n in range(1, 31)]
figures += [world.video(s, v, day) for s in stores for v in world.listing(s.number).videos]
print(hashlib.sha256(json.dumps(figures).encode()).hexdigest())
"""


def world(**settings: Any) -> World:
    made = SandboxSettings("k", "s", **settings)
    return World(made, Changes(StateFile(None, made.seed)))


def descriptions(a_world: World, stores: int) -> list[str]:
    numbers = range(1, stores + 1)
    return [v.fields["video_description"] for n in numbers for v in a_world.listing(n).videos]


def test_every_process_has_the_same_world() -> None:
    digests = {
        subprocess.run(  # noqa: S603 (this interpreter, a fixed script)
            [sys.executable, "-c", DIGEST],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    here = world(seed=7)
    # Videos before users: the order in which things are asked for must not matter either.
    videos = [
        here.video(here.store(n), v, DAY) for n in range(1, 31) for v in here.listing(n).videos
    ]
    figures = [here.user(here.store(n), DAY) for n in range(1, 31)] + videos
    assert digests == {hashlib.sha256(json.dumps(figures).encode()).hexdigest()}


def test_another_seed_is_another_world() -> None:
    assert world(seed=1).store(1).open_id != world(seed=2).store(1).open_id


def test_store_codes() -> None:
    assert [store_code(n) for n in (1, 42, 300, 1000, 10_000)] == [
        "S001",
        "S042",
        "S300",
        "S1000",
        "S10000",
    ]
    assert store_number("S1000", 1000) == 1000
    assert store_number("S1000", 999) is None
    assert store_number("S0100", 999) is None


def test_the_default_profile_is_skewed_like_real_accounts() -> None:
    a_world = world()
    counts = [a_world.store(n).video_count for n in range(1, 301)]
    assert 45 <= mean(counts) <= 55
    assert sum(300 <= count <= 450 for count in counts) == 6
    assert 5 <= counts.count(0) <= 30
    assert all(len(a_world.listing(n).videos) == counts[n - 1] for n in range(1, 31))


@pytest.mark.parametrize("profile", ["reference", "reference-limited"])
def test_the_reference_profiles_have_140_videos_each(profile: str) -> None:
    a_world = world(profile=profile)
    assert {a_world.store(n).video_count for n in range(1, 301)} == {REFERENCE_VIDEOS}
    assert len(a_world.listing(3).videos) == REFERENCE_VIDEOS == 140


def test_a_reference_store_has_seven_pages_and_a_fresh_token() -> None:
    with running_sandbox(profile="reference") as sandbox:
        for code in ("S003", "S004"):
            token, cursor, pages = sandbox.row(code)["access_token"], 2**62, 0
            more = True
            while more:
                data = sandbox.video_list(token, max_count=20, cursor=cursor).json()["data"]
                pages, cursor, more = pages + 1, data["cursor"], data["has_more"]
            assert pages == 7


def test_the_content_is_of_every_kind() -> None:
    a_world = world()
    stores = [a_world.store(n) for n in range(1, 61)]
    open_ids = [store.open_id for store in stores]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{36}", value) for value in open_ids)
    assert 3 <= sum(value.startswith("-") for value in open_ids) <= 10
    assert len(set(open_ids)) == 60
    bios = [store.profile["bio_description"] for store in stores]
    assert "" in bios
    found = descriptions(a_world, 60)
    text = "".join(found + bios + [store.name for store in stores])
    for script in (
        "[\u4e00-\u9fff]",
        "[\u0590-\u05ff]",
        "[\u0600-\u06ff]",
        "[\U0001f300-\U0001faff]",
    ):
        assert re.search(script, text)
    assert "" in found
    assert max(map(len, found)) == MAX_CAPTION == 2_200
    titles = [v.fields["title"] for n in range(1, 61) for v in a_world.listing(n).videos]
    assert "" in titles
    assert max(map(len, titles)) == 150
    assert "\x00" not in text + "".join(titles)


def test_some_counts_are_beyond_32_bits() -> None:
    a_world = world()
    users = [a_world.user(a_world.store(n), DAY) for n in range(1, 41)]
    assert sum(user["likes_count"] > 2**31 for user in users) == 1
    videos = [
        a_world.video(a_world.store(n), v, DAY)
        for n in range(1, 41)
        for v in a_world.listing(n).videos
    ]
    assert sum(video["view_count"] > 2**31 for video in videos) == 1
    small = ("like_count", "comment_count", "share_count", "duration", "height", "width")
    assert all(video[name] < 2**31 for video in videos for name in small)


def test_counters_grow_every_day_and_never_fall() -> None:
    a_world = world()
    days = [FIRST_DAY + dt.timedelta(days=n) for n in range(400)]
    for number in (1, 5, 7):
        store = a_world.store(number)
        for name in ("follower_count", "likes_count"):
            counts = [a_world.user(store, day)[name] for day in days]
            assert all(a < b for a, b in itertools.pairwise(counts))
        for video in a_world.listing(number).videos[:5]:
            views = [a_world.video(store, video, day)["view_count"] for day in days]
            assert all(a < b for a, b in itertools.pairwise(views))
            likes = [a_world.video(store, video, day)["like_count"] for day in days]
            assert likes == sorted(likes)


def test_the_day_is_constant_within_and_can_be_moved() -> None:
    with running_sandbox(date=DAY) as sandbox:
        token = sandbox.row("S001")["access_token"]

        def followers() -> int:
            user = sandbox.user_info(token, "follower_count").json()["data"]["user"]
            return int(user["follower_count"])

        first = followers()
        assert followers() == first
        sandbox.admin("PATCH", "/settings", json={"date": "2026-11-25"})
        assert followers() > first
        sandbox.admin("PATCH", "/settings", json={"date": "2026-11-24"})
        assert followers() == first


def test_everything_was_posted_before_the_first_day() -> None:
    a_world = world()
    newest = max(v.create_time for n in range(1, 61) for v in a_world.listing(n).videos)
    assert dt.datetime.fromtimestamp(newest, dt.timezone.utc).date() < FIRST_DAY


def test_video_ids_are_unique() -> None:
    a_world = world(same_second_ties=True)
    ids = [v.id for n in range(1, 201) for v in a_world.listing(n).videos]
    assert len(set(ids)) == len(ids)
