"""`incident` pauses and revokes everything, with Airflow up or down, and names who is concerned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from include.tiktok_sync.cli.app import app
from include.tiktok_sync.jobs import ALL_DAGS, USER_JOB
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.bench import Bench
from tests.unit.tiktok_sync.scripted import Reply, ScriptedServer

Incident = Callable[..., Any]


@pytest.fixture
def airflow() -> Iterator[ScriptedServer]:
    """Airflow's API as it answers: a token, then each Dag."""
    server = ScriptedServer()
    server.replies = [Reply(201, {"access_token": "tok"}), Reply(200, {})]
    yield server
    server.close()


@pytest.fixture
def run_incident(command_env: dict[str, str], tmp_path: Path) -> Incident:
    def run(*options: str, **changes: str) -> Any:
        before = structlog.get_config()
        env = {**command_env, "AIRFLOW_API_URL": "", "CONNECT_CONTACT": "privacy@example.com"}
        number = len(list(tmp_path.iterdir()))
        file = ("--to", str(tmp_path / f"report-{number}.txt"))
        done = CliRunner().invoke(
            app, ["incident", "--as", "anna", *file, *options], env={**env, **changes}
        )
        structlog.configure(**before)
        return done

    return run


@pytest.fixture
def stores(bench: Bench) -> Bench:
    """One synced, one paused by hand, one removed with a living grant, one never connected."""
    bench.import_stores("S001", "S002", "S003")
    bench.sync(USER_JOB, "S001")
    lifecycle = Lifecycle(bench.conn, "ben")
    lifecycle.pause("S002", "renovation")
    lifecycle.remove("S003")
    lifecycle.add("N1", "Kiel")
    bench.conn.execute(
        "INSERT INTO connect_links (link_hash, store_code, created_by, expires_at)"
        " VALUES ('l', 'S001', 'carla', now())"
    )
    return bench


def states(bench: Bench) -> dict[str, tuple[str, str | None]]:
    return {
        row["store_code"]: (row["state"], row["paused_reason"])
        for row in bench.rows(
            "SELECT s.store_code, store_state(is_active, removed_at, t.status) AS state,"
            " split_part(paused_reason, ' on ', 1) AS paused_reason"
            " FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)"
        )
    }


def test_everything_is_paused_and_revoked_and_the_report_names_what_was_reachable(
    stores: Bench, airflow: ScriptedServer, run_incident: Incident, tmp_path: Path
) -> None:
    env = {"AIRFLOW_API_URL": airflow.url, "AIRFLOW_ADMIN_PASSWORD": "pw"}
    before = stores.dump()
    dry = run_incident(**env)
    assert (dry.exit_code, "Dry run: nothing was changed" in dry.stdout) == (0, True), dry.output
    assert "revoke 3 grants" in dry.stdout
    assert stores.dump() == before
    assert [seen.method for seen in airflow.seen] == ["POST", *["GET"] * len(ALL_DAGS)]
    assert list(tmp_path.iterdir()) == []
    airflow.seen.clear()
    airflow.replies = [Reply(201, {"access_token": "tok"}), Reply(200, {})]

    done = run_incident("--yes", **env)

    assert done.exit_code == 0, done.output
    patched = [(seen.path, json.loads(seen.body)) for seen in airflow.seen[1:]]
    assert patched == [(f"/api/v2/dags/{dag}", {"is_paused": True}) for dag in ALL_DAGS]
    assert states(stores) == {
        "N1": ("paused", "Incident"),
        "S001": ("paused", "Incident"),
        "S002": ("paused", "renovation"),
        "S003": ("removed", None),
    }
    assert stores.rows("SELECT DISTINCT status FROM store_tokens") == [{"status": "needs_consent"}]
    (name,) = stores.row("SELECT store_name FROM stores WHERE store_code = 'S001'").values()
    report = (tmp_path / "report-0.txt").read_text(encoding="utf-8")
    assert report.strip() in done.stdout
    assert (tmp_path / "report-0.txt").stat().st_mode & 0o777 == 0o600
    for said in (
        "Grants that work no longer: 3; not revoked: 0",
        "Accounts of 3 stores",
        "videos: title, video_description",
        "postgres: all of them",
        "privacy@example.com",
        f"S001 {name}: carla",
        "stores resume N1 S001\n",
        "https://www.tiktok.com/legal/page/global/tik-tok-developer-terms-of-service/en",
    ):
        assert said in report
    # Once more: nothing is left to do, and the way back is still named.
    before = stores.dump()
    airflow.replies = [Reply(201, {"access_token": "tok"}), Reply(200, {})]
    again = run_incident("--yes", **env)
    assert again.exit_code == 0, again.output
    assert stores.dump() == before
    assert "stores resume N1 S001\n" in again.stdout


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9"])
def test_with_airflow_down_nothing_syncs_and_the_exit_status_says_so(
    stores: Bench, run_incident: Incident, url: str
) -> None:
    done = run_incident("--yes", AIRFLOW_API_URL=url)

    assert done.exit_code == 1
    assert f"Not paused: {', '.join(ALL_DAGS)}" in done.stdout
    assert stores.rows("SELECT store_code FROM stores WHERE is_active") == []
    assert stores.rows("SELECT DISTINCT status FROM store_tokens") == [{"status": "needs_consent"}]


def test_a_role_that_may_not_is_named_and_nothing_is_said_to_be_paused(
    stores: Bench, run_incident: Incident, tmp_path: Path
) -> None:
    conn, before = stores.conn, states(stores)
    conn.execute("CREATE ROLE incident_reader LOGIN PASSWORD 'x'")
    try:
        url = make_conninfo(stores.db_url, user="incident_reader", password="x")
        for grant in ("", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO incident_reader"):
            conn.execute(grant.encode())
            done = run_incident("--yes", STORE_DB_URL=url)

            assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.exception
            assert "permission denied for" in done.stderr
            assert "The stores are paused" not in done.output
    finally:
        conn.execute("DROP OWNED BY incident_reader")
        conn.execute("DROP ROLE incident_reader")
    assert states(stores) == before
    assert list(tmp_path.iterdir()) == []


def test_what_tiktok_did_not_revoke_is_named_and_revoked_the_next_time(
    stores: Bench, airflow: ScriptedServer, run_incident: Incident
) -> None:
    env = {"AIRFLOW_API_URL": airflow.url, "AIRFLOW_ADMIN_PASSWORD": "pw"}
    first = run_incident("--yes", **env, TIKTOK_API_URL="http://127.0.0.1:9")
    assert first.exit_code == 1
    assert "not revoked: 3" in first.stdout
    assert "S003 NOT REVOKED" in first.stdout
    assert stores.rows("SELECT store_code FROM stores WHERE is_active") == []
    airflow.replies = [Reply(201, {"access_token": "tok"}), Reply(200, {})]
    unset = run_incident("--yes", **env, TIKTOK_CLIENT_SECRET="")
    assert unset.exit_code == 1
    assert "3 grants are not revoked: TIKTOK_CLIENT_SECRET" in unset.stdout

    airflow.replies = [Reply(201, {"access_token": "tok"}), Reply(200, {})]
    second = run_incident("--yes", **env)

    assert second.exit_code == 0, second.output
    assert "Grants that work no longer: 3" in second.stdout
