"""Asking Airflow in the user's own name: its public REST API, inside the same process.

So the user's permissions hold, the audit log names the user, and a run is checked as any other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
from airflow.api_fastapi.app import API_ROOT_PATH, cached_app
from fastapi import Request

_API = f"{API_ROOT_PATH.rstrip('/')}/api/v2"
_PASSED_ON = ("authorization", "cookie", "referer")


class AirflowRefusedError(Exception):
    """Airflow did not do what was asked; ``status`` is its HTTP status, the message its reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class AirflowRest:
    """``/api/v2`` as the user who sent a request.

    Args:
        request: Its login is passed on.
    """

    def __init__(self, request: Request) -> None:
        headers = request.headers
        self._headers = {name: headers[name] for name in _PASSED_ON if name in headers}
        self._base_url = f"{request.url.scheme}://{request.url.netloc}"

    async def get(self, path: str, **params: Any) -> Any:
        """Read.

        Raises:
            AirflowRefusedError: Airflow refused, or failed.
        """
        return await self._ask("GET", path, params=params)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change.

        Raises:
            AirflowRefusedError: Airflow refused, or failed.
        """
        return await self._ask("POST", path, json=body)

    async def _ask(self, method: str, path: str, **what: Any) -> Any:
        async with _client(self._base_url) as client:
            answer = await client.request(method, _API + path, headers=self._headers, **what)
        if answer.is_success:
            return answer.json()
        raise AirflowRefusedError(answer.status_code, _reason(answer))


async def ask_for_health() -> None:
    """Ask what needs no login, so that Airflow sets up what its first answer takes.

    Raises:
        AirflowRefusedError: Airflow failed.
    """
    async with _client("http://localhost") as client:
        answer = await client.get(f"{_API}/monitor/health")
    if not answer.is_success:
        raise AirflowRefusedError(answer.status_code, _reason(answer))


def in_path(name: str) -> str:
    """A Dag id or run id as part of a path."""
    return quote(name, safe="")


def _client(base_url: str) -> httpx.AsyncClient:
    # The app that this process serves: the same arguments as airflow.api_fastapi.main.
    app = cached_app(apps=os.environ.get("AIRFLOW_API_APPS", "all"))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=base_url)


def _reason(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = answer.reason_phrase
    return f"Airflow answered {answer.status_code}: {str(detail)[:300]}"
