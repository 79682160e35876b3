"""In any world and under any faults: is the data right, or does the store say why not?

Hypothesis makes up a small TikTok, what changes in it between the nights, and what goes wrong. The
product syncs it over real HTTP into the real database, a failed store is tried again as Airflow
would, and the database is compared with the sandbox's own truth: no wrong figure, no video lost,
none doubled, and where something is missing a row that says so. `WORLDS=500` tries more of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from include.sandbox.faults.rules import FAULT_TEXTS
from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.errors import RetriableError, SyncError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok import client as client_module
from include.tiktok_sync.tiktok.http import Timeouts
from tests.database.bench import Bench, today
from tests.sandbox_server import SandboxServer, running_sandbox

STORES = 3
TRIES = 4
"""One and three retries, as the Dags have it."""

COUNTERS = ("view_count", "like_count", "comment_count", "share_count")
USER_COUNTERS = ("follower_count", "following_count", "likes_count", "video_count")

# Too long for a test of many worlds; tests of their own pin what these do.
_SLOW = {
    *("huge_body", "stall", "slow", "oauth_slow"),
    *("rate_limited_for_a_day", "rate_limited_until_tomorrow"),  # a pause of two minutes
}


# Where one endpoint lies, right is what it showed: `test_lane_worlds` judges by that.
_LYING = {"query_lower", "query_older", "query_hides", "count_low"}

# Faults that leave a figure out: NULL is then as right as the figure.
_BLANKING = {"counter_absent", "counter_null"}

# Faults -> kinds of failure that they explain, apart from those of plain trouble.
_LASTING = {
    "unreadable_video": {"data"},
    "item_not_object": {"data"},
    "missing_data": {"data"},
    "scope_refused": {"missing_scope"},
    "token_rejected": {"fatal"},
    "grant_revoked": {"needs_consent"},
    "oauth_answer_lost": {"needs_consent"},
    "oauth_invalid_client": {"configuration"},
    "unknown_code": {"fatal"},
    "unknown_code_400": {"fatal"},
}
# After these a store stays disconnected until its manager acts.
_DEADLY = {"grant_revoked", "oauth_answer_lost"}
_TROUBLE = {"unavailable", "rate_limited", "listing"}

rules = st.fixed_dictionaries(
    {"fault": st.sampled_from(sorted(set(FAULT_TEXTS) - _SLOW - _LYING))},
    optional={
        "rate": st.sampled_from([0.05, 0.3, 1.0]),
        "times_per_store": st.integers(1, 6),
        "after": st.integers(0, 4),
        "burst": st.integers(1, 4),
        "stores": st.sampled_from([["S001"], ["S002", "S003"]]),
    },
)
changes = st.fixed_dictionaries(
    {"store": st.sampled_from(["S001", "S002", "S003"])},
    optional={
        "publish": st.integers(1, 25),
        "delete": st.lists(st.integers(0, 200), max_size=3),
        "privatize": st.lists(st.integers(0, 200), max_size=3),
        "republish": st.booleans(),
        "fall": st.integers(0, 200),
    },
)
nights = st.lists(
    st.tuples(st.lists(changes, max_size=2), st.lists(rules, max_size=3)), min_size=1, max_size=3
)
worlds = st.fixed_dictionaries(
    {
        "seed": st.integers(1, 60),
        "same_second_ties": st.booleans(),
        "nul_in_captions": st.booleans(),
        "refresh_kills_access_token": st.booleans(),
        "retry_after": st.booleans(),
        "token_regime": st.sampled_from(["2h", "24h"]),
    }
)


@pytest.fixture(scope="module")
def fast() -> Iterator[None]:
    """No pause is waited out; the order of things stays the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
        patch.setattr(client_module, "PAUSE_AFTER_429_S", 0.0)
        patch.setattr("include.tiktok_sync.errors.MAX_RETRY_AFTER_S", 0.0)
        yield


@dataclass
class World:
    """One made-up TikTok and the product that syncs from it."""

    bench: Bench
    server: SandboxServer
    private: dict[str, list[str]]
    gone: set[str]

    def truth(self) -> dict[str, Any]:
        found: dict[str, Any] = self.server.admin("GET", "/truth")
        return found

    def change(self, change: dict[str, Any]) -> None:
        """Delete, hide, bring back and post videos, and let a counter fall."""
        code = change["store"]
        ids = [video["id"] for video in self.truth()[code]["videos"]]
        pick = {
            name: list({ids[n % len(ids)] for n in change.get(name, [])} if ids else [])
            for name in ("delete", "privatize")
        }
        pick["privatize"] = [name for name in pick["privatize"] if name not in pick["delete"]]
        # No client can list more than a page of videos that share one second.
        most = 15 if self.server.sandbox.settings.same_second_ties else 25
        body: dict[str, Any] = {**pick, "publish": min(change.get("publish", 0), most)}
        if change.get("republish"):
            body["republish"] = self.private.pop(code, [])
        self.private.setdefault(code, []).extend(pick["privatize"])
        told = self.server.admin("POST", f"/stores/{code}/videos", json=body)
        if "fall" in change and told["videos"]:
            video = told["videos"][change["fall"] % len(told["videos"])]
            lower = {"view_count": video["view_count"] // 2}
            self.server.admin(
                "POST", f"/stores/{code}/counters", json={"video_id": video["id"], "set": lower}
            )

    def night(self, run_id: str) -> None:
        """Both jobs on every store, each tried again as the Dags do it."""
        gone = self.bench.rows("SELECT video_id FROM videos WHERE removed_at IS NOT NULL")
        self.gone = {line["video_id"] for line in gone}
        app = TikTokApp(
            self.server.url,
            self.server.client_key,
            self.server.client_secret,
            Timeouts(connect_s=5, read_s=10),
        )
        for code in self.truth():
            for job in (USER_JOB, VIDEO_JOB):
                for _ in range(TRIES):
                    try:
                        self.bench.sync(job, code, run_id=run_id, app=app)
                    except RetriableError:
                        continue
                    except SyncError:
                        pass
                    break

    def outcomes(self, run_id: str) -> dict[tuple[str, str], dict[str, Any]]:
        found = self.bench.rows(
            "SELECT job_name, store_code, status, message, details FROM sync_logs"
            " WHERE run_id = %s",
            run_id,
        )
        return {(line["job_name"], line["store_code"]): line for line in found}


@pytest.fixture(scope="module")
def database(postgres: Any, _template: str) -> Iterator[tuple[str, Connection]]:
    """One database for all worlds; each begins with empty tables."""
    name = postgres.new_database(_template)
    with psycopg.connect(postgres.url(name), autocommit=True) as conn:
        yield postgres.url(name), conn
    postgres.run("DROP DATABASE {} WITH (FORCE)", name)


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("fast")
@settings(
    max_examples=int(os.environ.get("WORLDS", "25")),
    derandomize="WORLDS" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate],
)
@given(made=worlds, story=nights)
def test_the_data_is_right_or_the_store_says_why_not(
    database: tuple[str, Connection],
    made: dict[str, Any],
    story: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]],
) -> None:
    url, conn = database
    conn.execute("TRUNCATE stores, sync_logs, rate_limits, rate_limit_grants CASCADE")
    with running_sandbox(stores=STORES, rate_limit_per_minute=0, **made) as server:
        environment = {
            "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(),
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "0",
        }
        bench = Bench(url, conn, server, Settings.from_env(environment))
        bench.import_stores()
        world = World(bench, server, {}, set())
        deadly: set[str] = set()
        for number, (changed, broken) in enumerate(story):
            for change in changed:
                world.change(change)
            server.admin("POST", "/faults", json={"seed": number, "rules": broken})
            before = world.truth()
            world.night(f"night-{number}")
            faults = {rule["fault"] for rule in broken}
            deadly |= faults & _DEADLY
            _judge(world, f"night-{number}", before, faults | deadly)
            conn.execute("UPDATE user_daily_stats SET observed_at = observed_at - interval '1 day'")
        server.admin("DELETE", "/faults")
        _reconnect(bench)
        world.night("healed")
        _judge(world, "healed", world.truth(), set(), whole=True)
        assert server.admin("GET", "/stats")["endpoints"]["video_list"]["in_flight"] == 0


def _reconnect(bench: Bench) -> None:
    """What the stores' managers do in the morning."""
    dead = bench.rows("SELECT store_code FROM store_tokens WHERE status = 'needs_consent'")
    for line in dead:
        code = line["store_code"]
        minted = bench.sandbox.admin("POST", f"/stores/{code}/code", json={})["code"]
        answer = bench.sandbox.oauth("authorization_code", code=minted, redirect_uri="x")
        answer.raise_for_status()
        bench.import_stores(code)


def _judge(
    world: World, run_id: str, before: dict[str, Any], faults: set[str], *, whole: bool = False
) -> None:
    after, outcomes = world.truth(), world.outcomes(run_id)
    kinds = _TROUBLE.union(*(_LASTING.get(fault, set()) for fault in faults))
    blanks = bool(faults & _BLANKING)
    for code, now in after.items():
        for job in (USER_JOB, VIDEO_JOB):
            outcome = outcomes[job, code]
            event(f"{outcome['status']} {outcome['details'].get('kind', '')}")
            if outcome["status"] != "success":
                assert not whole, outcome
                assert outcome["details"]["kind"] in kinds, (faults, outcome)
                assert outcome["message"]
        _judge_user(world, code, now, blanks=blanks, done=outcomes[USER_JOB, code]["status"])
        done = outcomes[VIDEO_JOB, code]["status"] == "success"
        _judge_videos(world, code, before[code], now, blanks=blanks, done=done)


def _judge_user(world: World, code: str, now: dict[str, Any], *, blanks: bool, done: str) -> None:
    found = world.bench.rows(
        "SELECT * FROM user_daily_stats WHERE store_code = %s AND snapshot_date = %s",
        code,
        today().date,
    )
    assert len(found) == 1 or done != "success"
    if done == "success":
        for name in (*USER_COUNTERS, "display_name"):
            right = {now["user"][name], None} if blanks else {now["user"][name]}
            assert found[0][name] in right or name == "video_count", (code, name)


def _judge_videos(
    world: World,
    code: str,
    before: dict[str, Any],
    now: dict[str, Any],
    *,
    blanks: bool,
    done: bool,
) -> None:
    lines = world.bench.rows(
        "SELECT v.video_id, v.removed_at, v.last_seen_at, s.* FROM videos v"
        " LEFT JOIN video_daily_stats s ON s.video_id = v.video_id AND s.snapshot_date = %s"
        " WHERE v.store_code = %s",
        today().date,
        code,
    )
    public = {line["video_id"]: line for line in lines if line["removed_at"] is None}
    told_before = {video["id"]: video for video in before["videos"]}
    told = {video["id"]: video for video in now["videos"]}
    always = told.keys() & told_before.keys()
    gone = {line["video_id"] for line in lines if line["removed_at"] is not None}
    if not done:
        # What came back while the store could not be read is still marked from before.
        assert not (gone - world.gone) & always, "a public video is marked removed"
        return
    assert not gone & always, "a public video is marked removed"
    assert not always - public.keys(), "a video is lost"
    assert not public.keys() - told.keys() - told_before.keys(), "a video is made up"
    for video_id in public.keys() & told.keys():
        for name in COUNTERS:
            right = {told[video_id][name], None} if blanks else {told[video_id][name]}
            assert public[video_id][name] in right, (code, video_id, name)
