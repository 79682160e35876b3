"""The doctor: finds a sound set-up sound, and names what is broken, that and nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from include.local.ports import HOST, choose_port
from include.tiktok_sync.cli.app import app
from include.tiktok_sync.doctor.airflow import alerts_finding
from include.tiktok_sync.doctor.examination import examine
from include.tiktok_sync.doctor.finding import Finding
from include.tiktok_sync.doctor.host import disk_finding
from tests.database.bench import Bench

OTHER_KEY = Fernet.generate_key().decode()
GB = 1_000_000_000


@pytest.fixture
def env(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A sound set-up of 20 stores, on a disk with room: this machine's own may be full."""
    half_full = SimpleNamespace(total=100 * GB, used=50 * GB, free=50 * GB)
    monkeypatch.setattr("include.tiktok_sync.doctor.host.shutil.disk_usage", lambda _: half_full)
    bench.import_stores()
    bench.conn.execute("SELECT ensure_video_daily_stats_partitions(current_date)")
    bench.conn.execute("INSERT INTO backups (file_name, bytes, stores) VALUES ('a.dump', 1, 20)")
    return {
        "TIKTOK_TOKEN_KEYS": ",".join(bench.settings.token_keys),
        "TIKTOK_API_URL": bench.sandbox.url,
        "TIKTOK_CLIENT_KEY": bench.sandbox.client_key,
        "TIKTOK_CLIENT_SECRET": bench.sandbox.client_secret,
        "STORE_DB_URL": bench.db_url,
        "AIRFLOW__CORE__PARALLELISM": "64",
        "ALERTS_URL": "jsons://ops:s3cret@example.com",
    }


def trouble(found: list[Finding]) -> dict[str, str]:
    """Check -> status, of all that is neither fine nor skipped."""
    return {f.check: f.status for f in found if f.status in {"warn", "fail"}}


def test_a_sound_set_up_is_found_sound(env: dict[str, str]) -> None:
    found = examine(env)

    assert trouble(found) == {}
    by_check = {finding.check: finding for finding in found}
    assert by_check["stored tokens"].text == "20 read, all decrypted"
    assert by_check["TikTok app"].status == "ok"
    assert by_check["Airflow"].status == "skip"
    assert not [finding for finding in found if finding.status == "ok" and finding.todo]


def closed_port() -> str:
    return f"{HOST}:{choose_port(())}"


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        ({"TIKTOK_TOKEN_KEYS": ""}, "token keys", "TIKTOK_TOKEN_KEYS is empty"),
        ({"TIKTOK_TOKEN_KEYS": "changeme"}, "token keys", "not a Fernet key"),
        ({"TIKTOK_TOKEN_KEYS": OTHER_KEY}, "stored tokens", "20 of 20 cannot be decrypted"),
        ({"TIKTOK_CLIENT_SECRET": "another"}, "TikTok app", "client"),
        ({"TIKTOK_API_URL": f"http://{closed_port()}"}, "TikTok", "does not answer"),
        (
            {"STORE_DB_URL": f"postgresql://a:s3cret@{closed_port()}/x"},
            "store database",
            "refused",
        ),
        ({"STORE_DB_URL": "not a url"}, "store database", "not a libpq URL"),
        ({"STORE_DB_URL": ""}, "store database", "STORE_DB_URL is not set"),
        ({"SYNC_TIMEZONE": "Mars/Phobos"}, "settings", "Mars/Phobos"),
        ({"AIRFLOW_API_URL": f"http://{closed_port()}"}, "Airflow", "does not answer"),
        ({"DB_POOL_SIZE": "190"}, "connections", "95%"),
    ],
)
def test_what_is_broken_is_named_alone(
    env: dict[str, str], change: dict[str, str], check: str, said: str
) -> None:
    found = examine({**env, **change})

    assert trouble(found) == {check: "fail"}
    finding = next(finding for finding in found if finding.check == check)
    assert said in finding.text
    assert finding.todo
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("statement", "check", "status", "said"),
    [
        ("UPDATE alembic_version SET version_num = '0002'", "schema", "fail", "0002"),
        ("UPDATE alembic_version SET version_num = '9999'", "schema", "fail", "newer"),
        ("DROP TABLE alembic_version", "schema", "fail", "empty"),
        (
            "UPDATE store_tokens SET status = 'needs_consent' WHERE store_code IN ('S001', 'S002')",
            "grants",
            "warn",
            "2 need consent",
        ),
        (
            (
                "INSERT INTO stores (store_code, store_name) VALUES ('NEW', 'never connected');"
                " UPDATE store_tokens SET status = 'missing_scope' WHERE store_code = 'S001'"
            ),
            "grants",
            "warn",
            "21 active stores: 1 need consent, 1 miss a permission, 0 end within",
        ),
        (
            (
                "UPDATE store_tokens SET refresh_expires_at = now() + interval '3 days'"
                " WHERE store_code = 'S007'"
            ),
            "grants",
            "warn",
            "1 end within 30 days",
        ),
        (
            "UPDATE store_tokens SET refresh_token = 'nonsense' WHERE store_code = 'S003'",
            "stored tokens",
            "fail",
            "1 of 20 cannot be decrypted with TIKTOK_TOKEN_KEYS (S003)",
        ),
        ("DELETE FROM stores", "stores", "warn", "no active store"),
        (
            (
                "INSERT INTO sync_logs (job_name, status, message, run_id, snapshot_date, run_time)"
                " VALUES ('sync_user_daily', 'success', '', 'r', current_date, now()),"
                " ('sync_video_daily', 'success', '', 'r', current_date, now() - interval '2 days')"
            ),
            "last night",
            "warn",
            "no run of sync_video_daily",
        ),
        (
            (
                "DO $$ BEGIN EXECUTE 'DROP TABLE video_daily_stats_'"
                " || to_char(current_date + interval '1 month', 'YYYY_MM'); END $$"
            ),
            "partitions",
            "warn",
            "none for",
        ),
        (
            "UPDATE backups SET finished_at = now() - interval '30 hours'",
            "backup",
            "warn",
            "the newest is a.dump, 30 hours old",
        ),
        (
            (
                "DELETE FROM backups;"
                " INSERT INTO sync_logs"
                " (job_name, status, message, run_id, snapshot_date, run_time)"
                " SELECT job, 'success', '', age::text, current_date, now() - age FROM"
                " unnest('{sync_user_daily,sync_video_daily}'::text[]) AS job,"
                " unnest('{0,30 hours}'::interval[]) AS age"
            ),
            "backup",
            "warn",
            "never backed up",
        ),
        ("SELECT lo_from_bytea(0, 'mine')", "large objects", "warn", "of postgres"),
        (
            "GRANT EXECUTE ON FUNCTION connect_sweep() TO PUBLIC",
            "rights",
            "fail",
            "every login may call 1 functions with the owner's rights: connect_sweep()",
        ),
    ],
)
def test_trouble_in_the_database_is_named_alone(
    env: dict[str, str], bench: Bench, statement: str, check: str, status: str, said: str
) -> None:
    bench.conn.execute(statement.encode())

    found = examine(env)

    assert trouble(found) == {check: status}
    assert said in next(finding.text for finding in found if finding.check == check)


def test_backups_made_elsewhere_are_not_watched_and_a_wrong_limit_is_named(
    env: dict[str, str], bench: Bench
) -> None:
    bench.conn.execute("UPDATE backups SET finished_at = now() - interval '30 hours'")

    assert trouble(examine({**env, "BACKUP_WARN_HOURS": "0"})) == {}
    assert trouble(examine({**env, "BACKUP_WARN_HOURS": "48"})) == {}
    assert trouble(examine({**env, "BACKUP_WARN_HOURS": "a day"})) == {"backup": "fail"}


def test_figures_of_days_to_come_are_named_with_what_removes_them(
    env: dict[str, str], bench: Bench
) -> None:
    """Written by a version that took any --date, or under a clock that was wrong."""
    bench.insert_video("S001", "v1")
    bench.conn.execute(
        "SELECT ensure_video_daily_stats_partitions(current_date + 400);"
        " INSERT INTO user_daily_stats (store_code, snapshot_date, observed_at)"
        " VALUES ('S001', current_date, now()), ('S001', current_date + 2, now()),"
        " ('S002', current_date + 400, now());"
        " INSERT INTO video_daily_stats (video_id, store_code, snapshot_date, observed_at)"
        " VALUES ('v1', 'S001', current_date + 400, now())"
    )

    found = examine(env)

    assert trouble(found) == {"days to come": "warn"}
    finding = next(finding for finding in found if finding.check == "days to come")
    assert ": 2 in user_daily_stats, 1 in video_daily_stats." in finding.text
    bench.conn.execute(finding.todo.encode())
    assert trouble(examine(env)) == {}
    assert len(bench.rows("SELECT FROM user_daily_stats")) == 1


def test_nobody_to_tell_is_named(env: dict[str, str]) -> None:
    found = examine({**env, "ALERTS_URL": ""})

    assert trouble(found) == {"alerts": "warn"}
    assert "s3cret" not in str(examine(env))
    finding = next(finding for finding in found if finding.check == "alerts")
    assert finding.text.startswith(
        "nobody gets a message when a night fails or is late: ALERTS_URL"
    )
    by_airflow = {"AIRFLOW_CONN_TIKTOK_ALERTS": "apprise://", "ALERTS_URL": ""}
    assert trouble(examine({**env, **by_airflow})) == {}


@pytest.mark.parametrize(
    ("url", "loaded", "status"),
    [("", True, "ok"), ("json://x", True, "ok"), ("json://x", False, "warn"), ("", False, "warn")],
)
def test_what_counts_is_the_channel_that_airflow_has(
    url: str,
    loaded: bool,  # noqa: FBT001 - a parameter of the test
    status: str,
) -> None:
    assert alerts_finding({"ALERTS_URL": url}, loaded=loaded).status == status


def test_alerts_that_no_channel_took_are_named(env: dict[str, str], bench: Bench) -> None:
    bench.conn.execute(
        "INSERT INTO alerts (kind, job_name, run_id, message, notify_error)"
        " VALUES ('run_failed', 'j', 'r', 'm', 'Of tiktok_alerts: channel 1 (Slack) did not.')"
    )

    found = examine(env)

    assert trouble(found) == {"alerts sent": "warn"}
    assert "channel 1 (Slack)" in next(f.text for f in found if f.check == "alerts sent")


def test_parallelism_below_the_pools_is_named(env: dict[str, str]) -> None:
    found = examine({**env, "AIRFLOW__CORE__PARALLELISM": "32"})

    assert trouble(found) == {"parallelism": "warn"}
    assert (
        trouble(examine({**env, "AIRFLOW__CORE__PARALLELISM": "32", "SYNC_CONCURRENCY": "8"})) == {}
    )


@pytest.fixture
def late_tiktok() -> Iterator[str]:
    """Something that answers, with a clock two minutes behind."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(404)
            behind = datetime.now(timezone.utc) - timedelta(minutes=2)
            self.send_header("Date", format_datetime(behind, usegmt=True))
            self.end_headers()

        def do_POST(self) -> None:
            self.send_error(503)

        def log_message(self, *args: object) -> None:
            del args

    with HTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


def test_clock_that_is_off_is_named_and_trouble_at_tiktok_is_no_failure_of_ours(
    env: dict[str, str], late_tiktok: str
) -> None:
    found = examine({**env, "TIKTOK_API_URL": late_tiktok})

    assert trouble(found) == {"clock of TikTok": "fail", "TikTok app": "warn"}
    clock = next(finding for finding in found if finding.check == "clock of TikTok")
    assert "behind this host's" in clock.text


@pytest.mark.parametrize(("free", "status"), [(50, "ok"), (9, "warn"), (2, "fail")])
def test_full_disk_is_named(free: int, status: str) -> None:
    finding = disk_finding(Path("/somewhere"), free=free * GB, total=100 * GB)

    assert finding.status == status
    assert f"{free}.0 GB of 100.0 free" in finding.text


def test_before_a_start_tiktok_may_be_away(env: dict[str, str]) -> None:
    found = examine({**env, "TIKTOK_API_URL": f"http://{closed_port()}"}, before_start=True)

    assert trouble(found) == {}
    assert "TikTok" not in {finding.check for finding in found}


def test_command_tells_by_its_exit_status(env: dict[str, str]) -> None:
    good = CliRunner().invoke(app, ["doctor"], env=env)
    bad = CliRunner().invoke(app, ["doctor", "--json"], env={**env, "TIKTOK_TOKEN_KEYS": OTHER_KEY})

    assert good.exit_code == 0, good.output
    assert "ok    token keys: 1 key" in good.stdout
    assert bad.exit_code == 1
    lines = [json.loads(line) for line in bad.stdout.splitlines()]
    assert {tuple(line) for line in lines} == {("check", "status", "text", "todo")}
    assert [line["check"] for line in lines if line["status"] == "fail"] == ["stored tokens"]
