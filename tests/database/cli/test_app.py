"""Does each command work without Airflow, end with the right status, and fail in one clear line?"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.store_db.schema import SCHEMA_REVISION
from tests.database.bench import Bench, row, rows, today
from tests.database.commands import Done, Run, run_command
from tests.database.faults import Refuse

ROOT = Path(__file__).resolve().parents[3]
UNREACHABLE = "postgresql://someone:hunter2@127.0.0.1:1/db"


@pytest.fixture
def cli(command_env: dict[str, str]) -> Run:
    """Runs the product's command against the bench; keywords change the environment."""

    def run(*args: str, text: str | bytes = "", **changes: str) -> Done:
        return run_command({**command_env, **changes}, *args, text=text)

    return run


def _one_line(done: Done, status: int, says: str) -> None:
    assert done.returncode == status, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert says in lines[0]
    assert done.stdout == ""


def test_a_key_is_generated_without_any_setting() -> None:
    done = run_command({}, "tokens", "generate-key")
    assert (done.returncode, done.stderr) == (0, "")
    Fernet(done.stdout.strip())


def test_a_database_without_the_schema_is_named(cli: Run, empty_db_url: str) -> None:
    _one_line(cli("stores", "list", STORE_DB_URL=empty_db_url), 2, "schema is empty")


def test_the_whole_way_by_hand(empty_db_url: str, cli: Run, bench: Bench) -> None:
    for _ in range(2):
        done = cli("db", "upgrade", STORE_DB_URL=empty_db_url)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"The store database has schema {SCHEMA_REVISION}.\n"
    text = "\ufeff" + bench.sandbox.admin("GET", "/stores.csv", params={"codes": "S001,S004"})
    done = cli("stores", "import", "-", text=text, STORE_DB_URL=empty_db_url)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "2 stores loaded (2 new, 0 updated)\n",
        "",
    )
    for job, table in (("user", "user_daily_stats"), ("video", "video_daily_stats")):
        done = cli("sync-store", "S004", "--job", job, STORE_DB_URL=empty_db_url)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("S004: ")
        assert '"event": "Store synced"' in done.stderr
        with psycopg.connect(empty_db_url) as conn:
            found = rows(conn, f"SELECT store_code, snapshot_date FROM {table}")  # noqa: S608 - names above
            assert found[0] == {"store_code": "S004", "snapshot_date": today().date}
            log = row(conn, "SELECT * FROM sync_logs WHERE job_name = %s", f"sync_{job}_daily")
            assert (log["store_code"], log["status"]) == ("S004", "success")
    assert bench.stats()["refreshes"] == {"S004": 1}


def test_a_dry_run_and_a_day_of_the_past(cli: Run, bench: Bench) -> None:
    bench.import_stores("S001")
    done = cli("sync-store", "S001", "--dry-run", "--date", "2020-02-29")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" (dry run)\n")
    assert bench.rows("SELECT FROM user_daily_stats") == bench.rows("SELECT FROM sync_logs") == []
    assert cli("sync-store", "S001", "--date", "2020-02-29").returncode == 0
    # The figures are today's: they are kept as such, and stand in for the past day.
    found = bench.rows("SELECT snapshot_date, is_late FROM user_daily_stats ORDER BY 1")
    assert [(str(line["snapshot_date"]), line["is_late"]) for line in found] == [
        ("2020-02-29", True),
        (str(today().date), False),
    ]


@pytest.mark.parametrize("job", ["user", "video", "refresh"])
@pytest.mark.parametrize(
    ("date", "says"),
    [
        (f"{today().date + timedelta(days=2)}", "has not come yet: today is"),
        ("9999-12-31", "9999-12-31 has not come yet: today is"),
        ("1970-01-01", "1970-01-01 was before TikTok, which began in September 2016"),
    ],
    ids=["to come", "never", "before TikTok"],
)
def test_a_day_that_no_figure_can_stand_for_is_refused(
    cli: Run, bench: Bench, job: str, date: str, says: str
) -> None:
    bench.import_stores("S001")
    for dry in ((), ("--dry-run",)):
        _one_line(cli("sync-store", "S001", "--job", job, "--date", date, *dry), 2, says)
    assert bench.rows("SELECT FROM user_daily_stats") == bench.rows("SELECT FROM sync_logs") == []


def test_an_import_with_bad_rows_loads_the_good_ones_and_says_so(
    cli: Run, bench: Bench, tmp_path: Path
) -> None:
    text = bench.sandbox.admin("GET", "/stores.csv", params={"codes": "S001,S002,S003"})
    lines = text.splitlines()
    lines[2] = lines[2].replace("video.list", "video.lost")
    file = tmp_path / "stores.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    done = cli("stores", "import", str(file))
    assert done.returncode == 1
    assert done.stdout == "2 stores loaded, 1 rows not loaded (2 new, 0 updated)\n"
    assert done.stderr.startswith("line 3: not loaded: scope holds video.lost")
    assert len(done.stderr.splitlines()) == 1
    assert [line["store_code"] for line in bench.rows("SELECT * FROM stores ORDER BY 1")] == [
        *("S001", "S003")
    ]
    file.write_text("\n".join([lines[0], lines[2]]), encoding="utf-8")
    done = cli("stores", "import", str(file))
    assert (done.returncode, done.stdout) == (
        2,
        "0 stores loaded, 1 rows not loaded (0 new, 0 updated)\n",
    )


def test_an_import_that_cannot_begin_says_why_and_writes_nothing(
    cli: Run, bench: Bench, tmp_path: Path
) -> None:
    good = bench.sandbox.admin("GET", "/stores.csv")
    latin = good.replace("S001,", "S001ü,").encode("latin-1", "replace")
    _one_line(cli("stores", "import", "-", text=latin), 2, "is not UTF-8 text")
    _one_line(cli("stores", "import", "-", text="a,b\n1,2\n"), 2, "first line lacks store_code")
    _one_line(cli("stores", "import", "-", text='"x'), 2, "not readable as CSV")
    missing = str(tmp_path / "missing.csv")
    _one_line(cli("stores", "import", missing), 2, f"{missing} cannot be read: No such file")
    _one_line(cli("stores", "import", "-", text=good, TIKTOK_TOKEN_KEYS=""), 2, "TOKEN_KEYS is emp")
    assert bench.rows("SELECT FROM stores") == []


@pytest.mark.parametrize(
    "args", [("db", "upgrade"), ("stores", "import", "-"), ("sync-store", "S001")]
)
def test_an_unreachable_database_is_one_line_without_its_password(
    cli: Run, args: tuple[str, ...]
) -> None:
    done = cli(*args, STORE_DB_URL=UNREACHABLE)
    _one_line(done, 1, "The store database cannot be reached: ")
    assert "Check STORE_DB_URL" in done.stderr
    assert "refused" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"STORE_DB_URL": "nonsense"}, "STORE_DB_URL is not a libpq URL"),
        ({"TIKTOK_CLIENT_SECRET": ""}, "TIKTOK_CLIENT_SECRET is not set"),
        ({"SYNC_TIMEZONE": "Mars/Olympus"}, "SYNC_TIMEZONE must be the name of a time zone"),
        ({"TIKTOK_TOKEN_KEYS": ""}, "TIKTOK_TOKEN_KEYS is empty"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    cli: Run, bench: Bench, changes: dict[str, str], says: str
) -> None:
    bench.import_stores("S001")
    done = cli("sync-store", "S001", **changes)
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (2, "")
    assert last.startswith("error: ")
    assert says in last
    assert "Traceback" not in done.stderr


def test_an_unknown_store_and_an_unknown_job_are_named(cli: Run) -> None:
    _one_line(cli("sync-store", "S999"), 2, "There is no store S999")
    _one_line(
        cli("sync-store", "S001", "--job", "all"), 2, "refresh-business or insights, not 'all'"
    )


def test_a_database_without_or_with_a_newer_schema_is_refused(
    cli: Run, bench: Bench, empty_db_url: str
) -> None:
    _one_line(cli("sync-store", "S001", STORE_DB_URL=empty_db_url), 2, "tiktok_sync db upgrade")
    bench.conn.execute("UPDATE alembic_version SET version_num = '9999'")
    for args in (("sync-store", "S001"), ("stores", "import", "-")):
        _one_line(cli(*args), 2, "newer than this code")


@pytest.mark.parametrize("command", [("sync-store", "S004"), ("tokens", "recheck")])
def test_trouble_of_tiktoks_gateway_at_the_token_endpoint_is_no_traceback(
    cli: Run, bench: Bench, command: tuple[str, ...]
) -> None:
    bench.import_stores("S004")
    if command[0] == "tokens":
        bench.conn.execute("UPDATE store_tokens SET status = 'needs_consent'")
    bench.sandbox.faults.plan = Refuse("oauth_token", 503, "internal_error")
    done = cli(*command)
    assert (done.returncode, "TikTok had trouble of its own" in done.stderr) == (1, True), done
    assert "Traceback" not in done.stderr


def test_a_wrong_client_secret_and_a_skipped_store_end_with_their_own_status(
    cli: Run, bench: Bench
) -> None:
    bench.import_stores("S004")
    done = cli("sync-store", "S004", TIKTOK_CLIENT_SECRET="wrong-secret")
    assert done.returncode == 2
    assert "TikTok does not accept the app's credentials" in done.stderr
    assert "wrong-secret" not in done.stderr
    bench.grant("S004", revoke=True)
    done = cli("sync-store", "S004")
    assert done.returncode == 1
    assert "\nskipped: The store's grant has ended at TikTok." in done.stderr
    assert "Traceback" not in done.stderr
    assert "rft." not in done.stderr
    assert "act." not in done.stderr
