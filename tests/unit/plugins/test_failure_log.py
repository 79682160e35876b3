"""The end of a failed task's log: what to read first."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import structlog
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from include.tiktok_sync.errors import NeedsConsentError, RateLimitedError
from tiktok_airflow import failure_log

GRANT = "The store's grant has ended at TikTok. Its manager must connect the account again."


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Level and text of what is logged."""
    logger = structlog.testing.CapturingLogger()
    found: list[tuple[str, str]] = []

    def told(level: str, text: str, *values: object) -> None:
        found.append((level, text % values if values else text))

    for level in ("info", "warning", "error"):
        monkeypatch.setattr(logger, level, lambda *a, level=level: told(level, *a), raising=False)
    monkeypatch.setattr(failure_log, "log", logger)
    return found


def test_a_failure_ends_with_its_cause_and_the_next_step(lines: list[tuple[str, str]]) -> None:
    failure_log.log_failure_reason({"exception": NeedsConsentError(GRANT, log_id="2026")})
    failure_log.log_failure_reason({"exception": AirflowFailException("2 of 3 stores failed")})

    # Outside of Airflow's last group, which the UI folds.
    assert lines == [
        ("info", "::endgroup::"),
        ("error", "The store's grant has ended at TikTok."),
        ("error", "Its manager must connect the account again. (TikTok log_id 2026)"),
        ("info", "::endgroup::"),
        ("error", "2 of 3 stores failed"),
    ]


def test_a_try_that_is_followed_by_another_says_which(lines: list[tuple[str, str]]) -> None:
    ti = SimpleNamespace(try_number=2, max_tries=3)
    failure_log.log_retry_reason({"exception": RateLimitedError("TikTok answered 429."), "ti": ti})

    assert lines[1:] == [
        ("warning", "TikTok answered 429."),
        ("warning", "Try 2 of 4: Airflow tries again by itself."),
    ]


def test_a_bug_points_to_its_traceback_and_repeats_nothing(lines: list[tuple[str, str]]) -> None:
    failure_log.log_failure_reason({"exception": KeyError("act.secret")})

    assert lines[1] == ("error", "Unexpected KeyError: the traceback above says where.")
    assert not any("secret" in text for _, text in lines)


def test_a_time_out_is_no_bug(lines: list[tuple[str, str]]) -> None:
    failure_log.log_failure_reason({"exception": AirflowTaskTimeout("Timeout, PID: 7")})

    assert [text for _, text in lines[1:]] == [
        "The task took longer than its execution_timeout; the traceback above says where.",
        "Clear the task to run it again; what was written stays.",
    ]


def test_a_task_that_was_killed_has_no_log_to_end(lines: list[tuple[str, str]]) -> None:
    # Airflow then calls the callback in the Dag processor, without an exception.
    failure_log.log_failure_reason({})
    failure_log.log_retry_reason({"ti": None})

    assert lines == []
