"""Read from both ends, in any order of lanes: is the data as true as a full listing's?

Hypothesis makes up a small account, some nights of it, what changes between and during them, what
goes wrong, which lane takes each call and where the process is killed. Everything is judged by what
went over the wire (`tests/database/witnesses/wire.py`), from the contract alone. `WORLDS=200` tries
more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st

from include.sandbox.faults.plan import RulePlan
from include.tiktok_sync import app as app_module
from include.tiktok_sync.errors import RetriableError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tiktok import client as client_module
from tests.database.bench import Bench, today
from tests.database.witnesses.wire import KilledError, ScriptedLanes, Witness, apply_change
from tests.sandbox_server import SandboxServer, running_sandbox

CODE = "S001"
TRIES = 8
"""Of one store in one night: one, three retries, and those that were killed."""

LISTED_WITHIN = 7
"""Nights within which every store is listed to the end."""

COUNTERS = ("view_count", "like_count", "comment_count", "share_count")
TEXTS = ("title", "video_description", "duration", "height", "width", "share_url")

SEEDS = (2, 4, 5, 8, 10, 11, 12, 13, 18, 22, 27, 29, 33, 35, 40, 42, 46, 50, 53, 61, 63, 68, 78)
"""Seeds whose first store has 15 to 85 videos."""

LISTING, QUERYING = (True,), (False,)

scripts = st.one_of(
    st.sampled_from([LISTING, QUERYING, (True, False), (False, True), (True, True, False)]),
    st.integers(1, 4).map(lambda n: (*[True] * n, *[False] * 9)),
    st.integers(1, 4).map(lambda n: (*[False] * n, *[True] * 9)),
    st.lists(st.booleans(), min_size=2, max_size=9).map(tuple),
)
changes = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["delete", "private", "back", "publish", "grow", "fall"]),
        "at": st.integers(0, 90),
        "n": st.one_of(st.just(1), st.integers(1, 5), st.integers(1, 25)),
    }
)
rules = st.one_of(
    st.fixed_dictionaries(
        {
            "fault": st.sampled_from(["internal_error", "rate_limited", "invalid_json"]),
            "endpoints": st.sampled_from([["video_list"], ["video_query"]]),
            "times_per_store": st.integers(1, 6),
            "after": st.integers(0, 4),
        }
    ),
    st.fixed_dictionaries(
        {
            "fault": st.sampled_from(
                ["query_hides", "short_page", "empty_page", "duplicate_video", "create_time_absent"]
            ),
            "times_per_store": st.integers(1, 3),
            "after": st.integers(0, 4),
        }
    ),
    st.fixed_dictionaries(
        {"fault": st.sampled_from(["count_high", "count_low"]), "by": st.integers(1, 4)}
    ),
    st.fixed_dictionaries(
        {"fault": st.sampled_from(["count_absent", "query_lower", "query_older"])}
    ),
)
nights = st.fixed_dictionaries(
    {
        "changes": st.lists(changes, max_size=3),
        "between": st.dictionaries(st.integers(1, 9), changes, max_size=2),
        "rules": st.lists(rules, max_size=2),
        "lanes": scripts,
        "killed_at": st.sets(st.integers(1, 8), max_size=2),
        "profile": st.sampled_from(["before", "before", "before", "after", "never"]),
    }
)
worlds = st.fixed_dictionaries(
    {
        "seed": st.sampled_from(SEEDS),
        "same_second_ties": st.booleans(),
        "at_first": st.lists(changes, max_size=3),
        "nights": st.lists(nights, min_size=2, max_size=9),
    }
)

_QUIET: dict[str, Any] = {
    "changes": [],
    "between": {},
    "rules": [],
    "lanes": QUERYING,
    "killed_at": set(),
    "profile": "before",
}
_BACK = {"kind": "back", "at": 0, "n": 1}
# An old video that nobody knows is public again, and the profile's count hides it forever.
_HIDDEN_BY_COUNT: dict[str, Any] = {
    "seed": 61,
    "same_second_ties": False,
    "at_first": [{"kind": "private", "at": 30, "n": 1}],
    "nights": [
        _QUIET,
        *[
            {**_QUIET, "changes": [_BACK] * (night == 0), "rules": [{"fault": "count_low"}]}
            for night in range(LISTED_WITHIN + 1)
        ],
    ],
}
# More than a page of known videos share a second, all lanes are tried on them, and some go.
_TIED: dict[str, Any] = {
    "seed": 10,
    "same_second_ties": True,
    "at_first": [{"kind": "publish", "at": 0, "n": 18}],
    "nights": [
        _QUIET,
        {**_QUIET, "changes": [{"kind": "publish", "at": 0, "n": 25}]},
        {**_QUIET, "lanes": (True, False), "changes": [{"kind": "delete", "at": 3, "n": 6}]},
        {**_QUIET, "changes": [{"kind": "delete", "at": 20, "n": 4}]},
    ],
}


@pytest.fixture(scope="module")
def fast() -> Iterator[None]:
    """No pause is waited out; the order of things stays the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
        patch.setattr(client_module, "PAUSE_AFTER_429_S", 0.0)
        yield


@pytest.fixture(scope="module")
def database(postgres: Any, _template: str) -> Iterator[tuple[str, Connection]]:
    """One database for all worlds; each begins with empty tables."""
    name = postgres.new_database(_template)
    with psycopg.connect(postgres.url(name), autocommit=True) as conn:
        yield postgres.url(name), conn
    postgres.run("DROP DATABASE {} WITH (FORCE)", name)


@dataclass
class Account:
    """One store night by night, and what its nights have shown so far.

    Attributes:
        bench: The product and TikTok.
        server: TikTok.
        excess: By how many the profile may have counted more than were seen, after the last
            complete listing; TikTok also counts videos that it does not list.
        missed: Public id that no night had so far -> nights in a row.
        since_whole: Nights since the last complete listing.
    """

    bench: Bench
    server: SandboxServer
    excess: set[int] = field(default_factory=set)
    missed: dict[str, int] = field(default_factory=dict)
    since_whole: int = 0

    def known(self) -> dict[str, int | None]:
        """Videos that count as public -> their second."""
        found = self.bench.rows(
            "SELECT video_id, extract(epoch FROM create_time)::bigint AS second FROM videos"
            " WHERE removed_at IS NULL"
        )
        return {line["video_id"]: line["second"] for line in found}

    def sync(self, number: int, night: dict[str, Any]) -> tuple[Witness, bool]:
        """One night; returns what went over the wire, and whether the videos were synced."""
        plan = RulePlan(number, night["rules"])
        witness = Witness(self.server.sandbox, CODE, plan, night["between"])
        self.server.faults.plan = witness
        lanes = ScriptedLanes(night["lanes"], night["killed_at"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(app_module, "PostgresRateLimiter", lambda *_, **__: lanes)
            if night["profile"] == "before":
                self._tried(USER_JOB, number)
            done = self._tried(VIDEO_JOB, number)
            if night["profile"] == "after":
                self._tried(USER_JOB, number)
        return witness, done

    def _tried(self, job: str, number: int) -> bool:
        day = replace(today(), date=today().date + timedelta(days=number))
        for _ in range(TRIES):
            try:
                self.bench.sync(job, CODE, run_id=f"night-{number}", day=day)
            except (RetriableError, KilledError):
                continue
            return True
        return False

    def judge(self, number: int, known: dict[str, int | None], witness: Witness) -> None:
        """What a night that succeeded wrote, against what it was shown."""
        lines = self.bench.rows(
            "SELECT v.*, s.view_count, s.like_count, s.comment_count, s.share_count,"
            " s.video_id IS NOT NULL AS has_day FROM videos v LEFT JOIN video_daily_stats s"
            " ON s.video_id = v.video_id AND s.snapshot_date = %s",
            today().date + timedelta(days=number),
        )
        found = {line["video_id"]: line for line in lines if line["has_day"]}
        gone = {line["video_id"] for line in lines if line["removed_at"]} & known.keys()
        self._judge_values(found, witness)
        for video_id in gone:
            assert video_id not in witness.always, f"{video_id} is public and marked removed"
            assert witness.proves_gone(video_id, known[video_id]), f"{video_id}: no proof"
        public = {line["video_id"] for line in lines if not line["removed_at"]} & found.keys()
        self._judge_missing(public, known, witness)
        left = known.keys() - witness.ever - gone
        # If it shares its second with others, it may have been passed over.
        shared = {None, *witness.seconds}
        provable = {one for one in left if known[one] not in shared}
        assert not provable, f"gone and not marked: {provable}"
        self._judge_details(number, witness)

    def _judge_values(self, found: dict[str, dict[str, Any]], witness: Witness) -> None:
        lied = isinstance(witness.inner, RulePlan) and any(
            rule.fault in {"query_lower", "query_older"} for rule in witness.inner.rules
        )
        for video_id, line in found.items():
            sent = witness.shown(video_id)
            figures = tuple(line[name] for name in COUNTERS)
            assert figures in [tuple(one[name] for name in COUNTERS) for one in sent], video_id
            texts = tuple(line[name] for name in TEXTS)
            assert texts in [tuple(one[name] for name in TEXTS) for one in sent], video_id
            if not lied:
                moments = [world[video_id] for world in witness.worlds if video_id in world]
                assert figures in [tuple(one[name] for name in COUNTERS) for one in moments]

    def _judge_missing(
        self, public: set[str], known: dict[str, int | None], witness: Witness
    ) -> None:
        missing = witness.always - public
        assert not missing & known.keys(), f"known, public, lost: {missing & known.keys()}"
        whole, count = witness.is_whole(), witness.video_count
        more = set()
        if count is not None:
            # What was posted after the profile was read, it cannot count. Nights are milliseconds
            # here, and the sandbox posts several videos in seconds around now: which of them count
            # as posted since then is open.
            since = public - set(witness.worlds[0]) - known.keys()
            since |= witness.posted_since_profile(public | known.keys())
            more = {max(0, count + new - len(public)) for new in range(len(since) + 1)}
        # Not on the pages of a complete listing: only a tie passes a video over.
        unlisted = missing - witness.tied
        assert not (whole and unlisted), f"listed to the end, and lost: {unlisted}"
        if not more & {0, *self.excess}:
            assert not unlisted, f"the count said so, and lost: {unlisted}"
            assert whole, "the count is higher or unknown, and the listing did not go to the end"
        self.missed = {one: self.missed.get(one, 0) + 1 for one in unlisted}
        late = [one for one, times in self.missed.items() if times >= LISTED_WITHIN]
        assert not late, f"lost for {LISTED_WITHIN} nights: {late}"
        self.since_whole = 0 if whole else self.since_whole + 1
        assert self.since_whole < LISTED_WITHIN, "not listed to the end for 7 nights"
        if whole:
            self.excess = more
        event("listed to the end" if whole else "both lanes")

    def _judge_details(self, number: int, witness: Witness) -> None:
        details = self.bench.row(
            "SELECT details FROM sync_logs WHERE store_code = %s AND job_name = %s AND run_id = %s",
            CODE,
            VIDEO_JOB,
            f"night-{number}",
        )["details"]
        assert details["listed_to_end"] == witness.is_whole()
        assert bool(details.get("why_to_end")) == witness.is_whole()
        liars = {"query_lower", "query_older"}
        plan = witness.inner
        calm = isinstance(plan, RulePlan) and not liars & {rule.fault for rule in plan.rules}
        if calm and not any(one["kind"] == "fall" for one in witness.between.values()):
            assert not details.get("differ"), "a difference where there was none"

    def age(self) -> None:
        """A day passes for all that was written; the videos' own times stay."""
        columns = self.bench.rows(
            "SELECT c.relname AS name, array_agg(format('%%1$I = %%1$I - interval ''1 day''',"
            " a.attname)) AS sets FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition AND a.atttypid = 'timestamptz'::regtype"
            " AND a.attname <> 'create_time' AND c.relname IN ('user_daily_stats', 'videos',"
            " 'video_daily_stats', 'video_listings', 'sync_logs', 'stores') GROUP BY 1"
        )
        for table in columns:
            self.bench.conn.execute(f"UPDATE {table['name']} SET {', '.join(table['sets'])}")  # noqa: S608 - names of our own tables


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("fast")
@settings(
    max_examples=int(os.environ.get("WORLDS", "25")),
    derandomize="WORLDS" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate],
)
@given(made=worlds)
@example(made=_HIDDEN_BY_COUNT)
@example(made=_TIED)
def test_whatever_lane_takes_a_call_the_data_is_what_tiktok_showed(
    database: tuple[str, Connection], made: dict[str, Any]
) -> None:
    url, conn = database
    conn.execute("TRUNCATE stores, sync_logs, rate_limits, rate_limit_grants CASCADE")
    with running_sandbox(
        stores=1,
        rate_limit_per_minute=0,
        seed=made["seed"],
        same_second_ties=made["same_second_ties"],
        token_regime="24h",
    ) as server:
        environment = {
            "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(),
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "600",
        }
        account = Account(Bench(url, conn, server, Settings.from_env(environment)), server)
        account.bench.import_stores()
        for change in made["at_first"]:
            apply_change(server.sandbox, CODE, change)
        for number, night in enumerate(made["nights"]):
            for change in night["changes"]:
                apply_change(server.sandbox, CODE, change)
            known = account.known()
            witness, done = account.sync(number, night)
            assert done, account.bench.rows("SELECT message FROM sync_logs ORDER BY id")
            account.judge(number, known, witness)
            account.age()
