"""How many calls does a night cost, per endpoint and store, and which of them bring nothing?

``python -m benchmarks.calls`` syncs the sandbox's mixed stores (0 to 450 videos) for three nights,
without Airflow and with answers at once: in the first all is new. Before the third, some stores
post videos, some lose some, and some show an old one again. The third night is counted, from the
local TikTok's log. ``--limit 600`` makes the stores queue for the endpoints, as on a real night.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import psycopg
import structlog
import typer
from cryptography.fernet import Fernet

from benchmarks.contenders.plain_sync import PlainSync
from benchmarks.statements import seeded_database
from benchmarks.workload import USER, VIDEO, Job
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.tiktok.client import PAGE_SIZE
from tests.postgres_server import running_postgres
from tests.sandbox_server import SandboxServer, running_sandbox

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

EMPTY, UNCHANGED = "no videos", "unchanged"
NEW, REMOVED, BACK = "1 to 3 new videos", "2 videos removed", "an old video public again"
_TURNS = (NEW, REMOVED, BACK, UNCHANGED, UNCHANGED)
"""What happens to the stores that have videos, in turn."""

_ENDPOINTS = ("user_info", "video_list", "video_query")


@dataclass
class Cost:
    """What stores of one kind cost in one night.

    Attributes:
        stores: How many there are.
        videos: Their public videos.
        floor: Calls if each video were shown once, and each page were full.
        calls: By endpoint.
        shown: Videos in all answers of both video endpoints.
        empty: Calls of the video endpoints that showed nothing.
    """

    stores: int = 0
    videos: int = 0
    floor: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    shown: int = 0
    empty: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.stores + other.stores,
            self.videos + other.videos,
            self.floor + other.floor,
            self.calls + other.calls,
            self.shown + other.shown,
            self.empty + other.empty,
        )

    @property
    def read(self) -> int:
        """Calls of both video endpoints."""
        return self.calls["video_list"] + self.calls["video_query"]


@app.command()
def main(
    *,
    stores: Annotated[int, typer.Option(min=1, help="Stores of the sandbox's mixed world.")] = 300,
    limit: Annotated[
        int, typer.Option(min=0, help="Calls a minute and endpoint in the third night; 0 = any.")
    ] = 0,
    profiles: Annotated[
        bool, typer.Option(help="Sync the profiles first; without, no count of videos is known.")
    ] = True,
) -> None:
    """Print what the third night cost, as a table in Markdown."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with _running(stores) as (sandbox, settings):
        _sync(settings, (USER, VIDEO))
        kinds = _kinds(sandbox)
        hidden = {
            code: _edit(sandbox, code, privatize=_picked(sandbox, code, 1))
            for code, kind in kinds.items()
            if kind == BACK
        }
        _sync(settings, (USER, VIDEO))
        for code, kind in kinds.items():
            _change(sandbox, code, kind, hidden)
        if not profiles:
            with psycopg.connect(settings.required("store_db_url"), autocommit=True) as conn:
                conn.execute("DELETE FROM user_daily_stats")
        sandbox.admin("PATCH", "/settings", json={"rate_limit_per_minute": limit})
        sandbox.admin("DELETE", "/requests")
        begun = time.monotonic()
        counted = settings.model_copy(update={"rate_limit_per_minute": limit})
        run_id = _sync(counted, (USER, VIDEO) if profiles else (VIDEO,))
        seconds = time.monotonic() - begun
        typer.echo(_table(sandbox, kinds))
        typer.echo(_summary(sandbox, settings, run_id, seconds))


@contextmanager
def _running(stores: int) -> Iterator[tuple[SandboxServer, Settings]]:
    with (
        tempfile.TemporaryDirectory(prefix="calls-", ignore_cleanup_errors=True) as name,
        running_sandbox(stores=stores, rate_limit_per_minute=0) as sandbox,
        running_postgres(Path(name), "fsync=off") as server,
    ):
        environment = {
            "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(),
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "0",
            "TIKTOK_API_URL": sandbox.url,
            "TIKTOK_CLIENT_KEY": sandbox.client_key,
            "TIKTOK_CLIENT_SECRET": sandbox.client_secret,
        }
        url = seeded_database(server, sandbox, Settings.from_env(environment))
        yield sandbox, Settings.from_env(environment | {"STORE_DB_URL": url})


def _sync(settings: Settings, jobs: Sequence[Job]) -> str:
    """One night: every store in one job after the other; returns the run's id."""
    night = PlainSync(settings)
    for job in jobs:
        with ThreadPoolExecutor(job.slots) as pool:
            list(pool.map(partial(night.do, job), night.codes))
    return night.run_id


def _kinds(sandbox: SandboxServer) -> dict[str, str]:
    counts = {row["store_code"]: row["video_count"] for row in sandbox.admin("GET", "/stores")}
    filled = [code for code, count in counts.items() if count >= len(_TURNS)]
    turns = {code: _TURNS[number % len(_TURNS)] for number, code in enumerate(filled)}
    return {code: turns.get(code, UNCHANGED if counts[code] else EMPTY) for code in counts}


def _edit(sandbox: SandboxServer, code: str, **body: Any) -> list[str]:
    """Change a store's videos; returns the ids that were named."""
    sandbox.admin("POST", f"/stores/{code}/videos", json=body)
    return [name for names in body.values() if isinstance(names, list) for name in names]


def _picked(sandbox: SandboxServer, code: str, number: int) -> list[str]:
    """Ids of some videos, from new to old."""
    told = sandbox.admin("GET", "/truth", params={"store_code": code})[code]["videos"]
    return [video["id"] for video in told[1 :: max(1, len(told) // number)]][:number]


def _change(sandbox: SandboxServer, code: str, kind: str, hidden: Mapping[str, list[str]]) -> None:
    if kind == NEW:
        _edit(sandbox, code, publish=1 + int(code[1:]) % 3)
    elif kind == REMOVED:
        _edit(sandbox, code, delete=_picked(sandbox, code, 2))
    elif kind == BACK:
        _edit(sandbox, code, republish=hidden[code])


def _table(sandbox: SandboxServer, kinds: Mapping[str, str]) -> str:
    costs = {kind: Cost() for kind in (EMPTY, UNCHANGED, NEW, REMOVED, BACK)}
    for row in sandbox.admin("GET", "/stores"):
        count = row["video_count"]
        pages = max(1, math.ceil(count / PAGE_SIZE))
        costs[kinds[row["store_code"]]] += Cost(1, count, pages)
    for entry in sandbox.admin("GET", "/requests"):
        if entry["endpoint"] not in _ENDPOINTS:
            continue
        shown = entry["shown"]
        costs[kinds[entry["store_code"]]] += Cost(
            calls=Counter({entry["endpoint"]: 1}), shown=shown or 0, empty=shown == 0
        )
    head = ("stores", "", "videos", *(f"`{name.replace('_', '/')}`" for name in _ENDPOINTS))
    head += ("at least", "more", "showed nothing", "videos shown again")
    lines = [f"| {' | '.join(head)} |", "| --- | " + " | ".join(["---:"] * (len(head) - 1)) + " |"]
    for name, cost in [*costs.items(), ("all", sum(costs.values(), Cost()))]:
        cells = [cost.stores, cost.videos, *(cost.calls[one] for one in _ENDPOINTS), cost.floor]
        cells += [cost.read - cost.floor, cost.empty, cost.shown - cost.videos]
        lines.append(f"| {name} | " + " | ".join(f"{number:,}" for number in cells) + " |")
    return "\n".join(lines)


_WHY = """
SELECT coalesce(details ->> 'why_to_end', '(not listed to the end)'), count(*) FROM sync_logs
WHERE run_id = %s AND job_name = %s AND store_code IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1
"""
_FAILED = "SELECT count(*) FROM sync_logs WHERE run_id = %s AND status <> 'success'"


def _summary(sandbox: SandboxServer, settings: Settings, run_id: str, seconds: float) -> str:
    with psycopg.connect(settings.required("store_db_url")) as conn:
        why = conn.execute(_WHY, [run_id, VIDEO.dag_id]).fetchall()
        failed = conn.execute(_FAILED, [run_id]).fetchone()
    stats = sandbox.admin("GET", "/stats")["endpoints"]
    refused = sum(stats[name]["by_code"].get("rate_limit_exceeded", 0) for name in _ENDPOINTS)
    reasons = ", ".join(f"{name} {count}" for name, count in why)
    return (
        f"\n{seconds:.0f} s; {failed[0] if failed else '?'} stores failed; {refused} calls refused"
        f" (429). Listed to the end because of: {reasons}."
    )


if __name__ == "__main__":
    app()
