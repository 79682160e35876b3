"""Databases for tests, copied from a template while the test before still runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
from psycopg import sql

from include.tiktok_sync.store_db.database import Connection
from tests.postgres_server import PostgresServer


class Copies:
    """Copies of templates: the next one is made ahead, a used one is dropped in the background.

    A copy and its drop take 60 ms in memory, 200 ms or more on disk. Nothing may connect
    to a template or change it.

    Args:
        conn: As superuser, to another database; used by ``worker`` only, so that nothing that a
            test replaces in its own thread or environment matters here.
        worker: One thread.
    """

    def __init__(self, conn: Connection, worker: ThreadPoolExecutor) -> None:
        self._conn = conn
        self._worker = worker
        self._ahead: dict[str, Future[str]] = {}
        self._drops: list[Future[None]] = []

    def take(self, template: str) -> str:
        """Gives a fresh copy's name."""
        ready = self._ahead.pop(template, None) or self._worker.submit(self._make, template)
        name = ready.result()
        self._ahead[template] = self._worker.submit(self._make, template)
        return name

    def drop(self, name: str) -> None:
        """Drop a copy soon, even if somebody is still connected to it."""
        self._drops.append(self._worker.submit(self._drop, name))

    def check(self) -> None:
        """Whether every copy could be dropped.

        Raises:
            psycopg.Error: One could not.
        """
        for done in self._drops:
            done.result()

    def _make(self, template: str) -> str:
        name = f"test_{secrets.token_hex(6)}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def _drop(self, name: str) -> None:
        self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def _execute(self, statement: str, *names: str) -> None:
        self._conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def copies_of(server: PostgresServer) -> Iterator[Copies]:
    """Copies on a server, for the length of a ``with`` block."""
    with (
        psycopg.connect(server.url(), autocommit=True) as conn,
        ThreadPoolExecutor(1, "copies") as worker,
    ):
        copies = Copies(conn, worker)
        yield copies
        copies.check()
