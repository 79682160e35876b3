"""The product on a real database and a TikTok over real HTTP: what a database test works with."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import dict_row
from typing_extensions import Self

from include.tiktok_sync.app import BusinessApp, TikTokApp
from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import INSIGHTS_JOB, VIDEO_JOB, StoreRun
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.importing.load import import_stores
from include.tiktok_sync.sync.insights.repository import InsightsRepository
from include.tiktok_sync.sync.repository import DryRunRepository, StoreRepository
from include.tiktok_sync.sync.store_job import StoreOutcome
from include.tiktok_sync.sync.store_run import run_store
from include.tiktok_sync.tiktok.client import TikTokClient
from include.tiktok_sync.tiktok.time_left import TimeLeft
from include.tiktok_sync.tokens.vault import TokenVault
from tests.sandbox_server import SandboxServer

T = TypeVar("T")

UTC = timezone.utc
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = SnapshotDay(NOON.date(), ZoneInfo("UTC"))
LATER = NOON + timedelta(hours=1)
NEXT_DAY = NOON + timedelta(days=1)


def run_of(code: str, day: SnapshotDay = DAY, *, run_id: str = "run-1") -> StoreRun:
    """A store's part of a video run."""
    return StoreRun(VIDEO_JOB, run_id, code, day, stores_in_run=1)


def today() -> SnapshotDay:
    return SnapshotDay.of(datetime.now(UTC), ZoneInfo("UTC"))


def rows(conn: Connection, query: str, *values: Any) -> list[dict[str, Any]]:
    """All rows of a query, by column name."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), values).fetchall()


def row(conn: Connection, query: str, *values: Any) -> dict[str, Any]:
    """The only row of a query."""
    found = rows(conn, query, *values)
    assert len(found) == 1, found
    return found[0]


def insert_grants(conn: Connection, *codes: str) -> None:
    """Give stores a grant of long ago; its tokens are no ciphertext, so nothing can use it."""
    for code in codes:
        conn.execute(
            "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
            " created_at) VALUES (%s, %s, 's', '', '', '2025-01-01')",
            [code, f"o-{code}"],
        )


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """Run `work(0)` … `work(count - 1)` in threads that set off at the same moment."""
    gate = threading.Barrier(count)

    def one(number: int) -> T:
        gate.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@dataclass(frozen=True)
class Bench:
    """The product's parts, pointed at one database and one sandbox."""

    db_url: str
    conn: Connection
    sandbox: SandboxServer
    settings: Settings

    @property
    def vault(self) -> TokenVault:
        return TokenVault(self.settings.token_keys)

    @property
    def app(self) -> TikTokApp:
        return TikTokApp(self.sandbox.url, self.sandbox.client_key, self.sandbox.client_secret)

    def with_settings(self, **changes: Any) -> Self:
        return replace(self, settings=self.settings.model_copy(update=changes))

    def import_stores(self, *codes: str) -> None:
        """Bring stores in as the sandbox exports them; all when none is named."""
        params = {"codes": ",".join(codes)} if codes else {}
        text = self.sandbox.admin("GET", "/stores.csv", params=params)
        report = import_stores(io.StringIO(text, newline=""), self.conn, self.vault)
        assert report.problems == []

    @contextlib.contextmanager
    def client(
        self, code: str, *, app: TikTokApp | None = None, own_connection: bool = False
    ) -> Iterator[TikTokClient]:
        """A store's client, made as the product makes it."""
        app = app or self.app
        with contextlib.ExitStack() as stack:
            conn = self.conn
            if own_connection:
                conn = stack.enter_context(psycopg.connect(self.db_url, autocommit=True))
            http = stack.enter_context(app.transport())
            yield app.client(code, http=http, conn=conn, settings=self.settings)

    def sync(
        self,
        job: str,
        code: str,
        *,
        run_id: str = "run-1",
        day: SnapshotDay | None = None,
        dry_run: bool = False,
        app: TikTokApp | BusinessApp | None = None,
        time_left: TimeLeft | None = None,
    ) -> StoreOutcome:
        """One store through `run_store`, on this bench's connection."""
        app = app or self.app
        day = day or today()
        repository = DryRunRepository(self.conn) if dry_run else StoreRepository(self.conn)
        if job == INSIGHTS_JOB:
            InsightsRepository(repository).ensure_partitions(day.date)
        else:
            repository.ensure_partitions(day.date)
        run = StoreRun(job, run_id, code, day, stores_in_run=1)
        with app.transport() as http:
            return run_store(
                run,
                open_client=lambda: app.client(
                    code,
                    http=http,
                    conn=self.conn,
                    settings=self.settings,
                    time_left=time_left,
                ),
                repository=repository,
            )

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return rows(self.conn, query, *values)

    def row(self, query: str, *values: Any) -> dict[str, Any]:
        return row(self.conn, query, *values)

    def log_row(self, code: str) -> dict[str, Any]:
        """A store's only row of `sync_logs`."""
        return self.row("SELECT * FROM sync_logs WHERE store_code = %s", code)

    def insert_video(self, code: str, video_id: str) -> None:
        """A video that was seen yesterday."""
        self.conn.execute(
            "INSERT INTO videos (video_id, store_code, first_seen_at, last_seen_at)"
            " VALUES (%s, %s, now() - interval '1 day', now() - interval '1 day')",
            [video_id, code],
        )

    def code_with_videos(self, at_least: int = 1) -> str:
        """The first store with at least that number of videos, and at most 200."""
        stores = self.sandbox.admin("GET", "/stores")
        return str(next(s["store_code"] for s in stores if at_least <= s["video_count"] <= 200))

    def truth(self, code: str) -> dict[str, Any]:
        """What the sandbox says about one store now."""
        told = self.sandbox.admin("GET", "/truth", params={"store_code": code})
        found: dict[str, Any] = told[code]
        return found

    def grant(self, code: str, **changes: Any) -> None:
        """Change a store's grant at the sandbox."""
        self.sandbox.admin("POST", f"/stores/{code}/grant", json=changes)

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = self.sandbox.admin("GET", "/stats")
        return found

    def calls(self) -> dict[str, int]:
        """Calls that the sandbox saw, by endpoint; endpoints without one are left out."""
        endpoints = self.stats()["endpoints"]
        return {name: figures["calls"] for name, figures in endpoints.items() if figures["calls"]}

    def dump(self, tables: Sequence[str] | None = None) -> dict[str, str]:
        """Every row of some tables (all by default) as text, ciphertext decoded to characters."""
        names = tables or [
            found["relname"]
            for found in self.rows(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname"
            )
        ]
        self.conn.execute("SET bytea_output = 'escape'")
        return {
            name: "\n".join(
                found["line"]
                for found in self.rows(f"SELECT t::text AS line FROM {name} t")  # noqa: S608 - names of our own tables
            )
            for name in names
        }
