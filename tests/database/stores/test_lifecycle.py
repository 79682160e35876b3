"""Do stores move as the table says, only so, and is it written down who moved them?"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import get_args

import psycopg
import pytest

from include.tiktok_sync.errors import ConfigurationError, DataError, SyncError
from include.tiktok_sync.links.connect_links import LinkMaker, hash_of
from include.tiktok_sync.store_db.audit import operating_system_user
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.consents import consents_ending
from include.tiktok_sync.stores.lifecycle import MOVE, Lifecycle, MoveName, StoreState
from include.tiktok_sync.stores.overview import overview
from include.tiktok_sync.sync.repository import StoreRepository
from tests.database.bench import insert_grants, row, rows, together

STATES = get_args(StoreState)
MAKER = LinkMaker("".join(map(chr, range(65, 97))), "https://connect.test", "anna")


@pytest.fixture
def lifecycle(conn: Connection) -> Lifecycle:
    return Lifecycle(conn, "anna")


def _store_in(lifecycle: Lifecycle, state: StoreState, code: str = "S1") -> None:
    """A store with a grant, in a state."""
    lifecycle.add(code, "Its name")
    insert_grants(lifecycle.conn, code)
    if state in ("needs_consent", "missing_scope"):
        lifecycle.conn.execute("UPDATE store_tokens SET status = %s", [state])
    elif state == "paused":
        lifecycle.pause(code, "renovation")
    elif state == "removed":
        lifecycle.remove(code)
    assert lifecycle.state(code) == state


def _do(lifecycle: Lifecycle, name: MoveName) -> StoreState:
    moves = {
        "pause": lambda: lifecycle.pause("S1", "why"),
        "resume": lambda: lifecycle.resume("S1"),
        "disconnect": lambda: lifecycle.remove("S1"),
    }
    return moves[name]()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ["pause", "resume", "disconnect"])
def test_a_move_is_made_from_where_the_table_says_and_refused_elsewhere(
    lifecycle: Lifecycle, name: MoveName, state: StoreState
) -> None:
    _store_in(lifecycle, state)
    before = rows(lifecycle.conn, "SELECT * FROM stores, store_audit")
    if state in MOVE[name].sources:
        assert _do(lifecycle, name) == lifecycle.state("S1") == (MOVE[name].target or "active")
        newest = row(lifecycle.conn, "SELECT * FROM store_audit ORDER BY id DESC LIMIT 1")
        assert (newest["action"], newest["actor"]) == (name, "anna")
        assert newest["details"] == {"from": state, "to": lifecycle.state("S1")}
    else:
        with pytest.raises(DataError, match=f"Store S1 is {state}; to {name} it, it must be"):
            _do(lifecycle, name)
        assert rows(lifecycle.conn, "SELECT * FROM stores, store_audit") == before


@pytest.mark.parametrize("state", STATES)
def test_the_nightly_syncs_take_what_is_neither_paused_nor_removed(
    lifecycle: Lifecycle, state: StoreState
) -> None:
    _store_in(lifecycle, state)
    listed = StoreRepository(lifecycle.conn).active_store_codes()
    assert listed == ([] if state in ("paused", "removed") else ["S1"])
    freshness = row(lifecycle.conn, "SELECT state FROM sync_freshness")
    assert freshness == {"state": state} == {"state": overview(lifecycle.conn)[0].state}
    assert StoreRepository(lifecycle.conn).removed_store_codes(["S1", "S2"]) == (
        ["S1"] if state == "removed" else []
    )


def test_a_store_that_comes_back_has_its_history_and_its_first_day(lifecycle: Lifecycle) -> None:
    _store_in(lifecycle, "active")
    lifecycle.conn.execute(
        "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, observed_at)"
        " VALUES ('S1', '2026-01-01', 7, '2026-01-01 12:00Z')"
    )
    lifecycle.pause("S1", "renovation")
    lifecycle.remove("S1")
    store = row(lifecycle.conn, "SELECT * FROM stores")
    assert (store["is_active"], store["paused_at"], store["paused_reason"]) == (False, None, None)
    assert store["removed_at"] is not None
    lifecycle.resume("S1")
    store = row(lifecycle.conn, "SELECT * FROM stores")
    assert (store["is_active"], store["removed_at"]) == (True, None)
    assert row(lifecycle.conn, "SELECT follower_count FROM user_daily_stats") == {
        "follower_count": 7
    }


def test_pausing_again_keeps_since_when_and_changes_why(lifecycle: Lifecycle) -> None:
    _store_in(lifecycle, "paused")
    since = row(lifecycle.conn, "SELECT paused_at FROM stores")
    lifecycle.pause("S1", "fire")
    assert row(lifecycle.conn, "SELECT paused_at FROM stores") == since
    assert overview(lifecycle.conn, "paused")[0].reason == "fire"
    # The reason is the operator's own text: it does not outlive the store.
    assert "fire" not in str(rows(lifecycle.conn, "SELECT * FROM store_audit"))


def test_a_store_is_added_once_and_waits_for_consent(lifecycle: Lifecycle) -> None:
    assert lifecycle.add("S1", "Köln", "West") == "needs_consent"
    assert overview(lifecycle.conn)[0].reason == "Never connected"
    with pytest.raises(DataError, match=r"There is a store S1 already \(needs_consent\)"):
        lifecycle.add("S1", "Bonn")
    for code, name in ((" ", "x"), ("S2", ""), ("S\x003", "x")):
        with pytest.raises(DataError, match="must be a text that is not empty"):
            lifecycle.add(code, name)
    assert rows(lifecycle.conn, "SELECT store_name FROM stores") == [{"store_name": "Köln"}]
    with pytest.raises(ConfigurationError, match="There is no store S9"):
        lifecycle.pause("S9", None)


def test_the_database_refuses_an_active_store_that_is_away(lifecycle: Lifecycle) -> None:
    _store_in(lifecycle, "paused")
    with pytest.raises(psycopg.errors.CheckViolation, match="stores_active_is_not_away"):
        lifecycle.conn.execute("UPDATE stores SET is_active = true")


def test_of_several_that_resume_a_store_at_once_one_does(lifecycle: Lifecycle, db_url: str) -> None:
    _store_in(lifecycle, "paused")

    def resume(number: int) -> bool:
        with psycopg.connect(db_url, autocommit=True) as own:
            try:
                Lifecycle(own, str(number)).resume("S1")
            except SyncError:
                return False
        return True

    assert sum(together(4, resume)) == 1


def test_an_account_may_move_on_once_its_store_has_left(lifecycle: Lifecycle) -> None:
    _store_in(lifecycle, "active")
    lifecycle.add("S2", "Its successor")
    verdict = "SELECT connect_verdict('S2', 'o-S1', NULL) AS said"
    assert row(lifecycle.conn, verdict)["said"] == "taken"
    lifecycle.remove("S1")
    assert row(lifecycle.conn, verdict)["said"] == "first"


@pytest.mark.parametrize(
    ("name", "says"), [("pause", "S1 is paused"), ("disconnect", "S1 has left")]
)
def test_a_link_of_a_store_that_is_away_opens_nothing(
    lifecycle: Lifecycle, name: MoveName, says: str
) -> None:
    _store_in(lifecycle, "active")
    link = partial(MAKER.make, lifecycle.conn, "S1")
    made = link()
    token = hash_of(made.url.rpartition("/")[2])
    state = "SELECT state FROM connect_link(%s)"
    assert lifecycle.conn.execute(state, [token]).fetchone() == ("open",)
    _do(lifecycle, name)
    assert lifecycle.conn.execute(state, [token]).fetchone() == ("replaced",)
    with pytest.raises(ConfigurationError, match=says):
        link()
    newest = row(lifecycle.conn, "SELECT * FROM store_audit WHERE action = 'link'")
    assert (newest["actor"], newest["details"]) == ("anna", {"days": 7})


def test_a_store_that_was_paused_needs_a_fresh_link(lifecycle: Lifecycle) -> None:
    _store_in(lifecycle, "needs_consent")
    link = partial(MAKER.make, lifecycle.conn, "S1")
    old = hash_of(link().url.rpartition("/")[2])
    lifecycle.pause("S1", None)
    lifecycle.resume("S1")
    fresh = hash_of(link().url.rpartition("/")[2])
    state = "SELECT state FROM connect_link(%s)"
    said = [lifecycle.conn.execute(state, [token]).fetchone() for token in (old, fresh)]
    assert said == [("replaced",), ("open",)]


def test_the_calendar_names_the_consents_that_end_the_earliest_first(lifecycle: Lifecycle) -> None:
    ends = {"S1": 31, "S2": 29.5, "S3": 14, "S4": 2.9, "S5": -1, "S6": 1, "S7": 1}
    for code, days in ends.items():
        lifecycle.add(code, "x")
        insert_grants(lifecycle.conn, code)
        lifecycle.conn.execute(
            "UPDATE store_tokens SET refresh_expires_at = now() + %s WHERE store_code = %s",
            [timedelta(days=days), code],
        )
    lifecycle.conn.execute(
        "UPDATE store_tokens SET status = 'needs_consent' WHERE store_code = 'S6'"
    )
    lifecycle.remove("S7")
    found = consents_ending(lifecycle.conn)
    assert [(item.store_code, item.stage) for item in found] == [
        ("S5", 0),
        ("S4", 3),
        ("S3", 14),
        ("S2", 30),
    ]
    assert [round(item.days_left, 1) for item in found] == [-1, 2.9, 14, 29.5]
    assert [item.store_code for item in consents_ending(lifecycle.conn, 3)] == ["S5", "S4"]
    assert consents_ending(lifecycle.conn, 90)[-1].stage is None


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        message = "No username set in the environment"
        raise OSError(message)

    assert operating_system_user().partition("@")[2] != ""
    monkeypatch.setattr("getpass.getuser", nameless)
    assert operating_system_user().startswith("uid-")
