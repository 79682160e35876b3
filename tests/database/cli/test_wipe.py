"""After `wipe` no table names an account; before it, nothing is done without the right code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from cryptography.fernet import Fernet
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from include.tiktok_sync.cli.app import app
from include.tiktok_sync.jobs import USER_JOB
from include.tiktok_sync.stores.at_once import wiping
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.bench import Bench
from tests.database.rows.full_store import fill
from tests.database.servers.metadata import sqlalchemy_url

_ACCOUNTS = """
SELECT open_id FROM store_tokens UNION SELECT union_id FROM user_daily_stats
UNION SELECT display_name FROM user_daily_stats UNION SELECT username FROM user_daily_stats
UNION SELECT bio_description FROM user_daily_stats UNION SELECT avatar_url FROM user_daily_stats
UNION SELECT title FROM videos UNION SELECT video_id FROM videos UNION SELECT share_url FROM videos
UNION SELECT video_description FROM videos UNION SELECT cover_image_url FROM videos
"""

Wipe = Callable[..., Any]


@pytest.fixture
def run_wipe(command_env: dict[str, str], tmp_path: Path) -> Wipe:
    (tmp_path / "logs").mkdir()

    def run(*options: str, **changes: str) -> Any:
        before = structlog.get_config()
        env = {**command_env, "AIRFLOW_HOME": str(tmp_path), **changes}
        env.setdefault("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "")
        done = CliRunner().invoke(app, ["wipe", "--as", "anna", *options], env=env)
        structlog.configure(**before)
        return done

    return run


@pytest.fixture
def stores(bench: Bench) -> Bench:
    """Two full stores, a removed one with a living grant, and rows that quote an account."""
    bench.import_stores("S001", "S002", "S003")
    fill(bench, "S001")
    fill(bench, "S002")
    Lifecycle(bench.conn, "anna").remove("S003")
    (name,) = bench.rows("SELECT max(display_name) AS name FROM user_daily_stats")[0].values()
    Lifecycle(bench.conn, "anna").pause("S002", f"because of {name}")
    bench.conn.execute(
        "INSERT INTO store_audit (store_code, action, actor, details)"
        " VALUES ('S001', 'x', 'anna', %s)",
        [Jsonb({"reason": f"{name} said so"})],
    )
    bench.conn.execute(
        "INSERT INTO alerts (kind, job_name, run_id, message, details)"
        " VALUES ('run_failed', 'j', 'r', %s, '{}')",
        [f"First: {name}"],
    )
    bench.conn.execute(
        "INSERT INTO benchmarks (snapshot_date, business_category, asked_at)"
        " VALUES ('2026-11-02', 'OTHERS', now())"
    )
    bench.conn.execute(
        "INSERT INTO weekly_reports (week_start, created_at, headline, html)"
        " VALUES ('2026-11-02', now(), 'A week', %s)",
        [f"<p>{name}</p>"],
    )
    bench.conn.execute(  # the runs of these rows have ended
        "UPDATE sync_logs SET run_time = run_time - interval '1 hour'"
    )
    return bench


def named(bench: Bench, names: list[str]) -> list[tuple[str, str]]:
    forms = {form for name in names for form in (name, json.dumps(name)[1:-1])}
    found = bench.dump()
    return [(table, form) for table, text in found.items() for form in forms if form in text]


def code_of(done: Any) -> str:
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["code"])


def test_after_a_wipe_no_table_names_an_account_and_tiktok_knows_no_grant(
    stores: Bench, run_wipe: Wipe, tmp_path: Path
) -> None:
    names = [value for (value,) in stores.conn.execute(_ACCOUNTS).fetchall() if value]
    kept = "SELECT store_code, store_name, region, is_active, removed_at FROM stores ORDER BY 1"
    mine, before = stores.rows(kept), stores.dump()
    log = tmp_path / "logs" / f"dag_id={USER_JOB}" / "attempt=1.log"
    log.parent.mkdir()
    log.write_text(f"Store synced\nsaid {names[0]}", encoding="utf-8")

    plan = run_wipe()
    assert "Dry run: nothing was changed." in plan.stdout
    assert stores.dump() == before
    planned = json.loads(run_wipe("--json").stdout)
    assert planned["grants"] == 3
    assert stores.calls().get("revoke", 0) == 0

    done = run_wipe("--confirm", planned["code"], "--json")

    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["rows"] == planned["rows"]
    assert {table for table, rows in report["rows"].items() if not rows} == set()
    assert [one["ok"] for one in report["grants"]] == [True] * 3
    assert len(names) > 20
    assert named(stores, names) == []
    assert names[0] not in log.read_text(encoding="utf-8")
    assert stores.rows(kept) == mine, "the retailer's own"
    audit = stores.rows("SELECT * FROM store_audit WHERE action = 'wipe' ORDER BY store_code")
    assert [(row["store_code"], row["actor"]) for row in audit] == [
        ("S001", "anna"),
        ("S002", "anna"),
        ("S003", "anna"),
    ]
    assert audit[0]["details"]["revoked"] == 3
    # Once more: nothing is left, and nothing fails.
    again = run_wipe("--confirm", code_of(run_wipe("--json")), "--json")
    assert again.exit_code == 0, again.output
    assert set(json.loads(again.stdout)["rows"].values()) == {0}


def test_the_code_changes_with_the_data_and_a_wrong_one_changes_nothing(
    stores: Bench, run_wipe: Wipe
) -> None:
    code = code_of(run_wipe("--json"))
    assert code_of(run_wipe("--json")) == code
    stores.conn.execute(
        "UPDATE videos SET title = 'another' WHERE video_id IN (SELECT min(video_id) FROM videos)"
    )
    before = stores.dump()

    done = run_wipe("--confirm", code)

    assert (done.exit_code, "nothing was wiped" in done.stderr) == (2, True)
    assert stores.dump() == before
    assert code_of(run_wipe("--json")) != code


def test_a_grant_that_tiktok_does_not_revoke_is_named_and_the_rows_go(
    stores: Bench, run_wipe: Wipe
) -> None:
    code = code_of(run_wipe("--json"))

    done = run_wipe("--confirm", code, TIKTOK_API_URL="http://127.0.0.1:9")

    assert done.exit_code == 1
    assert "0 ended at TikTok, 3 not revoked" in done.stdout
    assert "S003: not revoked, and its tokens are deleted" in done.stdout
    assert "remove the app in TikTok" in done.stdout
    assert stores.rows("SELECT * FROM store_tokens") == []


def test_rows_that_came_meanwhile_do_not_hide_which_grants_are_left(
    stores: Bench, run_wipe: Wipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = code_of(run_wipe("--json"))
    monkeypatch.setattr(wiping, "left_over", lambda _: 7)

    done = run_wipe("--confirm", code, TIKTOK_API_URL="http://127.0.0.1:9")

    assert (done.exit_code, "7 rows were written during the wipe" in done.stderr) == (1, True)
    assert "S003: not revoked, and its tokens are deleted" in done.stdout
    assert stores.rows("SELECT * FROM store_tokens") == []


def test_with_a_lost_key_it_says_how_to_wipe_all_the_same(stores: Bench, run_wipe: Wipe) -> None:
    code = code_of(run_wipe("--json"))
    lost = {"TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode()}

    refused = run_wipe("--confirm", code, **lost)

    assert (refused.exit_code, "--no-revoke" in refused.stderr) == (2, True)
    assert code_of(run_wipe("--json")) == code
    done = run_wipe("--confirm", code, "--no-revoke", **lost)
    assert done.exit_code == 0, done.output
    assert stores.rows("SELECT * FROM store_tokens") == []


def test_what_a_crash_left_is_wiped_by_the_next_time(
    stores: Bench, run_wipe: Wipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [value for (value,) in stores.conn.execute(_ACCOUNTS).fetchall() if value]
    whole = wiping._delete  # the process is killed in the middle of it
    monkeypatch.setattr(wiping, "BATCH", 3)
    deleted: list[str] = []

    def dies(conn: psycopg.Connection[Any], table: str) -> int:
        deleted.append(table)
        if len(deleted) == 3:
            raise KeyboardInterrupt
        return whole(conn, table)

    with monkeypatch.context() as patch:
        patch.setattr(wiping, "_delete", dies)
        crashed = run_wipe("--confirm", code_of(run_wipe("--json")))
    assert crashed.exit_code != 0
    assert stores.rows("SELECT DISTINCT action FROM store_audit WHERE action LIKE 'wipe%%'") == [
        {"action": "wipe_begun"}
    ]

    done = run_wipe("--confirm", code_of(run_wipe("--json")))

    assert done.exit_code == 0, done.output
    assert named(stores, names) == []


def test_it_waits_for_nobody_a_run_in_progress_is_named(
    stores: Bench,
    run_wipe: Wipe,
    new_database: Callable[[str], str],
    metadata_template: str,
) -> None:
    code = code_of(run_wipe("--json"))
    url = new_database(metadata_template)
    with psycopg.connect(url) as conn:
        conn.execute(
            "INSERT INTO dag_run (dag_id, run_id, state, run_type, run_after, clear_number,"
            " log_template_id, triggered_by, created_dag_version_id)"
            " VALUES (%s, 'night', 'running', 'manual', now(), 0, (SELECT max(id) FROM"
            " log_template), 'cli', NULL)",
            [USER_JOB],
        )
    airflow = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": sqlalchemy_url(url)}

    done = run_wipe("--confirm", code, **airflow)
    assert (done.exit_code, f"{USER_JOB} night" in done.stderr) == (1, True)
    stores.sync(USER_JOB, "S001", run_id="by-hand")
    code = code_of(run_wipe("--json"))
    done = run_wipe("--confirm", code)
    assert (done.exit_code, f"{USER_JOB} by-hand" in done.stderr) == (1, True)
    assert stores.rows("SELECT * FROM store_tokens") != []
