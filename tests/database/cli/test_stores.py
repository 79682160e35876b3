"""Does each command on stores and keys do what its help says, for people and for programs?"""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from include.tiktok_sync.cli.app import app
from include.tiktok_sync.jobs import INSIGHTS_SWITCH, USER_JOB
from include.tiktok_sync.store_db.audit import operating_system_user
from include.tiktok_sync.tokens.vault import fingerprint
from tests.database.bench import UTC, Bench, insert_grants
from tests.database.commands import ROOT, Done, Run


@pytest.fixture
def cli(command_env: dict[str, str]) -> Run:
    """The commands within this process: a program each would cost a second."""
    runner = CliRunner()

    def run(*args: str, text: str = "", **changes: str) -> Done:
        before = structlog.get_config()
        found = runner.invoke(app, args, input=text, env={**command_env, **changes})
        structlog.configure(**before)
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return Done(args, found.exit_code, found.stdout, found.stderr)

    return run


NEW = Fernet.generate_key().decode()


def _ok(done: Done) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def _json(done: Done) -> Any:
    return json.loads(_ok(done))


def _error(done: Done, status: int, says: str) -> None:
    assert done.returncode == status, done
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def _audit(bench: Bench) -> list[tuple[str, str]]:
    found = bench.rows("SELECT action, actor FROM store_audit ORDER BY id")
    return [(row["action"], row["actor"]) for row in found]


def test_a_stores_whole_life_by_commands(cli: Run, bench: Bench, tmp_path: Path) -> None:
    said = _ok(cli("stores", "add", "S001", "--name", "Köln", "--as", "anna"))
    assert said.startswith("S001: added; it needs its manager's consent")
    _error(cli("stores", "add", "S001", "--name", "x"), 2, "There is a store S001 already")
    (line,) = _json(cli("stores", "list", "--json"))
    assert (line["state"], line["reason"]) == ("needs_consent", "Never connected")
    bench.import_stores("S001")
    bench.sync(USER_JOB, "S001")
    assert _ok(cli("stores", "pause", "S001", "--reason", "fire")) == "S001: now paused\n"
    table = _ok(cli("stores", "list", "--state", "paused"))
    assert table.split()[:3] == ["store", "name", "region"]
    assert "fire" in table
    assert _json(cli("stores", "resume", "S001", "--json")) == [
        {"store_code": "S001", "ok": True, "message": "now active"}
    ]
    said = _ok(cli("stores", "export", "S001", "--to", str(tmp_path / "out")))
    assert "user_daily_stats" in said
    assert len((tmp_path / "out" / "user_daily_stats.csv").read_text().splitlines()) == 2
    _error(cli("stores", "erase", "S001", "--yes"), 1, "it must be removed first")
    said = _ok(cli("stores", "disconnect", "S001"))
    assert said == "S001: removed and its grant revoked at TikTok\n"
    counts = _json(cli("stores", "erase", "S001", "--dry-run", "--json"))
    assert counts["user_daily_stats"] == 1
    _error(cli("sync-store", "S001"), 2, "Store S001 has left (stores disconnect)")
    _error(cli("stores", "erase", "S001"), 2, "give --yes, or run it in a terminal")
    assert _json(cli("stores", "erase", "S001", "--yes", "--json", "--as", "anna")) == counts
    assert _ok(cli("stores", "list", "--json")) == "[]\n"
    me = operating_system_user()
    assert _audit(bench) == [
        ("add", "anna"),
        ("import", me),
        ("pause", me),
        ("resume", me),
        ("export", me),
        ("disconnect", me),
        ("revoke", me),
        ("erase", "anna"),
    ]


def test_the_list_has_the_second_grants_where_the_accounts_api_is_used(
    cli: Run, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(INSIGHTS_SWITCH, raising=False)
    bench.import_stores("S001", "S002")
    without, fields = _ok(cli("stores", "list")), set(_json(cli("stores", "list", "--json"))[0])
    assert "accounts api" not in without
    assert not [name for name in fields if name.startswith("business_")]

    switched_on = _ok(cli("stores", "list", **{INSIGHTS_SWITCH: "7300000000000000017"}))
    assert "accounts api" in switched_on
    bench.conn.execute(
        "INSERT INTO business_tokens (store_code, open_id, scope, access_token, refresh_token,"
        " status, status_reason) VALUES ('S001', 'b', 's', '', '', 'needs_consent', 'It ended.')"
    )
    table = _ok(cli("stores", "list"))  # a grant that is there is shown, whatever is set
    assert "accounts api" in table
    (line,) = [line for line in table.splitlines() if line.startswith("S001")]
    assert "needs_consent" in line
    assert line.rstrip().endswith("Accounts API: It ended.")
    first, second = _json(cli("stores", "list", "--json"))
    assert set(first) - fields == {"business_status", "business_reason", "business_ends_at"}
    assert (first["state"], first["reason"]) == ("active", None)
    assert (first["business_status"], first["business_reason"]) == ("needs_consent", "It ended.")
    assert second["business_status"] is None


def test_of_several_stores_some_may_fail(cli: Run, bench: Bench) -> None:
    bench.import_stores("S001", "S002")
    _ok(cli("stores", "pause", "S001"))
    _error(cli("stores", "resume", "S001", "S009"), 2, "no store S009 in the table stores; nothing")
    done = cli("stores", "resume", "S001", "S002")
    assert (done.returncode, done.stdout) == (1, "S001: now active\n")
    assert (
        done.stderr == "S002: Store S002 is active; to resume it, it must be paused or removed.\n"
    )
    done = cli(
        "stores", "disconnect", "S001", "S002", "--json", TIKTOK_API_URL="http://127.0.0.1:1"
    )
    assert done.returncode == 1
    results = json.loads(done.stdout)
    assert [(item["store_code"], item["ok"]) for item in results] == [
        ("S001", False),
        ("S002", False),
    ]
    assert "cannot be reached" in results[0]["message"]
    _ok(cli("stores", "disconnect", "S001", "S002", "--no-revoke"))


def test_an_export_may_be_one_stream(cli: Run, bench: Bench, tmp_path: Path) -> None:
    bench.import_stores("S001")
    done = cli("stores", "export", "S001", "--format", "jsonl", "--to", "-")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["table"] for line in lines} == {"stores", "store_tokens", "store_audit"}
    file = tmp_path / "one.jsonl"
    _ok(cli("stores", "export", "S001", "--format", "jsonl", "--to", str(file), "--json"))
    # The first export is in the audit by now.
    assert len(file.read_text().splitlines()) == len(lines) + 1
    assert file.stat().st_mode & 0o777 == 0o600
    _error(cli("stores", "export", "S001", "--to", "-"), 2, "CSV needs a folder")
    _error(cli("stores", "export", "S009", "--to", str(tmp_path / "x")), 2, "no store S009")
    again = cli("stores", "export", "S001", "--format", "jsonl", "--to", str(file))
    _error(again, 2, "one.jsonl cannot be written: File exists")


@pytest.mark.parametrize(("code", "name"), [("../x", "..-x-export"), ("=cmd", "=cmd-export")])
def test_an_export_stays_in_this_folder_whatever_the_code(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, name: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    _ok(cli("stores", "add", code, "--name", "=cmd|x"))

    _ok(cli("stores", "export", code))

    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert [path.name for path in here.iterdir()] == [name]
    assert "'=cmd|x" in (here / name / "stores.csv").read_text(encoding="utf-8-sig")


def test_an_export_that_is_cut_off_leaves_no_half_file(
    cli: Run, bench: Bench, tmp_path: Path
) -> None:
    bench.import_stores("S001")
    impatient = {"PGOPTIONS": "-c statement_timeout=1000"}
    with bench.conn.transaction():
        bench.conn.execute("LOCK TABLE videos IN ACCESS EXCLUSIVE MODE")
        for form, name in (("jsonl", "one.jsonl"), ("csv", "folder")):
            to = str(tmp_path / name)
            done = cli("stores", "export", "S001", "--format", form, "--to", to, **impatient)
            _error(done, 1, "took longer")
    assert list(tmp_path.iterdir()) == []


def test_the_calendar_for_people_and_programs(cli: Run, bench: Bench) -> None:
    assert _ok(cli("stores", "calendar")) == "No consent ends within 30 days.\n"
    bench.conn.execute("INSERT INTO stores VALUES ('S1', 'Köln'), ('S2', 'Bonn')")
    insert_grants(bench.conn, "S1", "S2")
    for code, days in (("S1", 2.5), ("S2", -1)):
        bench.conn.execute(
            "UPDATE store_tokens SET refresh_expires_at = %s WHERE store_code = %s",
            [datetime.now(UTC) + timedelta(days=days), code],
        )
    shown = _ok(cli("stores", "calendar"))
    assert _ok(cli("stores", "calendar", PGTZ="Asia/Tokyo")) == shown  # in UTC all the same
    heading, first, second = shown.splitlines()
    assert heading.split()[:3] == ["ends", "days", "left"]
    assert first.split()[2:5] == ["ended", "S2", "Bonn"]
    assert second.split()[2:5] == ["2", "S1", "Köln"]
    found = _json(cli("stores", "calendar", "--days", "1", "--json"))
    assert [(item["store_code"], item["stage"]) for item in found] == [("S2", 0)]


def test_the_notices_and_who_was_shown_which(cli: Run, bench: Bench) -> None:
    assert _ok(cli("stores", "notices")) == "No privacy notice was shown yet.\n"
    bench.conn.execute("INSERT INTO stores VALUES ('S1', 'Köln'), ('S2', 'Bonn'), ('S3', 'Ulm')")
    insert_grants(bench.conn, "S1", "S2", "S3")
    texts = {"S1": "The old text\n", "S2": "The new text\n"}
    versions = {}
    for code, text in texts.items():
        versions[code] = hashlib.sha256(text.encode()).hexdigest()[:16]
        bench.conn.execute("SELECT connect_notice(%s, %s)", [versions[code], text])
        bench.conn.execute(
            "UPDATE store_tokens SET notice_version = %s WHERE store_code = %s",
            [versions[code], code],
        )
    listed = _ok(cli("stores", "notices")).splitlines()
    assert [line.split()[0] for line in listed[1:]] == [versions["S2"], versions["S1"]]
    assert [line.split()[-2:] for line in listed[1:]] == [["yes", "1"], ["no", "1"]]
    assert _ok(cli("stores", "notices", versions["S1"])) == texts["S1"]
    _error(cli("stores", "notices", "unknown"), 2, "stores notices")
    for notice, code in (("older", "S1"), ("current", "S2"), ("none", "S3")):
        found = _json(cli("stores", "calendar", "--notice", notice, "--json"))
        shown = [(one["store_code"], one["notice_version"]) for one in found]
        assert shown == [(code, versions.get(code))]
        assert code in _ok(cli("stores", "calendar", "--notice", notice))


def test_keys_are_shown_rotated_and_checked(cli: Run, bench: Bench) -> None:
    bench.import_stores("S001", "S002")
    old = bench.settings.token_keys[0]
    both = {"TIKTOK_TOKEN_KEYS": f"{NEW},{old}"}
    _, first, second = _ok(cli("tokens", "status", **both)).splitlines()
    assert first.split() == [fingerprint(NEW), "1,", "encrypts", "0"]
    assert second.split() == [fingerprint(old), "2,", "decrypts", "only", "2"]
    done = cli("tokens", "rotate-keys", "--check", **both)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"0 of 2 stores are under key {fingerprint(NEW)}\n"
    said = _ok(cli("tokens", "rotate-keys", **both))
    assert said == f"2 of 2 stores are under key {fingerprint(NEW)}, 2 of them newly\n"
    assert _json(cli("tokens", "rotate-keys", "--check", "--json", TIKTOK_TOKEN_KEYS=NEW)) == {
        "keys": [{"fingerprint": fingerprint(NEW), "place": 1, "stores": 2}],
        "unreadable": [],
        "renewed": 0,
        "left": 0,
    }
    for command in ("tokens status", "tokens check", "tokens rotate-keys", "stores disconnect S1"):
        _error(cli(*command.split()), 2, "error: TIKTOK_TOKEN_KEYS is wrong: none of its keys")


def test_stores_under_a_lost_key_are_named_by_status_rotation_and_import(
    cli: Run, bench: Bench
) -> None:
    bench.import_stores("S001")
    text = bench.sandbox.admin("GET", "/stores.csv", params={"codes": "S002"})
    done = cli("stores", "import", "-", text=text, TIKTOK_TOKEN_KEYS=NEW)
    assert (done.returncode, done.stdout) == (0, "1 stores loaded (1 new, 0 updated)\n")
    assert done.stderr.startswith("warning: TIKTOK_TOKEN_KEYS opens the tokens of 1 stores, but")
    done = cli("tokens", "status", "--json")
    assert json.loads(done.stdout)["unreadable"] == ["S002"]
    _error(done, 1, "not those of 1: S002. Add the key")
    done = cli("tokens", "check")
    assert (done.returncode, done.stdout) == (0, "The keys open the tokens of 1 stores.\n")
    assert "not those of 1: S002" in done.stderr
    done = cli("tokens", "rotate-keys", TIKTOK_TOKEN_KEYS=NEW)
    _error(done, 1, "S001: The access token of store S001 cannot be decrypted")
    assert done.stdout == f"1 of 2 stores are under key {fingerprint(NEW)}\n"


def test_an_import_of_stores_alone(cli: Run, bench: Bench) -> None:
    text = "store_code,store_name,region\nS1,One,\nS2,,\n"
    done = cli("stores", "import", "-", text=text, TIKTOK_CLIENT_KEY="")
    assert done.returncode == 1
    assert done.stdout == (
        "1 stores loaded, 1 of them without a grant: to be connected, 1 rows not loaded"
        " (1 new, 0 updated)\n"
    )
    assert bench.rows("SELECT store_code FROM stores") == [{"store_code": "S1"}]
    done = cli("stores", "import", "-", "--json", text=text)
    assert json.loads(done.stdout) == {
        "loaded": ["S1"],
        "new": [],
        "updated": ["S1"],
        "tokens_kept": [],
        "without_grant": ["S1"],
        "problems": [{"line": 3, "reason": "store_name is empty"}],
        "business": [],
        "business_refused": [],
    }


@pytest.mark.parametrize(("typed", "left"), [("S001", []), ("yes", [{"store_code": "S001"}])])
def test_on_a_terminal_the_code_is_typed_to_erase(
    bench: Bench, cli: Run, typed: str, left: list[dict[str, str]]
) -> None:
    bench.import_stores("S001")
    _ok(cli("stores", "disconnect", "S001"))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "include.tiktok_sync", "stores", "erase", "S001"],
        cwd=ROOT,
        env={**os.environ, "STORE_DB_URL": bench.db_url},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(ours, f"{typed}\n".encode())
    said = process.communicate(timeout=600)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == (2 if left else 0), said
    assert "This cannot be undone. Type the code S001 to erase it" in said[1]
    assert bench.rows("SELECT store_code FROM stores") == left


@pytest.mark.parametrize(
    "command",
    ["list", "add", "import", "export", "pause", "resume", "calendar", "disconnect", "erase"],
)
def test_every_command_has_a_help_with_its_exit_status(cli: Run, command: str) -> None:
    assert "Exit status: 0" in _ok(cli("stores", command, "--help"))
