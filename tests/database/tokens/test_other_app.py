"""Does a grant survive the credentials of an app that did not give it?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from include.tiktok_sync.doctor import store_db as doctor_store_db
from include.tiktok_sync.doctor.finding import Finding
from include.tiktok_sync.errors import OtherAppError
from include.tiktok_sync.jobs import USER_JOB
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from tests.database.bench import Bench, today
from tests.database.commands import run_command
from tests.database.rows.token_pairs import EXPIRED, FRESH, grant_of, newest_pair, stored_pair
from tests.database.task_bodies import connections, set_airflow_env, task_context
from tests.sandbox_server import SandboxServer
from tiktok_airflow.tasks import sync as sync_tasks


def import_with(env: dict[str, str], bench: Bench, *codes: str) -> None:
    """Import stores by the command, as an operator does: the app is the environment's."""
    text = bench.sandbox.admin("GET", "/stores.csv", params={"codes": ",".join(codes)})
    done = run_command(env, "stores", "import", "-", text=text)
    assert done.returncode == 0, done.stderr


def test_another_apps_credentials_cost_no_store_its_grant(
    bench: Bench,
    command_env: dict[str, str],
    other_app: SandboxServer,
    other_env: dict[str, str],
) -> None:
    import_with(command_env, bench, EXPIRED)
    before = stored_pair(bench, EXPIRED)
    done = run_command(other_env, "sync-store", EXPIRED)
    assert done.returncode == 2
    assert "another TikTok app" in done.stderr
    assert "tiktok_default" in done.stderr
    assert "TIKTOK_CLIENT_KEY" in done.stderr
    assert other_app.client_key not in done.stderr
    assert other_app.admin("GET", "/stats")["refresh_calls"] == 0
    assert grant_of(bench, EXPIRED) == ("active", None)
    assert stored_pair(bench, EXPIRED) == before
    done = run_command(command_env, "sync-store", EXPIRED)
    assert done.returncode == 0, done.stderr
    assert bench.sandbox.admin("GET", "/stats")["refreshes"] == {EXPIRED: 1}


def test_a_run_says_so_once_before_any_store_is_tried(
    bench: Bench,
    command_env: dict[str, str],
    other_app: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import_with(command_env, bench, "S001", "S004")
    prepare(bench, other_app, monkeypatch)
    with pytest.raises(OtherAppError, match=r"all 2 stores \(S001, S004\) were given to another"):
        sync_tasks.list_stores(task_context(xcom_push=lambda *_: None), None)
    assert other_app.admin("GET", "/stats")["endpoints"]["oauth_token"]["calls"] == 0
    # Some of them are the new app's: those go on.
    bench.conn.execute(
        "UPDATE store_tokens SET app_fingerprint = %s WHERE store_code = 'S001'",
        [fingerprint_of(other_app.client_key)],
    )
    with capture_logs() as logs:
        assert sync_tasks.list_stores(task_context(), None) == [["S001"], ["S004"]]
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert "of 1 of 2 stores (S004)" in warning["hint"]
    with pytest.raises(OtherAppError, match="store S004 was given to another TikTok app"):
        sync_tasks.sync_stores(USER_JOB, ["S004"], task_context())
    assert bench.log_row("S004")["status"] == "failed"
    assert grant_of(bench, EXPIRED) == ("active", None)
    assert other_app.admin("GET", "/stats")["refresh_calls"] == 0


def test_a_run_is_refused_too_if_the_app_of_a_few_stores_is_not_known(
    bench: Bench,
    command_env: dict[str, str],
    other_app: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import_with(command_env, bench, "S001", "S002")
    bench.import_stores("S003")
    prepare(bench, other_app, monkeypatch)
    with pytest.raises(OtherAppError, match=r"2 of 3 stores \(S001, S002\) were given to another"):
        sync_tasks.list_stores(task_context(xcom_push=lambda *_: None), None)
    # Of most it is not known: they are tried, as those that the new app gave are to be found.
    bench.import_stores("S005", "S006")
    with capture_logs():
        assert len(sync_tasks.list_stores(task_context(), None)) == 5
    assert other_app.admin("GET", "/stats")["refresh_calls"] == 0


def prepare(bench: Bench, server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench's tasks with the credentials of another app."""
    set_airflow_env(bench, monkeypatch)
    for name, value in connections(bench.db_url, server).items():
        monkeypatch.setenv(name, value)
    StoreRepository(bench.conn).ensure_partitions(today().date)


def test_a_token_of_another_app_is_used_as_long_as_it_lasts(
    bench: Bench, command_env: dict[str, str]
) -> None:
    import_with(command_env, bench, FRESH)
    stranger = replace(bench.app, client_key="a new app")
    with bench.client(FRESH, app=stranger) as client:
        assert client.user_info(["open_id"])[0].open_id
        bench.grant(FRESH, expire_access=True)
        with pytest.raises(OtherAppError):
            client.user_info(["open_id"])
    assert grant_of(bench, FRESH) == ("active", None)


def test_a_grant_of_an_unknown_app_belongs_to_the_one_that_can_refresh_it(bench: Bench) -> None:
    bench.import_stores(EXPIRED)
    query = "SELECT app_fingerprint FROM store_tokens"
    assert bench.row(query) == {"app_fingerprint": None}
    with bench.client(EXPIRED) as client:
        client.tokens.access_token()
    fingerprint = fingerprint_of(bench.sandbox.client_key)
    assert bench.row(query) == {"app_fingerprint": fingerprint}
    assert bench.sandbox.client_key not in "\n".join(bench.dump().values())


def test_an_import_without_the_apps_key_leaves_the_app_open(
    bench: Bench, command_env: dict[str, str]
) -> None:
    import_with(command_env, bench, FRESH)
    without = {name: text for name, text in command_env.items() if "CLIENT" not in name}
    import_with(without, bench, EXPIRED)
    assert app_of(bench, FRESH) == fingerprint_of(bench.sandbox.client_key)
    assert app_of(bench, EXPIRED) is None


def app_of(bench: Bench, code: str) -> str | None:
    """Which app is recorded for a store's grant."""
    query = "SELECT app_fingerprint FROM store_tokens WHERE store_code = %s"
    found: str | None = bench.row(query, code)["app_fingerprint"]
    return found


def test_what_an_import_recorded_with_the_wrong_key_can_be_put_right(
    bench: Bench, command_env: dict[str, str], other_env: dict[str, str], other_app: SandboxServer
) -> None:
    wrong = fingerprint_of(other_app.client_key)
    import_with(other_env, bench, FRESH, EXPIRED)
    assert app_of(bench, FRESH) == app_of(bench, EXPIRED) == wrong
    bench.conn.execute(
        "UPDATE store_tokens SET status = 'needs_consent', status_reason = 'x'"
        " WHERE store_code = %s",
        [FRESH],
    )
    done = run_command(command_env, "sync-store", EXPIRED)
    assert (done.returncode, "tokens recheck CODE" in done.stderr) == (2, True)
    # Nobody named a store: the record counts.
    assert run_command(command_env, "tokens", "recheck").returncode == 2
    assert bench.stats()["refresh_calls"] == 0

    done = run_command(command_env, "tokens", "recheck", FRESH, EXPIRED)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{FRESH}: restored, its grant is still valid (active)",
        f"{EXPIRED}: its grant belongs to the configured app, which is now recorded (active)",
    ]
    right = fingerprint_of(bench.sandbox.client_key)
    assert app_of(bench, FRESH) == app_of(bench, EXPIRED) == right
    assert stored_pair(bench, EXPIRED) == newest_pair(bench, EXPIRED)
    done = run_command(command_env, "sync-store", EXPIRED)
    assert done.returncode == 0, done.stderr


def test_a_named_recheck_with_the_wrong_key_changes_nothing(
    bench: Bench, command_env: dict[str, str], other_env: dict[str, str], other_app: SandboxServer
) -> None:
    import_with(command_env, bench, FRESH, EXPIRED)
    bench.conn.execute(
        "UPDATE store_tokens SET status = 'needs_consent', status_reason = 'x'"
        " WHERE store_code = %s",
        [FRESH],
    )
    rows = bench.rows("SELECT * FROM store_tokens ORDER BY store_code")
    done = run_command(other_env, "tokens", "recheck", FRESH, EXPIRED)
    assert done.returncode == 1
    assert done.stderr.count("another TikTok app") == 2
    assert other_app.admin("GET", "/stats")["refresh_calls"] == 2
    assert bench.rows("SELECT * FROM store_tokens ORDER BY store_code") == rows
    assert run_command(command_env, "tokens", "recheck", FRESH).returncode == 0


def test_another_app_cannot_revoke_and_does_not_say_so(
    bench: Bench, command_env: dict[str, str], other_env: dict[str, str], other_app: SandboxServer
) -> None:
    import_with(command_env, bench, FRESH)
    before = stored_pair(bench, FRESH)
    done = run_command(other_env, "stores", "disconnect", FRESH)
    assert done.returncode == 1
    assert "another TikTok app" in done.stderr
    assert grant_of(bench, FRESH) == ("active", None)
    assert stored_pair(bench, FRESH) == before
    assert not any(f["calls"] for f in other_app.admin("GET", "/stats")["endpoints"].values())
    done = run_command(other_env, "stores", "erase", FRESH, "--yes")
    assert (done.returncode, "not revoked yet" in done.stderr) == (1, True)
    done = run_command(command_env, "stores", "disconnect", FRESH)
    assert (done.returncode, "revoked at TikTok" in done.stdout) == (0, True)


def test_the_commands_and_the_doctor_say_so(
    bench: Bench, command_env: dict[str, str], other_env: dict[str, str], other_app: SandboxServer
) -> None:
    import_with(command_env, bench, FRESH, EXPIRED)
    finding = doctor(bench, other_env)
    assert finding.status == "fail"
    assert finding.text.startswith("The grants of all 2 stores (S001, S004) were given to another")
    assert "tiktok_default" in finding.todo
    finding = doctor(bench, command_env)
    assert (finding.status, finding.text) == (
        "ok",
        "2 of 2 living grants were given to this app",
    )
    bench.conn.execute("UPDATE store_tokens SET app_fingerprint = NULL WHERE store_code = 'S001'")
    assert "of 1 it is not known" in doctor(bench, command_env).text
    assert doctor(bench, other_env).status == "warn"
    bench.conn.execute(
        "UPDATE store_tokens SET status = 'needs_consent' WHERE app_fingerprint IS NOT NULL"
    )
    done = run_command(other_env, "tokens", "recheck")
    assert (done.returncode, "another TikTok app" in done.stderr) == (2, True)
    assert not any(f["calls"] for f in other_app.admin("GET", "/stats")["endpoints"].values())


def doctor(bench: Bench, env: dict[str, str]) -> Finding:
    """What the doctor says of the app."""
    found = doctor_store_db.check(bench.conn, Settings.from_env(env), {})
    return next(finding for finding in found if finding.check == "app of the grants")
