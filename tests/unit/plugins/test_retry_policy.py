"""SyncRetryPolicy: the whole error tree, class by class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

import pytest
from airflow.sdk import RetryAction, RetryDecision
from airflow.sdk.exceptions import AirflowException, AirflowTaskTimeout

from include.tiktok_sync import errors
from include.tiktok_sync.errors import RetriableError, SyncError
from tiktok_airflow.retry_policy import SyncRetryPolicy

AGAIN = {
    errors.RetriableError,
    errors.TikTokUnavailableError,
    errors.RateLimitedError,
    errors.DatabaseUnavailableError,
    errors.ListingError,
    errors.OutOfTimeError,
}
NEVER = {
    errors.SyncError,
    errors.ConfigurationError,
    errors.FatalError,
    errors.DataError,
    errors.SkippableError,
    errors.NeedsConsentError,
    errors.OtherAppError,
    errors.ImplausibleRefusalsError,
    errors.MissingScopeError,
}


def tree(root: type[SyncError]) -> Iterator[type[SyncError]]:
    yield root
    for child in root.__subclasses__():
        # Tests elsewhere may derive their own.
        if child.__module__ == errors.__name__:
            yield from tree(child)


def decide(exception: BaseException) -> RetryDecision:
    return SyncRetryPolicy().evaluate(exception, try_number=1, max_tries=3)


def by_name(classes: Iterable[type[SyncError]]) -> list[type[SyncError]]:
    return sorted(classes, key=lambda kind: kind.__name__)


def test_every_class_of_the_tree_is_decided_here() -> None:
    assert set(tree(SyncError)) == AGAIN | NEVER


@pytest.mark.parametrize("kind", by_name(AGAIN))
@pytest.mark.parametrize(("seconds", "waits"), [(1, 1), (30.5, 30.5), (3600, 300), (86_400, 300)])
def test_what_can_get_better_is_tried_again_when_it_says_but_within_minutes(
    kind: type[RetriableError], seconds: float, waits: float
) -> None:
    decision = decide(kind("Postgres restarts.", retry_after_s=seconds))

    assert decision == RetryDecision(
        RetryAction.RETRY, timedelta(seconds=waits), "Postgres restarts."
    )


@pytest.mark.parametrize("kind", by_name(AGAIN))
def test_without_a_time_the_task_decides_when(kind: type[RetriableError]) -> None:
    decision = decide(kind("TikTok did not answer."))

    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay is None


@pytest.mark.parametrize("kind", by_name(NEVER))
def test_what_cannot_get_better_fails_at_once(kind: type[SyncError]) -> None:
    assert decide(kind("Set TIKTOK_TOKEN_KEYS.")) == RetryDecision(
        RetryAction.FAIL, None, "Set TIKTOK_TOKEN_KEYS."
    )


@pytest.mark.parametrize(
    "foreign",
    [
        ValueError("act.secret"),
        AirflowException("act.secret"),
        AirflowTaskTimeout("act.secret"),
        KeyboardInterrupt(),
    ],
    ids=lambda foreign: type(foreign).__name__,
)
def test_errors_from_outside_the_tree_follow_the_task(foreign: BaseException) -> None:
    # No reason either: nobody knows what stands in a foreign message.
    assert decide(foreign) == RetryDecision(RetryAction.DEFAULT, None, None)


@pytest.mark.parametrize("kind", by_name(AGAIN | NEVER))
def test_reason_is_for_people_and_leaves_the_details_out(kind: type[SyncError]) -> None:
    decision = decide(
        kind("The grant ended.", detail="POST /v2/oauth/token/ rft.secret", log_id="2026112302")
    )

    assert decision.reason == "The grant ended. (TikTok log_id 2026112302)"


def test_cause_of_an_error_is_left_out_too() -> None:
    error = errors.DatabaseUnavailableError("The store database cannot be reached.")
    error.__cause__ = ValueError("password=secret")

    assert decide(error).reason == "The store database cannot be reached."
