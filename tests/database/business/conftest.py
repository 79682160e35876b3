"""The product with both APIs, on one database and one sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.app import BusinessApp
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import Bench
from tests.sandbox_server import BUSINESS_APP, SandboxServer, running_sandbox

CODES = [f"S{number:03}" for number in range(1, 21)]


@dataclass(frozen=True)
class BusinessBench(Bench):
    """A bench whose settings name the Accounts API app too."""

    @property
    def business(self) -> BusinessApp:
        return BusinessApp.from_settings(self.settings)

    def business_truth(self, code: str) -> dict[str, Any]:
        told = self.sandbox.admin("GET", "/business/truth", params={"store_code": code})
        found: dict[str, Any] = told[code]
        return found

    def business_grant(self, code: str, **changes: Any) -> None:
        """Change a store's grant at the second API."""
        path = f"/stores/{code}/grant?api=business"
        self.sandbox.admin("POST", path, json=changes)

    def status_of(self, code: str) -> str:
        found = self.row("SELECT status FROM business_tokens WHERE store_code = %s", code)
        return str(found["status"])


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A sandbox of 20 stores with both APIs, without limits."""
    with running_sandbox(rate_limit_per_minute=0, business={}) as server:
        yield server


@pytest.fixture
def bench(db_url: str, conn: Connection, sandbox: SandboxServer) -> BusinessBench:
    """All stores imported, with both grants."""
    settings = Settings.from_env(
        {
            "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(),
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "0",
            "TIKTOK_API_URL": sandbox.url,
            "TIKTOK_CLIENT_KEY": sandbox.client_key,
            "TIKTOK_CLIENT_SECRET": sandbox.client_secret,
            "TIKTOK_BUSINESS_URL": sandbox.url,
            "TIKTOK_BUSINESS_APP_ID": BUSINESS_APP["app_id"],
            "TIKTOK_BUSINESS_SECRET": BUSINESS_APP["secret"],
            "STORE_DB_URL": db_url,
        }
    )
    made = BusinessBench(db_url, conn, sandbox, settings)
    made.import_stores()
    return made
