"""The summary of a run: one row, aggregated from the rows of its stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.sync.sync_log import StoreResult, SummaryStatus, SyncLog
from include.tiktok_sync.tokens.refusals import Evidence

IMPLAUSIBLE_REFUSALS = "refusals_doubted"
"""Key in the summary's details: how many refusals were not believed. Stored, so the name stays."""

FAILURES_NAMED = 100
"""Failed and skipped stores that the summary's details name; all have their own row."""

_COSTS = (
    "calls",
    "repeats",
    "rate_limited",
    "waited_s",
    "refreshes",
    "rows",
    "videos",
    "posts",
    "days",
    "days_written",
    "removed",
    "figures_missing",
)


@dataclass(frozen=True)
class RunSummary:
    """The result of a run.

    Attributes:
        status: ``success`` no store failed; ``partial`` the success rate is good enough;
            ``failed`` it is too low; ``skipped`` there was no store to sync.
        message: One line for the person.
        details: Counts, costs and the stores that need attention (at most
            :data:`FAILURES_NAMED`).
        failed_stores: Codes of all that failed.
        skipped_stores: Codes of all that were skipped.
    """

    status: SummaryStatus
    message: str
    details: dict[str, Any]
    failed_stores: Sequence[str] = ()
    skipped_stores: Sequence[str] = ()


def summarize(
    log: SyncLog,
    run: RunKey,
    store_codes: Sequence[str],
    *,
    min_success_rate: float,
    warnings: Sequence[Mapping[str, Any]] = (),
    implausible: Evidence | None = None,
) -> RunSummary:
    """Aggregate the run's store rows.

    Args:
        log: Reads the rows.
        run: The run.
        store_codes: Every store of the run; one without a row counts as failed (its task was
            killed, or never ran).
        min_success_rate: 0..1, of success / (success + failed).
        warnings: What the data checks found
            (:func:`~include.tiktok_sync.sync.data_checks.check.warnings_of`); reported, never
            judged.
        implausible: The evidence, if TikTok's refusals were not believed
            (:mod:`include.tiktok_sync.tokens.refusals`).
    """
    if not store_codes:
        message = "No active store to sync. Import stores first: make stores-import FILE=stores.csv"
        return RunSummary("skipped", message, {"stores": 0})
    results = log.results(run, store_codes)
    recorded = {result.store_code for result in results}
    silent = [code for code in store_codes if code not in recorded]
    counts = Counter(result.status for result in results)
    succeeded, skipped = counts["success"], counts["skipped"]
    failed = counts["failed"] + len(silent)
    rate = succeeded / (succeeded + failed) if succeeded + failed else None
    failures = [
        *(_named(result) for result in results if result.status == "failed"),
        *({"store_code": code, "message": _SILENT} for code in silent),
    ]
    skips = [_named(result) for result in results if result.status == "skipped"]
    filled = Counter(str(r.details["backfill"]) for r in results if "backfill" in r.details)
    details: dict[str, Any] = {
        "stores": len(store_codes),
        "success": succeeded,
        "failed": failed,
        "skipped": skipped,
        "success_rate": rate,
        **_costs(results),
        **_slowest(results),
        "failures": failures[:FAILURES_NAMED],
        "skips": skips[:FAILURES_NAMED],
        "warnings": [dict(warning) for warning in warnings],
        **({"backfill": dict(filled)} if filled else {}),
        **({IMPLAUSIBLE_REFUSALS: implausible.as_details()} if implausible else {}),
    }
    return RunSummary(
        _status(failed, rate, min_success_rate),
        _message(len(store_codes), succeeded, failures, skipped, len(warnings), filled),
        details,
        [failure["store_code"] for failure in failures],
        [skip["store_code"] for skip in skips],
    )


_SILENT = "No result was recorded: the task was killed or did not run. See its log in Airflow."


_FILLED = {
    "present": "observed in time",
    "carried": "filled late",
    "late": "filled late before",
    "read": "filled with that day's figures",
    "there": "had them",
    "absent": "without that day in TikTok",
}
"""What :class:`~include.tiktok_sync.sync.past_day.Filling` found, in a backfill's message, or
:mod:`include.tiktok_sync.sync.insights.past_day`."""


def _status(failed: int, rate: float | None, min_success_rate: float) -> SummaryStatus:
    if not failed:
        return "success"
    return "partial" if rate is not None and rate >= min_success_rate else "failed"


def _message(
    total: int,
    succeeded: int,
    failures: Sequence[Mapping[str, Any]],
    skipped: int,
    warnings: int,
    filled: Mapping[str, int],
) -> str:
    parts = [f"{succeeded} of {total} stores synced"]
    if filled:
        of_them = (f"{filled[state]} {said}" for state, said in _FILLED.items() if state in filled)
        parts[0] += f" ({', '.join(of_them)})"
    if failures:
        parts.append(f"{len(failures)} failed")
    if skipped:
        parts.append(f"{skipped} skipped")
    message = ", ".join(parts)
    if warnings:
        message += f"; {warnings} warning{'s' if warnings > 1 else ''}"
    if failures:
        first = failures[0]
        reasons = {failure["message"] for failure in failures}
        if len(reasons) == 1 and len(failures) > 1:
            return f"{message}. All for one reason: {first['message']}"
        return f"{message}. First: {first['store_code']}: {first['message']}"
    return message


def _costs(results: Sequence[StoreResult]) -> dict[str, float]:
    costs: dict[str, float] = {}
    for name in _COSTS:
        values = [result.details[name] for result in results if name in result.details]
        if values:
            costs[name] = round(sum(values), 3)
    return costs


def _slowest(results: Sequence[StoreResult]) -> dict[str, Any]:
    if not results:
        return {}
    slowest = max(results, key=lambda result: result.duration_ms)
    return {"slowest_store": slowest.store_code, "slowest_store_ms": slowest.duration_ms}


def _named(result: StoreResult) -> dict[str, Any]:
    return {
        "store_code": result.store_code,
        "kind": result.details.get("kind"),
        "message": result.message,
    }
