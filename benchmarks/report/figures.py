"""How are the stored figures read? Shared by page and charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.measure.variants import WAYS

WORKLOADS: tuple[tuple[str, list[str], str, bool], ...] = (
    ("user sync alone", ["user"], "constant", False),
    ("video sync alone", ["video"], "constant", False),
    ("both together", ["user", "video"], "constant", False),
    ("both together, long tail", ["user", "video"], "lognormal", False),
    ("both together, limit enforced, videos known", ["user", "video"], "constant", True),
)
"""Name, jobs, latency and whether the limit is enforced, in the order in which they are shown."""


def label_of(one: Mapping[str, Any]) -> str:
    """Who synced, for people."""
    way = WAYS[one["way"]]
    if one["stores_per_task"] > 1:
        return f"{way}, {one['stores_per_task']} stores a task"
    return f"{way}, one lane" if one.get("lanes") == 1 else way


def machine_of(compare: Mapping[str, Any], one: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where and when a variant was measured; figures of before 0.4.0 say so once for all."""
    found: Mapping[str, Any] = one.get("machine") or compare["machine"]
    return found


def by_workload(compare: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Every variant under its workload's name, in the order in which they are shown."""
    return [
        (name, one)
        for name, jobs, latency, limited in WORKLOADS
        for one in sorted(compare["variants"], key=lambda one: str(one["key"]))
        # Figures of before there was a second lane do not say that their limit was lifted.
        if (one["jobs"], one["latency"], bool(one.get("limit"))) == (jobs, latency, limited)
    ]


def syncs(one: Mapping[str, Any]) -> int:
    """Stores that were really done, counted once for each sync."""
    return int(one["sample"] or one["stores"]) * len(one["jobs"])


def per_store_ms(one: Mapping[str, Any], part: str | None = None) -> float:
    """Processor milliseconds of a store in one sync, of one part or of all."""
    cpu = one["cpu_s"]
    seconds = sum(cpu.values()) if part is None else cpu.get(part, 0.0)
    return float(1000 * seconds / syncs(one))


def busy(one: Mapping[str, Any], cores: int) -> float:
    """Share of all cores that was used from the runs' start to their end, 0 to 1."""
    times = one["stores"] / one["sample"] if one["sample"] else 1
    # A run is longer than its mapped tasks, and what it costs is of all of it.
    seconds = max([one["wall_s"], *(part["run_s"] or 0 for part in one["by_job"].values())])
    return float(sum(one["cpu_s"].values()) * times / (seconds * cores))


def points_of(growth: Mapping[str, Any], job: str) -> list[Mapping[str, Any]]:
    """The valid points of one job, by stores."""
    found = [
        point
        for point in growth["points"]
        if point["measured"]["jobs"] == [job] and not point["measured"]["problem"]
    ]
    return sorted(found, key=lambda point: int(point["measured"]["stores"]))
