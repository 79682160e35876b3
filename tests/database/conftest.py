"""A real Postgres for the whole session, and a fresh migrated database for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.schema import upgrade
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.alert_receiver import Receiver, alert_receiver
from tests.database.bench import Bench
from tests.database.press import BASE, SECRET, Press
from tests.database.rows.token_pairs import TOKEN_LIVES
from tests.database.servers.copies import Copies, copies_of
from tests.database.servers.metadata import migrated
from tests.database.task_bodies import connections, set_airflow_env
from tests.postgres_server import PostgresServer, scratch_postgres
from tests.sandbox_server import SandboxServer, running_sandbox
from tests.status_site import ADMIN, served, status_site
from tiktok_airflow.status_page.access import Viewer

_TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The embedded Postgres in a folder of its own."""
    with scratch_postgres("log_connections=on") as server:  # read by statement_log
        yield server


@pytest.fixture
def new_server() -> Iterator[PostgresServer]:
    """Where the backup is restored: an empty server, as after a loss."""
    with scratch_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def _template(postgres: PostgresServer) -> str:
    postgres.run("CREATE DATABASE {}", _TEMPLATE)
    upgrade(postgres.url(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="session")
def metadata_template(postgres: PostgresServer) -> str:
    """A migrated database of Airflow's, to be copied."""
    return migrated(postgres, "airflow_migrated")


@pytest.fixture(scope="session")
def _copies(postgres: PostgresServer) -> Iterator[Copies]:
    with copies_of(postgres) as copies:
        yield copies


@pytest.fixture
def new_database(postgres: PostgresServer, _copies: Copies) -> Iterator[Callable[[str], str]]:
    """Makes a database from a template and gives its URL; drops it after the test."""
    made: list[str] = []

    def make(template: str) -> str:
        made.append(_copies.take(template))
        return postgres.url(made[-1])

    yield make
    for name in made:
        _copies.drop(name)


@pytest.fixture
def db_url(new_database: Callable[[str], str], _template: str) -> str:
    """A fresh database with the schema."""
    return new_database(_template)


@pytest.fixture
def empty_db_url(new_database: Callable[[str], str]) -> str:
    """A fresh database without anything."""
    return new_database("template1")


@pytest.fixture
def conn(db_url: str) -> Iterator[Connection]:
    """An autocommit connection to `db_url`."""
    with psycopg.connect(db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's pauses between tries pass at once."""
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A fresh sandbox of 20 stores, without latency and limit. S004, S008 … come expired."""
    with running_sandbox(rate_limit_per_minute=0) as server:
        yield server


@pytest.fixture
def other_app() -> Iterator[SandboxServer]:
    """A TikTok that knows another app, and none of the grants of `sandbox`."""
    with running_sandbox(client_key="other-key", client_secret="other-secret") as server:
        yield server


@pytest.fixture
def bench(db_url: str, conn: Connection, sandbox: SandboxServer) -> Bench:
    """The product on `db_url` and `sandbox`, no store imported, no rate limit."""
    settings = Settings.from_env(
        {
            "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(),
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "0",
            "TIKTOK_API_URL": sandbox.url,
            "TIKTOK_CLIENT_KEY": sandbox.client_key,
            "TIKTOK_CLIENT_SECRET": sandbox.client_secret,
            "STORE_DB_URL": db_url,
        }
    )
    return Bench(db_url, conn, sandbox, settings)


@pytest.fixture
def command_env(bench: Bench) -> dict[str, str]:
    """What the product's command reads from the environment."""
    settings = bench.settings
    return {
        "STORE_DB_URL": bench.db_url,
        "TIKTOK_API_URL": settings.api_url,
        "TIKTOK_CLIENT_KEY": settings.client_key,
        "TIKTOK_CLIENT_SECRET": settings.client_secret,
        "TIKTOK_TOKEN_KEYS": settings.token_keys[0],
    }


@pytest.fixture
def other_env(command_env: dict[str, str], other_app: SandboxServer) -> dict[str, str]:
    """The same with the address and the credentials of another app."""
    return {
        **command_env,
        "TIKTOK_API_URL": other_app.url,
        "TIKTOK_CLIENT_KEY": other_app.client_key,
        "TIKTOK_CLIENT_SECRET": other_app.client_secret,
    }


@pytest.fixture
def airflow_env(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench's database, TikTok and keys as Airflow's tasks find them."""
    set_airflow_env(bench, monkeypatch)


@pytest.fixture
def stores(conn: Connection) -> list[str]:
    """Three connected stores."""
    codes = ["S1", "S2", "S3"]
    for code in codes:
        conn.execute("INSERT INTO stores (store_code, store_name) VALUES (%s, 'x')", [code])
        conn.execute(
            "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
            " refresh_expires_at) VALUES (%s, %s, '', '', '', now() + interval '300 days')",
            [code, code],
        )
    return codes


@pytest.fixture
def receiver(conn: Connection, db_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A channel, and Airflow's connections to it and to the database."""
    del conn
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", connections(db_url)["AIRFLOW_CONN_STORE_DB"])
    monkeypatch.setenv("AIRFLOW_VAR_TIKTOK_MIN_SUCCESS_RATE", "0.9")
    monkeypatch.setattr("tiktok_airflow.channels.WAIT_SECONDS", 0)
    with alert_receiver() as found:
        monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_ALERTS", found.connection())
        yield found


@pytest.fixture(params=TOKEN_LIVES)
def regime(request: pytest.FixtureRequest, sandbox: SandboxServer) -> str:
    """What uses it holds under both of TikTok's sets of lifetimes."""
    sandbox.admin("PATCH", "/settings", json={"token_regime": request.param})
    return str(request.param)


@pytest.fixture
def users() -> list[Viewer]:
    """Who looks at the status page: the first of them."""
    return [ADMIN]


@pytest.fixture
def site(
    conn: Connection, db_url: str, users: list[Viewer], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The status page's address, with what makes links; one store is there, never connected."""
    monkeypatch.setenv("CONNECT_SECRET", SECRET)
    monkeypatch.setenv("CONNECT_BASE_URL", BASE)
    Lifecycle(conn, "test").add("S1", "Köln <West>")
    with served(status_site(db_url, user=lambda: users[0])) as url:
        yield url


@pytest.fixture
def press(site: str) -> Press:
    return Press(site)
