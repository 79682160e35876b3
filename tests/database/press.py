"""Who presses the status page's buttons without a window, and what is recorded of it?"""

from __future__ import annotations

import re
import secrets
from typing import Any

import requests

from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import rows
from tiktok_airflow.status_page.rendering.look import HEADERS

SECRET = secrets.token_urlsafe(32)
BASE = "https://connect.example.com"
LINK = re.compile(rf"{BASE}/c/[\w.-]+")
OWN = {"Sec-Fetch-Site": "same-origin"}


class Press:
    """A browser without a window: gets the page of a form, then sends it."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.http = requests.Session()
        page = self.http.get(f"{site}new-stores", timeout=60)
        self.token = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]

    def __call__(self, path: str, **form: str) -> requests.Response:
        return self._send(path, data={"csrf_token": self.token, **form})

    def file(self, content: bytes, **form: str) -> requests.Response:
        data = {"csrf_token": self.token, **form}
        return self._send("import-stores", data=data, files={"csv_file": ("s.csv", content)})

    def _send(self, path: str, **what: Any) -> requests.Response:
        answer = self.http.request("POST", self.site + path, headers=OWN, timeout=60, **what)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        return answer


def links_of(answer: requests.Response) -> list[str]:
    return sorted(set(LINK.findall(answer.text)))


def audit(conn: Connection, code: str) -> list[tuple[str, str]]:
    found = rows(conn, f"SELECT action, actor FROM store_audit WHERE store_code = '{code}'")  # noqa: S608 - a constant
    return [(one["action"], one["actor"]) for one in found]
