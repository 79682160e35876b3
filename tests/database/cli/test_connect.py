"""Do `stores link` and `db connect-role` do what their help says, and refuse in one clear line?"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner, Result

from include.tiktok_sync.cli.app import app
from include.tiktok_sync.links.connect_links import LinkSigner, hash_of, revoke_links
from tests.database.bench import Bench

SECRET = secrets.token_urlsafe(32)
BASE = "https://connect.example.com"

Cli = Callable[..., Result]


@pytest.fixture
def cli(bench: Bench) -> Cli:
    """Runs a command in this process; keywords change the environment."""
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('N1', 'Kiel')")
    env = {"STORE_DB_URL": bench.db_url, "CONNECT_SECRET": SECRET, "CONNECT_BASE_URL": BASE}

    def run(*args: str, **changes: str) -> Result:
        return CliRunner().invoke(app, args, env={**env, **changes})

    return run


def test_a_link_is_printed_alone_and_its_token_is_not_kept(cli: Cli, bench: Bench) -> None:
    done = cli("stores", "link", "N1", "--days", "3", "--account", "@Nordlicht.Kiel")
    assert done.exit_code == 0, done.stderr
    (url,) = done.stdout.splitlines()
    token = url.removeprefix(f"{BASE}/c/")
    assert LinkSigner(SECRET).store_of(token) == "N1"
    assert "Kiel (N1)" in done.stderr
    assert token not in done.stderr
    kept = bench.row("SELECT * FROM connect_links")
    assert kept["link_hash"] == hash_of(token)
    assert kept["expected_account"] == "nordlicht.kiel"
    life = kept["expires_at"] - datetime.now(timezone.utc)
    assert timedelta(days=2, hours=23) < life <= timedelta(days=3)
    assert token not in bench.dump()["connect_links"]


def test_a_program_gets_json(cli: Cli) -> None:
    told = json.loads(cli("stores", "link", "N1", "--json").stdout)
    assert told["store_code"] == "N1"
    assert told["url"].startswith(f"{BASE}/c/")
    assert datetime.fromisoformat(told["expires_at"])


@pytest.mark.parametrize(
    ("args", "changes", "says"),
    [
        (("N1",), {"CONNECT_SECRET": ""}, "CONNECT_SECRET is not set"),
        (("N1",), {"CONNECT_SECRET": "short"}, "CONNECT_SECRET is too short"),
        (("N1",), {"CONNECT_BASE_URL": ""}, "CONNECT_BASE_URL is not set"),
        (("N9",), {}, "There is no store N9"),
        (("N1", "--days", "0"), {}, "1 to 90 days"),
        (("N1", "--account", "two words"), {}, "no TikTok username"),
    ],
)
def test_a_refusal_is_one_line_and_makes_no_link(
    cli: Cli, bench: Bench, args: tuple[str, ...], changes: dict[str, str], says: str
) -> None:
    done = cli("stores", "link", *args, **changes)
    assert done.exit_code == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert bench.rows("SELECT FROM connect_links") == []


def test_links_can_be_revoked(cli: Cli, bench: Bench) -> None:
    cli("stores", "link", "N1")
    assert [revoke_links(bench.conn, "N1"), revoke_links(bench.conn, "N1")] == [1, 0]


def test_the_role_is_made_with_a_password(cli: Cli, bench: Bench) -> None:
    role, password = f"connect_{secrets.token_hex(4)}", secrets.token_hex(8)
    try:
        done = cli("db", "connect-role", "--role", role, CONNECT_DB_PASSWORD=password)
        assert done.exit_code == 0, done.stderr
        assert "read no table" in done.stdout
        info = bench.conn.info
        url = f"postgresql://{role}:{password}@127.0.0.1:{info.port}/{info.dbname}"
        with psycopg.connect(url) as conn:
            assert conn.execute("SELECT connect_sweep()").fetchone() == (0,)
        plain = psycopg.conninfo.make_conninfo(url)
        weak = cli("db", "connect-role", "--role", "other_role", STORE_DB_URL=plain)
        assert weak.exit_code == 2
        assert "may not set up the role other_role" in weak.stderr
    finally:
        name = sql.Identifier(role)
        bench.conn.execute(sql.SQL("DROP OWNED BY {}").format(name))
        bench.conn.execute(sql.SQL("DROP ROLE {}").format(name))
