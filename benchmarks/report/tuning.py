"""How long would a night take elsewhere? docs/tuning.md: one cell measured, the rest computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchError
from benchmarks.measure.variants import LIMIT
from benchmarks.report.figures import busy, machine_of, per_store_ms
from benchmarks.workload import USER, VIDEO, Job, floor_seconds, limited_floor_seconds
from include.local.settings import DEFAULT_USERS_POOL, DEFAULT_VIDEOS_POOL, LOCAL_SLOTS
from include.tiktok_sync.sync.store_batch import cut
from include.tiktok_sync.tiktok.client import LANES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tuning.md"

_BEGIN = "<!-- tuning: written by `python -m benchmarks page` -->\n"
_END = "<!-- end of tuning -->\n"

_STORES = (300, 500, 1_000, 3_000)
_POOLS = {2: (DEFAULT_USERS_POOL, DEFAULT_VIDEOS_POOL), 4: (45, 30), 8: (70, LOCAL_SLOTS - 70)}
"""Cores -> slots for users, for videos."""
_SEVERAL = 5
_LANES = {LANES: "videos known", 1: "first night or one lane"}


class Cost:
    """Processor seconds of a store in one sync, split by a run with 1 and one with several a task.

    Args:
        one: Figures with one store a task.
        several: Figures with several.
    """

    def __init__(self, one: Mapping[str, Any], several: Mapping[str, Any]) -> None:
        each, shared = per_store_ms(one) / 1000, per_store_ms(several) / 1000
        saved = 1 - 1 / int(several["stores_per_task"])
        self.task_s = max(0.0, each - shared) / saved
        self.work_s = each - self.task_s

    def store_s(self, per_task: int) -> float:
        """Seconds of a store when this number of stores share a task."""
        return self.work_s + self.task_s / per_task


def with_table(page: str, compare: Mapping[str, Any]) -> str:
    """The page with the table for these figures.

    Raises:
        BenchError: The page has lost the marks around the table.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        message = f"docs/tuning.md lacks the lines {_BEGIN.strip()} and {_END.strip()}"
        raise BenchError(message)
    return before + begin + table(compare) + end + after


def table(compare: Mapping[str, Any]) -> str:
    """Markdown: rows are numbers of stores, columns are cores.

    Raises:
        BenchError: A measurement that it is computed from failed.
    """
    valid = {one["key"]: one for one in compare["variants"] if not one["problem"]}
    missing = {"a-both", "a-user", "a-user-5", "a-video", "a-video-5"} - set(valid)
    if missing:
        message = f"The tuning table needs the variants {', '.join(sorted(missing))}."
        raise BenchError(message)
    measured = valid["a-both"]
    costs = {
        job: Cost(valid[f"a-{job.name}"], valid[f"a-{job.name}-{_SEVERAL}"])
        for job in (USER, VIDEO)
    }
    here = machine_of(compare, measured)
    cores_here = int(here["cores"])
    used = busy(measured, cores_here)
    # Calls a minute and endpoints; what was measured on another day is left out of the table.
    rows = {(LIMIT, LANES): "a-known", (LIMIT, 1): "a-known-1", (0, 1): "a-both"}
    bold = {
        row: valid[key] if key in valid and machine_of(compare, valid[key]) == here else None
        for row, key in rows.items()
    }
    lines = [
        "| both syncs, started together | " + " | ".join(f"{n} cores" for n in _POOLS) + " |",
        "| --- | " + " | ".join("---:" for _ in _POOLS) + " |",
        "| `SYNC_CONCURRENCY` / `VIDEO_SYNC_CONCURRENCY` | "
        + " | ".join(f"{users} / {videos}" for users, videos in _POOLS.values())
        + " |",
    ]
    for stores in _STORES:
        auto = len(cut([""] * stores)[0])
        for (limit, lanes), seen in bold.items():
            cells = []
            for cores in _POOLS:
                found = [
                    _clock(_seconds(stores, cores, per_task, (limit, lanes), costs, used))
                    for per_task in sorted({auto, max(auto, _SEVERAL)})
                ]
                if seen and (stores, cores) == (compare["stores"], cores_here):
                    found[0] = f"**{_clock(seen['wall_s'])}**"
                cells.append(" → ".join(found))
            name = f"{limit} calls a minute, {_LANES[lanes]}" if limit else "limit lifted"
            lines.append(f"| {stores:,} stores, {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _seconds(
    stores: int,
    cores: int,
    per_task: int,
    limit: tuple[int, int],
    costs: Mapping[Job, Cost],
    used: float,
) -> float:
    pools = dict(zip(costs, _POOLS[cores], strict=True))
    working = stores * sum(cost.store_s(per_task) for cost in costs.values()) / (cores * used)
    per_minute, lanes = limit
    jobs = [replace(job, slots=slots) for job, slots in pools.items()]
    waiting = (
        limited_floor_seconds(jobs, stores, per_minute, lanes)
        if per_minute
        else floor_seconds(jobs, stores, 0.0)
    )
    return max(waiting, working)


def _clock(seconds: float) -> str:
    return f"{int(seconds + 0.5) // 60}:{int(seconds + 0.5) % 60:02}"
