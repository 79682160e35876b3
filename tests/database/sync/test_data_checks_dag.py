"""What becomes of a finding in a real run: task states, logs, the summary, the run's own state.

The Dags run as `airflow dags test` runs them: every task for real, one after another, against the
sandbox and Postgres; only the scheduler is missing (tests/e2e has it).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.database.bench import UTC, Bench, insert_grants
from tests.database.servers.airflow_runs import Airflow, airflow_on

ROOT = Path(__file__).resolve().parents[3]
PASSED, FOUND, BROKEN = "success", "skipped", "failed"


@pytest.fixture
def airflow(
    bench: Bench,
    new_database: Callable[[str], str],
    metadata_template: str,
    tmp_path: Path,
) -> Airflow:
    return airflow_on(bench, new_database(metadata_template), tmp_path)


def test_a_night_without_findings_is_green_throughout(airflow: Airflow) -> None:
    airflow.bench.import_stores("S001", "S002")

    airflow.run("sync_user_daily")

    assert airflow.states() == {
        "user_rows_missing": PASSED,
        "user_counts_negative": PASSED,
        "user_rows_late": PASSED,
        "record_summary": "success",
        "run": "success",
    }
    summary = airflow.summary()
    assert (summary["status"], summary["message"]) == ("success", "2 of 2 stores synced")
    assert summary["details"]["warnings"] == []


def test_findings_warn_and_leave_the_run_a_success(airflow: Airflow) -> None:
    airflow.bench.import_stores("S001", "S002")
    yesterday = datetime.now(UTC) - timedelta(days=1)

    said = airflow.run("sync_user_daily", date=yesterday, stores=["S002"])

    assert airflow.states() == {
        "user_rows_missing": PASSED,
        "user_counts_negative": PASSED,
        "user_rows_late": FOUND,
        "record_summary": "success",
        "run": "success",
    }
    summary = airflow.summary()
    assert (summary["status"], summary["message"]) == (
        *("success", "1 of 1 stores synced (1 filled late); 1 warning"),
    )
    (warning,) = summary["details"]["warnings"]
    assert {name: warning[name] for name in ("check", "found", "examples")} == {
        "check": "user_rows_late",
        "found": 1,
        "examples": ["S002"],
    }
    assert warning["message"].startswith("Profile figures observed after their day: 1 store: S002")
    line = next(line for line in said.splitlines() if "Data check user_rows_late found" in line)
    assert "warning" in line.lower()
    assert "S002" in line
    assert "Nothing can make up for the day" in line


def test_a_check_that_cannot_run_is_red_and_named_while_the_stores_count(
    airflow: Airflow,
) -> None:
    airflow.bench.import_stores("S001")
    file = airflow.project / "include/tiktok_sync/sync/data_checks/video_rows_late.sql"
    file.write_text(re.sub("is_late$", "no_column", file.read_text(), flags=re.MULTILINE))

    airflow.run("sync_video_daily")

    assert airflow.states() == {
        "video_syncs_missing": PASSED,
        "videos_lost": PASSED,
        "video_counts_negative": PASSED,
        "video_rows_late": BROKEN,
        "video_figures_differ": PASSED,
        "record_summary": "success",
        "run": "success",
    }
    summary = airflow.summary()
    assert (summary["status"], summary["message"]) == (
        *("success", "1 of 1 stores synced; 1 warning"),
    )
    (warning,) = summary["details"]["warnings"]
    assert (warning["check"], warning["found"]) == ("video_rows_late", None)
    assert "could not run" in warning["message"]


def test_a_failed_store_is_found_without_its_row(airflow: Airflow) -> None:
    airflow.bench.import_stores("S001")
    for code in ("broken", "new"):
        airflow.bench.conn.execute("INSERT INTO stores VALUES (%s, 'Its name')", [code])
    insert_grants(airflow.bench.conn, "broken")  # and 'new' was never connected

    airflow.env["MIN_SUCCESS_RATE"] = "0.5"
    airflow.run("sync_user_daily")

    assert airflow.states()["user_rows_missing"] == FOUND
    summary = airflow.summary()
    assert summary["status"] == "partial"
    assert summary["message"].startswith(
        "1 of 3 stores synced, 1 failed, 1 skipped; 1 warning. First: broken: "
    )
    assert summary["details"]["warnings"][0]["examples"] == ["broken"]
    waiting = airflow.bench.log_row("new")
    assert (waiting["status"], waiting["details"]["kind"]) == ("skipped", "needs_consent")
    assert waiting["message"].startswith("Store new was never connected.")


def test_a_dry_run_has_nothing_to_check(airflow: Airflow) -> None:
    airflow.bench.import_stores("S001")

    said = airflow.run("sync_video_daily", dry_run=True)

    states = airflow.states()
    assert states.pop("run") == "success"
    assert set(states.values()) == {"skipped"}
    assert "Data check" not in said
    assert airflow.bench.rows("SELECT FROM sync_logs") == []
