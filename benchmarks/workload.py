"""What is to be done, and how fast could it be done at best?"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from include.local.settings import DEFAULT_USERS_POOL, DEFAULT_VIDEOS_POOL
from include.sandbox.settings import DEFAULT_LATENCY, SandboxSettings
from include.sandbox.wire.latency import Latencies
from include.sandbox.world.world import REFERENCE_VIDEOS, store_code
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.tiktok.client import PAGE_SIZE


@dataclass(frozen=True)
class Job:
    """One sync of the reference workload.

    Attributes:
        name: Short name.
        dag_id: Its Dag, and its name in ``sync_logs``.
        task_id: Its mapped task.
        endpoint: The sandbox's endpoint that it calls.
        calls: Calls of a store.
        slots: Stores at once.
    """

    name: str
    dag_id: str
    task_id: str
    endpoint: str
    calls: int
    slots: int


USER = Job("user", USER_JOB, "sync_store_user", "user_info", 1, DEFAULT_USERS_POOL)
VIDEO = Job(
    "video",
    VIDEO_JOB,
    "sync_store_video",
    "video_list",
    REFERENCE_VIDEOS // PAGE_SIZE,
    DEFAULT_VIDEOS_POOL,
)
JOBS = {job.name: job for job in (USER, VIDEO)}


def store_seconds(job: Job, stores: int, spread: float) -> list[float]:
    """Seconds that the sandbox takes for each store, as it draws them (seed 1)."""
    settings = SandboxSettings(
        client_key="floor",
        client_secret="floor",
        profile="reference",
        latency_spread=spread,
    )
    latencies = Latencies(settings)
    return [
        sum(latencies.draw(job.endpoint, store_code(number)) for _ in range(job.calls))
        for number in range(1, stores + 1)
    ]


def floor_seconds(jobs: Sequence[Job], stores: int, spread: float) -> float:
    """Seconds if nothing but the sandbox took time: a slot that is free takes the next store.

    Jobs run side by side, so that several take as long as the longest.
    """
    return max(_taken(store_seconds(job, stores, spread), job.slots) for job in jobs)


def limited_floor_seconds(jobs: Sequence[Job], stores: int, limit: int, lanes: int) -> float:
    """Seconds if nothing but the sandbox and its limit took time.

    An endpoint takes ``limit`` calls at once, as many a minute later, and so on; the last minute's
    calls also need the pool's slots.

    Args:
        jobs: Run side by side.
        stores: How many.
        limit: Calls a minute for each endpoint.
        lanes: Endpoints that share the calls of the video sync, both at once.
    """
    found = []
    for job in jobs:
        calls = stores * job.calls / (lanes if job.name == VIDEO.name else 1)
        call_s = DEFAULT_LATENCY[job.endpoint] / job.slots
        minutes = max(0, math.ceil(calls / limit) - 1)
        found += [minutes * 60 + (calls - minutes * limit) * call_s, calls * call_s]
    return max(found)


def barrier_floor_seconds(jobs: Sequence[Job], stores: int, spread: float) -> float:
    """The same for batches: the next one begins when the slowest store of this one is done."""
    found = []
    for job in jobs:
        seconds = store_seconds(job, stores, spread)
        batches = [seconds[at : at + job.slots] for at in range(0, stores, job.slots)]
        found.append(sum(map(max, batches)))
    return max(found)


def _taken(seconds: Sequence[float], slots: int) -> float:
    ends = [0.0] * slots
    for store in seconds:
        heapq.heapreplace(ends, ends[0] + store)
    return max(ends)
