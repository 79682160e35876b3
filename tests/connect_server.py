"""The connect app on a free loopback port, with a database role of its own, for tests."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg
import requests
from psycopg import sql

from include.connect.server import make_server
from include.connect.settings import ConnectSettings
from include.local.ports import HOST
from include.sandbox.settings import AUTHORIZE_PATH
from include.tiktok_sync.links.connect_links import LinkMaker
from include.tiktok_sync.store_db.connect_role import ensure_connect_role
from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import Bench
from tests.threaded_server import ThreadedServer

RETAILER = "Nordlicht"


@dataclass
class ConnectServer:
    """One connect app on a bench's database and sandbox.

    Attributes:
        bench: Database and sandbox.
        settings: Of the app.
    """

    bench: Bench
    settings: ConnectSettings
    http: requests.Session = field(default_factory=requests.Session)

    @property
    def url(self) -> str:
        return self.settings.base_url

    def link(self, code: str, **changes: Any) -> str:
        """The address of a fresh link."""
        maker = LinkMaker(self.settings.secret, self.url, "test")
        return maker.make(self.bench.conn, code, **changes).url

    def as_role(self) -> contextlib.AbstractContextManager[Connection]:
        """A connection with the app's own login."""
        return psycopg.connect(self.settings.db_url, autocommit=True)


@contextlib.contextmanager
def connect_role(bench: Bench) -> Iterator[str]:
    """The libpq URL of a role like the app's, dropped afterwards: roles are the whole server's."""
    role, password = f"connect_{secrets.token_hex(4)}", secrets.token_hex(8)
    ensure_connect_role(bench.conn, role=role, password=password)
    info = bench.conn.info
    try:
        yield f"postgresql://{role}:{password}@{HOST}:{info.port}/{info.dbname}"
    finally:
        name = sql.Identifier(role)
        bench.conn.execute(sql.SQL("DROP OWNED BY {}").format(name))
        bench.conn.execute(sql.SQL("DROP ROLE {}").format(name))


def connect_env(bench: Bench, db_url: str, port: int) -> dict[str, str]:
    """The environment of a bench's app."""
    return {
        "CONNECT_BASE_URL": f"http://{HOST}:{port}",
        "CONNECT_PORT": str(port),
        "CONNECT_DB_URL": db_url,
        "CONNECT_SECRET": secrets.token_urlsafe(32),
        "CONNECT_RETAILER_NAME": RETAILER,
        "CONNECT_CONTACT": "social@nordlicht.example",
        "CONNECT_AUTHORIZE_URL": bench.sandbox.url + AUTHORIZE_PATH,
        "TIKTOK_API_URL": bench.sandbox.url,
        "TIKTOK_CLIENT_KEY": bench.sandbox.client_key,
        "TIKTOK_CLIENT_SECRET": bench.sandbox.client_secret,
        "TIKTOK_TOKEN_KEYS": bench.settings.token_keys[0],
    }


@contextlib.contextmanager
def running_connect(bench: Bench, **env: str) -> Iterator[ConnectServer]:
    """The app in a thread of this process.

    Args:
        bench: Database and sandbox.
        **env: Variables on top.
    """
    with connect_role(bench) as db_url, socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(100)
        port = listener.getsockname()[1]
        settings = ConnectSettings.from_env({**connect_env(bench, db_url, port), **env})
        server = ThreadedServer(make_server(settings).config, listener)
        server.start()
        app = ConnectServer(bench, settings)
        try:
            yield app
        finally:
            app.http.close()
            server.stop()


@dataclass
class Browser:
    """A manager's browser, as far as HTTP goes."""

    app: ConnectServer
    http: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, **params: str) -> requests.Response:
        url = path if path.startswith("http") else self.app.url + path
        return self.http.get(url, params=params, timeout=30, allow_redirects=False)

    def send(self, url: str, **form: str) -> requests.Response:
        return self.http.post(url, data=form, timeout=30, allow_redirects=False)

    def leave(self, link: str) -> dict[str, str]:
        """Off to TikTok; the query that the browser is sent there with."""
        page = self.get(link)
        assert page.status_code == 200, page.text
        response = self.send(link, form_token=form_token(page))
        assert response.status_code == 303, response.text
        return dict(parse_qsl(urlsplit(response.headers["Location"]).query))

    def consent(self, query: dict[str, str], account: str = "S021", **form: Any) -> dict[str, str]:
        """Consent at the sandbox; the query that the browser comes back with."""
        data = {**query, "account": account, "decision": "allow", **form}
        data.setdefault("grant", query["scope"].split(","))
        url = f"{self.app.bench.sandbox.url}/v2/auth/authorize/"
        response = requests.post(url, data=data, timeout=30, allow_redirects=False)
        return dict(parse_qsl(urlsplit(response.headers["Location"]).query))


def form_token(page: requests.Response) -> str:
    return page.text.partition('name="form_token" value="')[2].partition('"')[0]
