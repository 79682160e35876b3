"""What a mapped task is called: short, one line, and true for batches and second tries too."""

from __future__ import annotations

import pytest

from include.tiktok_sync.errors import ConfigurationError, TikTokUnavailableError
from include.tiktok_sync.sync.sync_log import StoreResult, StoreStatus
from tiktok_airflow.store_label import MOST_CHARACTERS, label

CODES = ["S001", "S002", "S003", "S004", "S005"]


def result(code: str, status: StoreStatus = "success", message: str = "14 videos") -> StoreResult:
    return StoreResult(code, status, message, 12, {})


def test_a_task_that_has_not_ended_is_its_stores() -> None:
    assert label(["S001"]) == "S001"
    assert label(CODES) == "S001 to S005 (5)"


def test_a_store_that_is_done_says_what_was_read() -> None:
    assert label(["S001"], [result("S001")]) == "S001 · 14 videos"


def test_a_dry_run_says_that_it_is_one() -> None:
    assert label(["S001"], [result("S001")], dry_run=True) == "S001 · dry run · 14 videos"


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_store_that_is_not_done_says_the_cause_and_leaves_the_next_step_to_its_log(
    status: StoreStatus,
) -> None:
    message = "The store's grant has ended at TikTok. Its manager must connect it again."
    told = label(["S001"], [result("S001", status, message)], TikTokUnavailableError(message))
    assert told == f"S001 · {status}: The store's grant has ended at TikTok"


def test_what_fails_before_the_store_is_said_too() -> None:
    assert label(["S001"], [], ConfigurationError("TIKTOK_TOKEN_KEYS is not set. Set it.")) == (
        "S001 · failed: TIKTOK_TOKEN_KEYS is not set"
    )
    assert label(["S001"], [], ValueError()) == "S001 · failed: ValueError"


def test_several_stores_are_counted_and_those_that_failed_are_named() -> None:
    mixed = [result(code) for code in CODES[:3]]
    mixed += [result("S004", "skipped"), result("S005", "failed")]
    assert label(CODES, mixed, TikTokUnavailableError("x")) == (
        "S001 to S005 (5) · 3 synced, 1 skipped, 1 failed: S005"
    )
    assert label(
        CODES, [result(code, "failed") for code in CODES], TikTokUnavailableError("x")
    ) == ("S001 to S005 (5) · 5 failed: S001, S002, S003, …")


def test_a_second_try_tells_what_it_did_and_what_was_done_before() -> None:
    assert label(CODES, [result("S002")]) == "S001 to S005 (5) · 1 synced, 4 earlier"


def test_it_fits_into_airflows_column_and_on_a_line() -> None:
    told = label(["S001"], [], ValueError("many\nlines " + "x" * 500))
    assert told == "S001 · failed: many"
    told = label(["S001"], [result("S001", message="x" * 500)])
    assert len(told) == MOST_CHARACTERS
    assert told.endswith("x…")
