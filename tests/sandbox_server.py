"""The sandbox on a free loopback port, for any test that needs a TikTok over real HTTP."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import requests

from include.sandbox.app import build_app
from include.sandbox.business_settings import BusinessSettings
from include.sandbox.server import listen, make_server, url_of
from include.sandbox.settings import SandboxSettings
from tests.threaded_server import ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from include.sandbox.faults.switch import FaultSwitch
    from include.sandbox.state import SandboxState

_PATIENCE_SECONDS = 60.0
_DEFAULTS: dict[str, Any] = {
    "client_key": "sandbox-client-key",
    "client_secret": "sandbox-client-secret",
    "port": 0,
    "stores": 20,
    "latency": 0.0,
}

#: The second API's app, for `running_sandbox(business=…)`.
BUSINESS_APP: dict[str, Any] = {
    "app_id": "7300000000000000017",
    "secret": "sandbox-business-secret",
}


class SandboxServer:
    """One sandbox in a thread of this process.

    Args:
        business: Fields of `BusinessSettings`, with which the second API is served.
        **overrides: `SandboxSettings` fields; by default 20 stores, no latency, a free port.

    Attributes:
        url: Base URL, once it runs.
        sandbox: The state behind it, once it runs.
        faults: Its fault plan, once it runs; a test may put one of its own in force.
    """

    sandbox: SandboxState
    faults: FaultSwitch

    def __init__(self, *, business: Mapping[str, Any] | None = None, **overrides: Any) -> None:
        second = None if business is None else BusinessSettings(**{**BUSINESS_APP, **business})
        self.settings = SandboxSettings(**{**_DEFAULTS, "business": second, **overrides})
        self.client_key = self.settings.client_key
        self.client_secret = self.settings.client_secret
        self.url = ""
        self._server: ThreadedServer | None = None
        self._http = requests.Session()

    def start(self) -> None:
        """Serves; returns once calls are answered."""
        listener = listen(self.settings)
        try:
            app = build_app(self.settings)
        except BaseException:
            listener.close()
            raise
        self.sandbox, self.faults = app.state.sandbox, app.state.faults
        self._server, self.url = ThreadedServer(make_server(app).config, listener), url_of(listener)
        self._server.start()

    def stop(self) -> None:
        """Stops serving and closes the state file; does nothing if it does not run."""
        self._http.close()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def admin(self, method: str, path: str, **kwargs: Any) -> Any:
        """Calls `/admin` and decodes the answer.

        Args:
            method: HTTP method.
            path: Path below `/admin`, such as `/stats`.
            **kwargs: For `requests`.

        Returns:
            The JSON value, or the text of anything else, None for an empty answer.

        Raises:
            requests.HTTPError: The sandbox refused.
        """
        response = self._http.request(method, f"{self.url}/admin{path}", timeout=60, **kwargs)
        response.raise_for_status()
        if response.headers.get("content-type", "").startswith("application/json"):
            return response.json()
        return response.text or None

    def row(self, code: str) -> dict[str, str]:
        """A store's line of `/admin/stores.csv`: column -> text, the newest tokens among them."""
        text = self.admin("GET", "/stores.csv", params={"codes": code})
        return next(csv.DictReader(io.StringIO(text)))

    def user_info(self, token: str, fields: str | None = "open_id") -> requests.Response:
        """Calls `GET /v2/user/info/` with an access token."""
        return self._display("GET", "/v2/user/info/", token, fields)

    def video_list(
        self, token: str, fields: str | None = "id,create_time", **body: Any
    ) -> requests.Response:
        """Calls `POST /v2/video/list/` with an access token and a JSON body."""
        return self._display("POST", "/v2/video/list/", token, fields, json=body)

    def video_query(
        self, token: str, ids: Any, fields: str | None = "id,create_time"
    ) -> requests.Response:
        """Calls `POST /v2/video/query/` with an access token and `filters.video_ids`."""
        body = {"filters": {"video_ids": ids}}
        return self._display("POST", "/v2/video/query/", token, fields, json=body)

    def oauth(self, grant_type: str, **form: str) -> requests.Response:
        """Calls `POST /v2/oauth/token/` with the client's credentials and more form fields."""
        data = {
            "client_key": self.client_key,
            "client_secret": self.client_secret,
            "grant_type": grant_type,
            **form,
        }
        return requests.post(f"{self.url}/v2/oauth/token/", data=data, timeout=60)

    def refresh(self, refresh_token: str) -> requests.Response:
        """Refreshes."""
        return self.oauth("refresh_token", refresh_token=refresh_token)

    def revoke(self, access_token: str) -> requests.Response:
        """Calls `POST /v2/oauth/revoke/`."""
        data = {
            "client_key": self.client_key,
            "client_secret": self.client_secret,
            "token": access_token,
        }
        return requests.post(f"{self.url}/v2/oauth/revoke/", data=data, timeout=60)

    def business(
        self, path: str, code: str = "S001", *, token: str | None = None, **query: Any
    ) -> requests.Response:
        """Calls `GET /open_api/v1.3/business/…` for a store, with its newest token.

        Args:
            path: Such as `get/`.
            code: The store.
            token: Access token to send instead.
            **query: Parameters; lists and objects are sent as JSON.
        """
        row = self.row(code)
        sent = {"business_id": row["business_open_id"], **query}
        params = {
            name: json.dumps(value) if isinstance(value, (list, dict)) else str(value)
            for name, value in sent.items()
            if value is not None
        }
        return requests.get(
            f"{self.url}/open_api/v1.3/business/{path}",
            params=params,
            headers={"Access-Token": row["business_access_token"] if token is None else token},
            timeout=60,
        )

    def business_oauth(self, path: str, **body: str) -> dict[str, Any]:
        """Calls `POST /open_api/v1.3/tt_user/…` with the app's id and secret, and a JSON body."""
        sent = {
            "client_id": BUSINESS_APP["app_id"],
            "client_secret": BUSINESS_APP["secret"],
            "app_id": BUSINESS_APP["app_id"],
            **body,
        }
        url = f"{self.url}/open_api/v1.3/tt_user/{path}"
        answer: dict[str, Any] = requests.post(url, json=sent, timeout=60).json()
        return answer

    def _display(
        self, method: str, path: str, token: str, fields: str | None, **kwargs: Any
    ) -> requests.Response:
        return requests.request(
            method,
            self.url + path,
            params={} if fields is None else {"fields": fields},
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
            **kwargs,
        )


@contextlib.contextmanager
def running_sandbox(**overrides: Any) -> Iterator[SandboxServer]:
    """A `SandboxServer` for the length of a `with` block.

    Args:
        **overrides: As `SandboxServer` takes them.
    """
    server = SandboxServer(**overrides)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def asked(
    url: str, method: str = "GET", *, token: str = "", form: Mapping[str, str] | None = None
) -> Iterator[HTTPConnection]:
    """A call that is on its way; its answer is for who wants it.

    Args:
        url: Of the call, with its query.
        method: HTTP method.
        token: Access token; none if empty.
        form: Fields to send.
    """
    parts = urlsplit(url)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection = HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request(
            method, f"{parts.path}?{parts.query}", urlencode(form) if form else None, headers
        )
        yield connection
    finally:
        connection.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come; how long it takes is up to the machine."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
