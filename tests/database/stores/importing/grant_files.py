"""Stores with made-up tokens, loaded from an import file."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.csv_cells import csv_lines
from include.tiktok_sync.stores.importing.load import COLUMNS, ImportReport, import_stores
from include.tiktok_sync.tokens.vault import TokenVault
from tests.database.bench import UTC, row, rows

SCOPE = "user.info.basic user.info.profile user.info.stats video.list"
KEY = Fernet.generate_key().decode()
VAULT = TokenVault((KEY,))
GIVEN = datetime(2026, 10, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def cells(
    code: str, *, given: datetime = GIVEN, consent: datetime = GIVEN, **changes: str
) -> dict[str, str]:
    """A line with tokens given then, on a consent of then."""
    return {
        "store_code": code,
        "store_name": f"Shop {code}",
        "region": "DE",
        "open_id": f"-000{code}",
        "access_token": f"act.{code}.{given:%m%d%H%M}",
        "access_expires_at": (given + DAY).isoformat(),
        "refresh_token": f"rft.{code}.{given:%m%d%H%M}",
        "refresh_expires_at": (consent + 365 * DAY).isoformat(),
        "scope": SCOPE,
        **changes,
    }


def load(conn: Connection, *lines: dict[str, str], replace_tokens: bool = False) -> ImportReport:
    text = "".join(csv_lines(COLUMNS, [tuple(line.values()) for line in lines]))
    source = io.StringIO(text, newline="")
    return import_stores(source, conn, VAULT, replace_tokens=replace_tokens)


def reasons(report: ImportReport) -> list[tuple[int, str]]:
    return [(problem.line, problem.reason) for problem in report.problems]


def token(conn: Connection, code: str) -> str:
    found = row(conn, "SELECT * FROM store_tokens WHERE store_code = %s", code)
    return VAULT.decrypt(found["refresh_token"], store_code=code, kind="refresh")


def waiting(conn: Connection) -> list[dict[str, Any]]:
    return rows(
        conn,
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'",
    )


def wait_for(said: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if said():
            return
        pause.wait(0.02)
    pytest.fail("it never came to wait")
