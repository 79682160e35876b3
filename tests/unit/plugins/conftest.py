"""Connections from the environment, and a TikTok to talk to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from tests.sandbox_server import SandboxServer, running_sandbox


class Connect(Protocol):
    """Describes a connection in the environment, as deployments do."""

    def __call__(self, conn_id: str, value: str | None = None, **fields: Any) -> None:
        """Set ``AIRFLOW_CONN_…`` to a URI, or to the JSON of ``fields``."""


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    def set_connection(conn_id: str, value: str | None = None, **fields: Any) -> None:
        text = json.dumps(fields) if value is None else value
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)

    return set_connection


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxServer]:
    """A TikTok that knows one app."""
    with running_sandbox(rate_limit_per_minute=0) as server:
        yield server
