"""Which metrics do the sync's tasks send through Airflow? Counters and timers named ``tiktok.…``.

They go where Airflow's own go (StatsD, OpenTelemetry, Datadog), and nowhere by default. No tag
grows with the stores: who was slow or failed is in ``sync_logs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow.sdk.observability import stats

from include.tiktok_sync.sync.store_job import StoreReport


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: As it is sent; Airflow's prefix (``airflow.`` by default) comes before it.
        kind: A timer is in milliseconds.
        tags: The tags each value has.
        meaning: For the person.
    """

    name: str
    kind: Literal["counter", "timer"]
    tags: tuple[str, ...]
    meaning: str

    def tell(self, value: float, *tags: str) -> None:
        """Send a count, unless it is 0, or a time in milliseconds; tags in their order."""
        named = dict(zip(self.tags, tags, strict=True))
        if self.kind == "timer":
            stats.timing(self.name, value, tags=named)
        elif value:
            stats.incr(self.name, int(value), tags=named)


CALLS = Metric(
    "tiktok.calls",
    "counter",
    ("job", "endpoint"),
    "Calls to TikTok's data endpoints, including repeats",
)
REPEATS = Metric(
    "tiktok.repeats",
    "counter",
    ("job", "endpoint"),
    "Calls repeated after passing trouble",
)
RATE_LIMITED = Metric("tiktok.rate_limited", "counter", ("job", "endpoint"), "Answers 429")
RATE_LIMIT_WAIT = Metric(
    "tiktok.rate_limit_wait",
    "timer",
    ("job", "endpoint"),
    "Time a store spent under the shared rate limit",
)
REFRESHES = Metric("tiktok.refreshes", "counter", ("job",), "Access tokens refreshed")
ROWS = Metric("tiktok.rows", "counter", ("job",), "Daily figures written")
STORES = Metric(
    "tiktok.stores",
    "counter",
    ("job", "status"),
    "Stores done, by `status` as in `sync_logs`; each try of a task counts",
)
STORE_DURATION = Metric(
    "tiktok.store_duration", "timer", ("job", "status"), "Time one try of a store took"
)
FAILURES = Metric(
    "tiktok.failures",
    "counter",
    ("job", "kind"),
    "Stores that failed or were skipped, by `kind` as in `sync_logs.details`",
)
RUNS = Metric("tiktok.runs", "counter", ("job", "status"), "Runs with a summary, by status")
RUN_DURATION = Metric(
    "tiktok.run_duration", "timer", ("job", "status"), "Time a run took, from start to summary"
)

METRICS = (
    *(CALLS, REPEATS, RATE_LIMITED, RATE_LIMIT_WAIT, REFRESHES, ROWS),
    *(STORES, STORE_DURATION, FAILURES, RUNS, RUN_DURATION),
)


def record_store_metrics(job: str, report: StoreReport) -> None:
    """Send the metrics of one store in one run; ``job`` is the Dag's id."""
    result = report.result
    for path, counts in report.calls.items():
        endpoint = path.replace("/", "_")
        CALLS.tell(counts.calls, job, endpoint)
        REPEATS.tell(counts.repeats, job, endpoint)
        RATE_LIMITED.tell(counts.rate_limited, job, endpoint)
        RATE_LIMIT_WAIT.tell(counts.waited_s * 1000, job, endpoint)
    REFRESHES.tell(result.details.get("refreshes", 0), job)
    if not report.dry_run:
        ROWS.tell(result.details.get("rows", 0), job)
    STORES.tell(1, job, result.status)
    STORE_DURATION.tell(result.duration_ms, job, result.status)
    if result.status != "success":
        FAILURES.tell(1, job, result.details["kind"])


def record_run_metrics(job: str, status: str, duration_ms: int) -> None:
    """Send the metrics of a run that has a summary."""
    RUNS.tell(1, job, status)
    RUN_DURATION.tell(duration_ms, job, status)
