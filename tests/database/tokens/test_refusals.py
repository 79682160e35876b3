"""Are many refusals at once told from grants that are dead, and stores taken back?"""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.errors import (
    ConfigurationError,
    ImplausibleRefusalsError,
    NeedsConsentError,
)
from include.tiktok_sync.jobs import USER_JOB
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from include.tiktok_sync.tokens.grant_table import DISPLAY
from include.tiktok_sync.tokens.refusals import FEWEST, implausible
from tests.database.bench import Bench, today, together
from tests.database.commands import run_command
from tests.database.rows.token_pairs import grant_of, newest_pair, stored_pair
from tests.database.task_bodies import connections, set_airflow_env, task_context
from tests.database.tokens.refused import ALL, end, marked, recorded, refresh, revoke
from tests.sandbox_server import SandboxServer
from tiktok_airflow.tasks import sync as sync_tasks

pytestmark = pytest.mark.usefixtures("no_waits")


def other(server: SandboxServer) -> TikTokApp:
    return TikTokApp(server.url, server.client_key, server.client_secret)


def test_no_store_is_lost_to_an_app_that_none_of_them_knows(
    expired: Bench, other_app: SandboxServer
) -> None:
    found = refresh(expired, ALL, app=other(other_app))
    assert [found[code] for code in ALL[: FEWEST - 1]] == ["needs_consent"] * (FEWEST - 1)
    assert {found[code] for code in ALL[FEWEST - 1 :]} == {"refusals_doubted"}
    assert marked(expired) == set()
    # Those that were skipped at first are failures, too, and the summary says so.
    assert recorded(expired) == {"failed": 20}
    reasons = {line["message"] for line in expired.rows("SELECT message FROM sync_logs")}
    assert {reason.partition(" (TikTok log_id")[0] for reason in reasons} == {implausible()}
    summary = end(expired)
    assert (summary.status, summary.details["failed"]) == ("failed", 20)
    assert summary.details["refusals_doubted"] == {"refused": 20, "tried": 20}
    assert marked(expired) == set()
    moves = expired.rows(
        "SELECT action, actor, details FROM store_audit WHERE store_code = 'S001' AND id >"
        " (SELECT max(id) FROM store_audit WHERE action = 'import') ORDER BY id"
    )
    assert [(move["action"], move["actor"]) for move in moves] == [
        ("grant_ended", "TikTok"),
        ("grant_restored", "tiktok_sync"),
    ]
    assert moves[1]["details"] == {"from": "needs_consent", "to": "active", "reason": implausible()}
    # With the right credentials everything is as it was.
    assert Counter(refresh(expired, ALL, run="again").values()) == {"success": 20}
    assert stored_pair(expired, "S001") == newest_pair(expired, "S001")


@pytest.mark.parametrize(
    ("dead", "tried", "believed"),
    [(5, 9, False), (5, 10, True), (4, 4, True), (4, 20, True), (5, 5, False), (9, 20, True)],
)
@pytest.mark.parametrize("dead_first", [True, False])
def test_few_refusals_or_half_of_all_are_believed_in_whatever_order_they_come(
    expired: Bench, dead: int, tried: int, *, believed: bool, dead_first: bool
) -> None:
    codes = ALL[:tried]
    gone = codes[:dead] if dead_first else codes[-dead:]
    revoke(expired, gone)
    refresh(expired, codes)
    summary = end(expired, codes)
    assert marked(expired) == (set(gone) if believed else set())
    counts = {"success": tried - dead, "skipped" if believed else "failed": dead}
    assert recorded(expired) == {state: count for state, count in counts.items() if count}
    assert ("refusals_doubted" in summary.details) is not believed
    if believed:
        assert {grant_of(expired, code)[1] for code in gone} == {DISPLAY.ended}
        ended = expired.rows(
            "SELECT store_code FROM store_audit WHERE action = 'grant_ended'"
            " AND details ->> 'from' = 'active'"
        )
        assert {line["store_code"] for line in ended} == set(gone)


def test_refusals_with_an_explanation_of_their_own_are_believed_however_many(
    expired: Bench,
) -> None:
    revoke(expired, ALL)
    expired.conn.execute(
        "UPDATE store_tokens SET refresh_expires_at = '2026-03-01T10:00:00Z'"
        " WHERE store_code < 'S011'"
    )
    expired.conn.execute(
        "UPDATE store_tokens SET refresh_started_at = '2026-03-01T02:03:04Z'"
        " WHERE store_code >= 'S011'"
    )
    assert Counter(refresh(expired, ALL).values()) == {"needs_consent": 20}
    end(expired)
    assert marked(expired) == set(ALL)
    assert (grant_of(expired, "S001")[1] or "").startswith("The consent ended on 2026-03-01")
    assert "was lost" in (grant_of(expired, "S020")[1] or "")


def test_a_store_that_was_marked_for_another_reason_is_not_taken_back(expired: Bench) -> None:
    revoke(expired, ALL)
    refresh(expired, ALL[:4])
    reason = "TikTok ended the access on 2026-03-01: the manager disconnected the app."
    expired.conn.execute(
        "UPDATE store_tokens SET status_reason = %s WHERE store_code = 'S002'", [reason]
    )
    refresh(expired, ALL[4:])
    assert marked(expired) == {"S002"}
    assert grant_of(expired, "S002")[1] == reason


def test_a_store_taken_back_keeps_what_its_manager_did_not_grant(expired: Bench) -> None:
    revoke(expired, ALL)
    expired.conn.execute(
        "UPDATE store_tokens SET scope = 'user.info.basic', status = 'missing_scope'"
        " WHERE store_code = 'S001'"
    )
    refresh(expired, ALL)
    assert grant_of(expired, "S001") == ("missing_scope", None)
    assert grant_of(expired, "S002") == ("active", None)


def test_a_new_grant_is_not_judged_by_the_refusal_of_the_old_one(expired: Bench) -> None:
    revoke(expired, ALL[:6])
    refresh(expired, ALL[:6])  # not believed
    code = expired.sandbox.admin("POST", "/stores/S001/code", json={})["code"]
    expired.sandbox.oauth("authorization_code", code=code, redirect_uri="x").raise_for_status()
    expired.import_stores("S001")
    refresh(expired, ALL[6:])
    end(expired)  # 5 of 19 by now: believed
    assert marked(expired) == set(ALL[1:6])


def test_of_many_at_once_none_is_marked(expired: Bench, other_app: SandboxServer) -> None:
    app = other(other_app)

    def find(number: int) -> None:
        with (
            psycopg.connect(expired.db_url, autocommit=True) as conn,
            app.transport() as http,
            pytest.raises((NeedsConsentError, ImplausibleRefusalsError)),
        ):
            app.client(
                ALL[number], http=http, conn=conn, settings=expired.settings, run="a b"
            ).tokens.access_token()

    together(12, find)
    assert marked(expired) == set()


def test_runs_that_refuse_a_few_each_are_seen_together(
    expired: Bench, other_app: SandboxServer
) -> None:
    refresh(expired, ALL[:3], run="a", app=other(other_app))
    assert marked(expired) == set(ALL[:3])
    refresh(expired, ALL[3:6], run="b", app=other(other_app))
    assert marked(expired) == set()


def test_a_night_long_past_says_nothing_of_this_one(expired: Bench) -> None:
    revoke(expired, ALL[:8])
    refresh(expired, ALL[:4], run="a")
    expired.conn.execute("UPDATE store_tokens SET refresh_ended_at = now() - interval '2 hours'")
    expired.conn.execute("UPDATE store_tokens SET connected_at = NULL")
    refresh(expired, ALL[4:8], run="b")
    assert marked(expired) == set(ALL[:8])


def test_a_healthy_store_is_still_refreshed_while_others_are_not_believed(expired: Bench) -> None:
    revoke(expired, ALL[:12])
    found = refresh(expired, ALL)
    assert {found[code] for code in ALL[12:]} == {"success"}
    assert end(expired).details["success"] == 8
    assert marked(expired) == set()


def test_few_stores_whose_app_is_not_known_are_not_lost_among_those_of_another(
    expired: Bench, other_app: SandboxServer
) -> None:
    expired.conn.execute(
        "UPDATE store_tokens SET app_fingerprint = %s WHERE store_code <= 'S016'",
        [fingerprint_of(expired.sandbox.client_key)],
    )
    expired.conn.execute(  # an answer that was lost explains nothing to the wrong app either
        "UPDATE store_tokens SET refresh_started_at = '2026-03-01T02:03:04Z'"
        " WHERE store_code = 'S020'"
    )
    found = refresh(expired, ALL, app=other(other_app))
    assert Counter(found.values()) == {"other_app": 20}
    assert other_app.admin("GET", "/stats")["endpoints"]["oauth_token"]["calls"] == 4
    (message,) = {
        line["message"]
        for line in expired.rows("SELECT message FROM sync_logs WHERE store_code = 'S017'")
    }
    assert "of 16 stores with a known app, 16 belong to another app" in message
    assert end(expired).details["failed"] == 20
    assert marked(expired) == set()
    lost = expired.row("SELECT refresh_started_at FROM store_tokens WHERE store_code = 'S020'")
    assert lost["refresh_started_at"].year == 2026
    assert lost["refresh_started_at"].month == 3
    assert Counter(refresh(expired, ALL, run="again").values()) == {"success": 20}


@pytest.mark.parametrize("moved", [0, 1])
def test_the_key_may_be_swapped_within_a_run(
    expired: Bench, other_app: SandboxServer, moved: int
) -> None:
    expired.conn.execute(  # those that their managers have connected to the new app
        "UPDATE store_tokens SET app_fingerprint = %s, access_expires_at = '2100-01-01'"
        " WHERE store_code <= %s",
        [fingerprint_of(other_app.client_key), ALL[moved - 1] if moved else ""],
    )
    refresh(expired, ALL[moved:12])
    found = refresh(expired, ALL[12:], app=other(other_app))
    assert Counter(found.values()) == {"other_app": 8}
    end(expired)
    assert marked(expired) == set()


def test_a_withdrawal_is_believed_while_a_few_stores_are_left_with_another_app(
    expired: Bench,
) -> None:
    expired.conn.execute(
        "UPDATE store_tokens SET app_fingerprint = 'another app' WHERE store_code <= 'S003'"
    )
    revoke(expired, ["S020"])
    refresh(expired, ALL)
    end(expired)
    assert marked(expired) == {"S020"}


@pytest.mark.usefixtures("airflow_env")
def test_the_alert_says_that_refusals_are_not_believed(
    expired: Bench, other_app: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_airflow_env(expired, monkeypatch)
    monkeypatch.setenv("AIRFLOW_VAR_TIKTOK_MIN_SUCCESS_RATE", "0.9")
    for name, value in connections(expired.db_url, other_app).items():
        monkeypatch.setenv(name, value)
    StoreRepository(expired.conn).ensure_partitions(today().date)
    batches = sync_tasks.list_stores(task_context(), None)  # nobody knows whose grants they are
    assert len(batches) == 20
    for batch in batches:
        with pytest.raises(Exception, match=r"TikTok refused|has ended at TikTok"):
            sync_tasks.sync_stores(USER_JOB, batch, task_context())
    with pytest.raises(Exception, match="All for one reason: TikTok refused this store's grant"):
        sync_tasks.record_summary(task_context(xcom_pull=lambda **_: batches))
    alerts = expired.rows("SELECT kind, message, details FROM alerts ORDER BY kind")
    assert [alert["kind"] for alert in alerts] == ["refusals_doubted", "run_failed"]
    assert alerts[0]["details"] == {"refused": 20, "tried": 20}
    assert "grants of 20 of 20 stores" in alerts[0]["message"]
    assert marked(expired) == set()


def test_commands_one_after_the_other_lose_no_store_either(
    expired: Bench, other_env: dict[str, str]
) -> None:
    statuses = [
        run_command(other_env, "sync-store", code, "--job", "refresh").returncode
        for code in ALL[: FEWEST + 1]
    ]
    assert statuses == [1] * (FEWEST - 1) + [2, 2]
    assert marked(expired) == set()


def test_the_error_is_the_operators_and_is_not_tried_again() -> None:
    assert issubclass(ImplausibleRefusalsError, ConfigurationError)
