"""What is compared: who syncs what, and how TikTok answers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from benchmarks.measure.bench_stack import SetUp
from benchmarks.workload import USER, VIDEO, Job

Way = Literal["package", "first", "batches", "loop"]

WAYS: dict[Way, str] = {
    "package": "this package",
    "first": "the first Dag",
    "batches": "batches, no Airflow",
    "loop": "loop, no Airflow",
}

AIRFLOW_WAYS: frozenset[Way] = frozenset({"package", "first"})

SPREAD = 0.8
"""Sigma of the long tail: one call in a hundred takes 4.7 times the mean."""

LATENCIES = {"constant": 0.0, "lognormal": SPREAD}
"""Name -> ``latency_spread`` of the sandbox."""

LIMIT = 600
"""Calls a minute that TikTok documents for each endpoint."""

FIRST = SetUp(first=True)


@dataclass(frozen=True)
class Variant:
    """One measurement.

    Attributes:
        key: Its name.
        way: Who syncs.
        jobs: Which syncs, started together.
        latency: A key of ``LATENCIES``.
        stores_per_task: Stores that share a mapped task.
        sample: Stores that are really done; the time of all is extrapolated. ``None`` = all.
        limit: Calls a minute and endpoint, enforced on both sides; the videos are then known from
            the night before. 0 = lifted, and nothing is known.
        lanes: ``VIDEO_LANES``; 1 = a client that only lists.
    """

    key: str
    way: Way
    jobs: tuple[Job, ...]
    latency: str = "constant"
    stores_per_task: int = 1
    sample: int | None = None
    limit: int = 0
    lanes: int = 2

    @property
    def uses_airflow(self) -> bool:
        """Whether Airflow runs it."""
        return self.way in AIRFLOW_WAYS

    @property
    def set_up(self) -> SetUp:
        """Airflow's."""
        return SetUp(first=self.way == "first", extra=self.extra)

    @property
    def extra(self) -> dict[str, str]:
        """Variables of the program that syncs."""
        found = {}
        if self.stores_per_task > 1:
            found["STORES_PER_TASK"] = str(self.stores_per_task)
        if self.limit:
            found["TIKTOK_RATE_LIMIT_PER_MINUTE"] = str(self.limit)
        if self.lanes == 1:
            found["VIDEO_LANES"] = "1"
        return found

    @property
    def spread(self) -> float:
        """Of the sandbox's latency."""
        return LATENCIES[self.latency]


BOTH = (USER, VIDEO)

VARIANTS = (
    # Without Airflow first: it is started once, after them.
    Variant("d-user", "loop", (USER,), sample=10),
    Variant("d-video", "loop", (VIDEO,), sample=4),
    Variant("c-user", "batches", (USER,)),
    Variant("c-video", "batches", (VIDEO,)),
    Variant("c-both", "batches", BOTH),
    Variant("c-both-tail", "batches", BOTH, "lognormal"),
    Variant("c-known", "batches", BOTH, limit=LIMIT, lanes=1),
    Variant("a-user", "package", (USER,)),
    Variant("a-video", "package", (VIDEO,)),
    Variant("a-both", "package", BOTH),
    Variant("a-both-tail", "package", BOTH, "lognormal"),
    Variant("a-user-5", "package", (USER,), stores_per_task=5),
    Variant("a-video-5", "package", (VIDEO,), stores_per_task=5),
    Variant("a-known", "package", BOTH, limit=LIMIT),
    Variant("a-known-1", "package", BOTH, limit=LIMIT, lanes=1),
    Variant("b-user", "first", (USER,)),
    Variant("b-video", "first", (VIDEO,)),
    Variant("b-both", "first", BOTH),
    Variant("b-both-tail", "first", BOTH, "lognormal"),
    Variant("b-known", "first", BOTH, limit=LIMIT, lanes=1),
)


def chosen(only: Collection[str], latency: str | None) -> list[Variant]:
    """Those with one of the names (none = all) and that latency (none = any).

    Raises:
        ValueError: A name or latency is not known.
    """
    unknown = sorted(set(only) - {variant.key for variant in VARIANTS})
    if unknown:
        known = ", ".join(variant.key for variant in VARIANTS)
        message = f"There is no variant {', '.join(unknown)}; known are {known}."
        raise ValueError(message)
    if latency is not None and latency not in LATENCIES:
        message = f"Latency is {' or '.join(LATENCIES)}, not {latency}."
        raise ValueError(message)
    return [
        variant
        for variant in VARIANTS
        if (not only or variant.key in only) and latency in (None, variant.latency)
    ]
