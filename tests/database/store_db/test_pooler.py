"""Behind a real PgBouncer in transaction mode: hook, commands, refresh locks, migrations."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.airflow_settings import SETTINGS_FILE, connection_variables, read_settings
from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.errors import TikTokUnavailableError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB, RunKey, StoreRun
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.status.stores import failing
from include.tiktok_sync.store_db.database import connect
from include.tiktok_sync.store_db.roles import prepare
from include.tiktok_sync.store_db.schema import SCHEMA_REVISION, check_schema, upgrade
from include.tiktok_sync.stores.importing.load import import_stores
from include.tiktok_sync.stores.overview import overview
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_run import run_store
from include.tiktok_sync.sync.summary import summarize
from include.tiktok_sync.sync.sync_log import SyncLog
from include.tiktok_sync.tiktok.http import Timeouts
from include.tiktok_sync.tokens.vault import TokenVault
from tests.database.bench import today
from tests.pgbouncer_server import SCRIPT, running_pgbouncer
from tests.postgres_server import PostgresServer, scratch_postgres
from tests.sandbox_server import SandboxServer, until
from tests.silent_server import SilentServer, silent_server
from tests.truth import differences
from tiktok_airflow.hooks.store_db_hook import StoreDbHook

PASSWORD = "pooled-Pa55word"
POOL = 3

pytestmark = pytest.mark.skipif(
    shutil.which("pgbouncer") is None, reason="Debian's package pgbouncer is not installed"
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A Postgres of its own: roles belong to a whole server."""
    with scratch_postgres() as server:
        direct = server.url("tiktok_sync").replace(
            f"postgres:{server.password}", f"tiktok_sync:{PASSWORD}"
        )
        prepare(server.url(), direct)
        yield server


@pytest.fixture(scope="module")
def pooled_url(server: PostgresServer) -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="tiktok-pool-", ignore_cleanup_errors=True) as name,
        running_pgbouncer(
            Path(name),
            upstream_port=server.port,
            password=PASSWORD,
            DB_POOL_SIZE=str(POOL),
            DB_POOL_MIN="1",
        ) as url,
    ):
        yield url


@pytest.fixture
def store_db(monkeypatch: pytest.MonkeyPatch, pooled_url: str) -> None:
    """The connection as the settings loader writes it for a pooler."""
    env = {"STORE_DB_URL": pooled_url, "STORE_DB_POOLER": "transaction"}
    variables = connection_variables(read_settings(SETTINGS_FILE, env))
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", variables["AIRFLOW_CONN_STORE_DB"])


@pytest.mark.usefixtures("store_db")
def test_hook_names_its_connection_and_the_pooler_bounds_its_statements() -> None:
    hook = StoreDbHook(application_name="airflow:a[1]", statement_timeout=timedelta(minutes=10))

    with hook.session() as conn:
        row = conn.execute(
            "SELECT current_setting('application_name'), current_setting('statement_timeout'),"
            " current_setting('idle_in_transaction_session_timeout')"
        ).fetchone()

    assert row == ("airflow:a[1]", "30min", "5min")


@pytest.mark.usefixtures("store_db")
def test_statements_repeated_by_many_clients_meet_on_few_connections(
    server: PostgresServer,
) -> None:
    def work(number: int) -> int:
        with StoreDbHook().session() as conn:
            total = 0
            for _ in range(10):
                row = conn.execute("SELECT %s::integer, pg_backend_pid()", [number]).fetchone()
                assert row is not None
                total += row[0]
            return total

    with ThreadPoolExecutor(12) as threads:
        sums = list(threads.map(work, range(12)))

    assert sums == [10 * number for number in range(12)]
    with psycopg.connect(server.url()) as conn:
        (held,) = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tiktok_sync'"
        ).fetchone() or (0,)
    assert 1 <= held <= POOL


@pytest.mark.usefixtures("store_db")
def test_without_the_setting_prepared_statements_would_be_lost(
    monkeypatch: pytest.MonkeyPatch, pooled_url: str
) -> None:
    """The setting is needed with this PgBouncer: without it the hook's options are refused."""
    variables = connection_variables(read_settings(SETTINGS_FILE, {"STORE_DB_URL": pooled_url}))
    monkeypatch.setenv("AIRFLOW_CONN_STORE_DB", variables["AIRFLOW_CONN_STORE_DB"])
    assert "prepare_threshold" not in json.loads(variables["AIRFLOW_CONN_STORE_DB"])["extra"]

    with pytest.raises(Exception, match="options"), StoreDbHook().session():
        pytest.fail("the pooler took the options")


def test_schema_is_upgraded_through_the_pooler_and_twice(pooled_url: str) -> None:
    assert upgrade(pooled_url) == upgrade(pooled_url) == SCHEMA_REVISION

    with connect(pooled_url, application_name="test") as conn:
        check_schema(conn)


def test_stores_sync_through_the_pooler_with_one_refresh_each(
    pooled_url: str, sandbox: SandboxServer
) -> None:
    """Two jobs at once for each of 20 stores, 5 of whose tokens have ended, over 3 connections."""
    app = TikTokApp(sandbox.url, sandbox.client_key, sandbox.client_secret)
    settings = Settings.from_env(
        {"TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(), "TIKTOK_RATE_LIMIT_PER_MINUTE": "0"}
    )
    codes = [f"S{number:03}" for number in range(1, 21)]
    ended = [code for code in codes if int(code[1:]) % 4 == 0]
    with connect(pooled_url, application_name="test") as conn:
        text = sandbox.admin("GET", "/stores.csv")
        report = import_stores(io.StringIO(text, newline=""), conn, TokenVault(settings.token_keys))
        assert report.problems == []
        StoreRepository(conn).ensure_partitions(today().date)
    before = len(sandbox.admin("GET", "/secrets")["refresh_tokens"])

    def sync(number: int) -> None:
        job, code = (USER_JOB, VIDEO_JOB)[number % 2], codes[number // 2]
        with connect(pooled_url, application_name="test") as conn, app.transport() as http:
            run_store(
                StoreRun(job, "run-1", code, today(), stores_in_run=20),
                open_client=lambda: app.client(code, http=http, conn=conn, settings=settings),
                repository=StoreRepository(conn),
            )

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(sync, range(2 * len(codes))))

    assert len(sandbox.admin("GET", "/secrets")["refresh_tokens"]) == before + len(ended)
    assert differences(pooled_url, sandbox.url, today().date) == []


def test_refreshes_that_get_no_answer_leave_the_pool_to_page_and_summary(
    pooled_url: str, sandbox: SandboxServer
) -> None:
    """20 refreshes hang at the token endpoint; over 3 connections everybody else goes on."""
    settings = Settings.from_env(
        {"TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(), "TIKTOK_RATE_LIMIT_PER_MINUTE": "0"}
    )
    with connect(pooled_url, application_name="test") as conn:
        text = sandbox.admin("GET", "/stores.csv")
        vault = TokenVault(settings.token_keys)
        codes = import_stores(io.StringIO(text, newline=""), conn, vault).loaded
        conn.execute("UPDATE store_tokens SET access_expires_at = now()")

    def refresh(silent: SilentServer, code: str) -> None:
        app = TikTokApp(silent.url, "key", "secret", Timeouts(read_s=600))
        with connect(pooled_url, application_name="test") as conn, app.transport() as http:
            client = app.client(code, http=http, conn=conn, settings=settings)
            with pytest.raises(TikTokUnavailableError):
                client.tokens.access_token()

    with silent_server() as silent, ThreadPoolExecutor(len(codes)) as threads:
        try:
            refreshes = [threads.submit(refresh, silent, code) for code in codes]
            until(lambda: silent.calls == len(codes))  # all at once, not as many as the pool has
            with connect(pooled_url, application_name="test") as conn:
                run = RunKey(USER_JOB, "hanging", today().date)
                assert summarize(SyncLog(conn), run, codes, min_success_rate=0.9).status == "failed"
                assert {line.store_code for line in overview(conn)} >= set(codes)
                assert failing(conn).found == 0
        finally:
            silent.close()
        for refreshed in refreshes:
            refreshed.result(120)
    with connect(pooled_url, application_name="test") as conn:
        marked = conn.execute("SELECT count(*) FROM store_tokens WHERE status = 'needs_consent'")
        assert marked.fetchone() == (0,)


def test_settings_that_cannot_be_are_refused_before_the_pooler_starts() -> None:
    env = {"PATH": "/usr/bin:/bin", "POOL_UPSTREAM": "127.0.0.1:1", "STORE_DB_PASSWORD": "x"}
    for wrong, said in (
        ({"DB_POOL_SIZE": "2", "DB_POOL_MIN": "5"}, "larger than DB_POOL_SIZE"),
        ({"DB_POOL_SIZE": "many"}, "whole numbers"),
        ({"STORE_DB_PASSWORD": 'a"b'}, "blanks or quotes"),
        ({"STORE_DB_PASSWORD": ""}, "of the role tiktok_sync"),
    ):
        done = subprocess.run(  # noqa: S603 - the product's own script
            ["/bin/sh", str(SCRIPT)],
            env={**env, **wrong},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert said in done.stderr
