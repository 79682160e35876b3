"""Is a store that leaves revoked at TikTok, exported whole without a token, and erased whole?"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.errors import (
    ConfigurationError,
    DataError,
    NeedsConsentError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.jobs import USER_JOB
from include.tiktok_sync.store_db import store_tables
from include.tiktok_sync.stores import leaving
from include.tiktok_sync.stores.export import Format, export_as_stream, export_to_folder
from include.tiktok_sync.stores.lifecycle import Lifecycle
from include.tiktok_sync.stores.overview import overview
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore
from tests.database.bench import Bench, today
from tests.database.rows.full_store import fill

FRESH, EXPIRED = "S001", "S004"
TABLES = {
    "account_audience",
    "account_daily",
    "alerts",
    "backfill_readings",
    "business_tokens",
    "connect_attempts",
    "connect_links",
    "insight_listings",
    "store_tokens",
    "stores",
    "sync_logs",
    "user_daily_stats",
    "video_daily_stats",
    "video_insights_daily",
    "video_listings",
    "videos",
    "webhook_events",
}


def _lifecycle(bench: Bench) -> Lifecycle:
    return Lifecycle(bench.conn, "anna")


def _disconnect(bench: Bench, code: str, app: TikTokApp | None = None) -> str:
    app = app or bench.app
    with app.transport() as http:
        oauth = app.oauth(http)
        source = TokenSource(code, store=TokenStore(bench.conn), vault=bench.vault, oauth=oauth)
        return leaving.disconnect(code, _lifecycle(bench), source=source, oauth=oauth)


def _revoked(bench: Bench, code: str) -> bool:
    return bench.sandbox.sandbox.tokens.pair(code).grant.revoked


def _audit(bench: Bench, code: str) -> list[tuple[str, str]]:
    found = bench.rows("SELECT * FROM store_audit WHERE store_code = %s ORDER BY id", code)
    return [(row["action"], row["actor"]) for row in found if row["action"] != "import"]


@pytest.mark.parametrize("code", [FRESH, EXPIRED])
def test_a_store_that_leaves_is_revoked_at_tiktok(bench: Bench, code: str) -> None:
    bench.import_stores(code)
    assert _disconnect(bench, code) == "removed and its grant revoked at TikTok"
    assert _revoked(bench, code)
    token = bench.row("SELECT * FROM store_tokens")
    assert token["status"] == "needs_consent"
    assert token["status_reason"].startswith("Disconnected on 20")
    assert _audit(bench, code) == [("disconnect", "anna"), ("revoke", "anna")]
    with pytest.raises(NeedsConsentError, match="Disconnected on"):
        bench.sync(USER_JOB, code)
    assert _disconnect(bench, code) == "removed; it had no living grant"


def test_a_token_that_ended_only_there_is_refreshed_before_the_grant_counts_as_dead(
    bench: Bench,
) -> None:
    bench.import_stores(FRESH)
    bench.grant(FRESH, expire_access=True)  # our row says that it lives
    assert _disconnect(bench, FRESH) == "removed and its grant revoked at TikTok"
    assert _revoked(bench, FRESH)
    assert bench.calls() == {"oauth_revoke": 2, "oauth_token": 1}


def test_a_grant_that_tiktok_ended_before_is_done_with(bench: Bench) -> None:
    bench.import_stores(FRESH)
    bench.grant(FRESH, revoke=True)
    assert _disconnect(bench, FRESH) == "removed; TikTok had ended its grant before"
    assert bench.row("SELECT status FROM store_tokens") == {"status": "needs_consent"}


def test_a_store_whose_revocation_fails_is_out_all_the_same_and_can_be_tried_again(
    bench: Bench, no_waits: None
) -> None:
    del no_waits
    bench.import_stores(FRESH)
    down = replace(bench.app, api_url="http://127.0.0.1:1")
    with pytest.raises(TikTokUnavailableError):
        _disconnect(bench, FRESH, down)
    assert StoreRepository(bench.conn).active_store_codes() == []
    (line,) = overview(bench.conn)
    assert (line.state, line.reason) == (
        "removed",
        "Its grant is not revoked yet: run stores disconnect again",
    )
    with pytest.raises(DataError, match="its grant is not revoked yet"):
        leaving.erase(FRESH, _lifecycle(bench))
    assert _disconnect(bench, FRESH) == "removed and its grant revoked at TikTok"
    assert overview(bench.conn)[0].reason == f"Left on {today().date}"


def test_the_apps_wrong_secret_is_no_dead_grant(bench: Bench) -> None:
    bench.import_stores(FRESH)
    with pytest.raises(ConfigurationError, match="does not accept the app's credentials"):
        _disconnect(bench, FRESH, replace(bench.app, client_secret="wrong"))
    assert bench.row("SELECT status FROM store_tokens") == {"status": "active"}
    assert not _revoked(bench, FRESH)


def test_a_grant_can_be_left_alone_at_tiktok(bench: Bench) -> None:
    bench.import_stores(FRESH)
    done = leaving.disconnect(FRESH, _lifecycle(bench), source=None, oauth=None)
    assert done == "removed; its grant at TikTok was left alone"
    assert not _revoked(bench, FRESH)
    assert leaving.erase(FRESH, _lifecycle(bench))["stores"] == 1


def test_a_store_that_comes_back_is_connected_again_and_keeps_its_past(bench: Bench) -> None:
    bench.import_stores(FRESH)
    bench.sync(USER_JOB, FRESH)
    _disconnect(bench, FRESH)
    assert _lifecycle(bench).resume(FRESH) == "needs_consent"
    code = bench.sandbox.admin("POST", f"/stores/{FRESH}/code", json={})["code"]
    bench.sandbox.oauth("authorization_code", code=code, redirect_uri="https://x/")
    bench.import_stores(FRESH)
    bench.sync(USER_JOB, FRESH, run_id="after")
    assert _lifecycle(bench).state(FRESH) == "active"
    log = bench.rows("SELECT status FROM sync_logs")
    assert log == [{"status": "success"}] * 2


def test_erasing_leaves_nothing_of_the_store_and_everything_of_the_others(bench: Bench) -> None:
    bench.import_stores(FRESH, EXPIRED)
    for code in (FRESH, EXPIRED):
        fill(bench, code)
    others = {
        table: bench.rows(f"SELECT * FROM {table} WHERE store_code = %s", EXPIRED)  # noqa: S608 - names above
        for table in TABLES
    }
    assert all(others.values())
    with pytest.raises(DataError, match="is active; to erase it, it must be removed first"):
        leaving.erase(FRESH, _lifecycle(bench))
    _disconnect(bench, FRESH)
    counts = {
        table.name: store_tables.count(bench.conn, table, FRESH)
        for table in store_tables.tables(bench.conn)
    }
    assert set(counts) == TABLES
    assert all(counts.values()), counts
    told: dict[str, int] = {}
    assert leaving.erase(FRESH, _lifecycle(bench), on_table=told.__setitem__) == counts == told
    for table in TABLES:
        left = bench.rows(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 - names above
        assert [row for row in left if row.get("store_code") == FRESH] == []
        assert [row for row in left if row["store_code"] == EXPIRED] == sorted(
            others[table], key=lambda row: str(next(iter(row.values())))
        )
    last = bench.rows("SELECT * FROM store_audit ORDER BY id")[-1]
    assert (last["action"], last["actor"], last["store_code"]) == ("erase", "anna", FRESH)
    assert last["details"] == {"rows": counts}
    with pytest.raises(ConfigurationError, match=f"There is no store {FRESH}"):
        leaving.erase(FRESH, _lifecycle(bench))


def test_an_erasure_that_fails_in_the_middle_erases_nothing(bench: Bench) -> None:
    bench.import_stores(FRESH)
    fill(bench, FRESH)
    _disconnect(bench, FRESH)
    before = bench.dump()

    def fail(name: str, _: int) -> None:
        if name == "videos":
            message = "the power went"
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="the power went"):
        leaving.erase(FRESH, _lifecycle(bench), on_table=fail)
    assert bench.dump() == before


def test_a_table_that_a_later_migration_adds_is_erased_and_exported_too(
    bench: Bench, tmp_path: Path
) -> None:
    bench.import_stores(FRESH)
    bench.conn.execute(
        "CREATE TABLE notes (id bigint PRIMARY KEY, secret bytea, text text,"
        " store_code text REFERENCES store_tokens (store_code))"
    )
    bench.conn.execute("INSERT INTO notes VALUES (-1, 'hidden', '-told', %s)", [FRESH])
    export_to_folder(bench.conn, FRESH, tmp_path / "out", "csv")
    # As Excel wants it: a mark in front, no text that is a formula; a number is none.
    written = (tmp_path / "out" / "notes.csv").read_bytes().decode()
    assert written == f"\ufeffid,text,store_code\r\n-1,'-told,{FRESH}\r\n"
    _disconnect(bench, FRESH)
    assert leaving.erase(FRESH, _lifecycle(bench))["notes"] == 1


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_export_has_every_row_of_the_store_and_no_token(
    bench: Bench, tmp_path: Path, kind: Format
) -> None:
    bench.import_stores(FRESH, EXPIRED)
    for code in (FRESH, EXPIRED):
        fill(bench, code)
    bench.conn.execute(
        "UPDATE videos SET title = E'\"quoted\", \\\\n back\\nslash 🎉', duration = NULL"
    )
    rows = export_to_folder(bench.conn, FRESH, tmp_path / "out", kind)
    assert set(rows) == TABLES | {"store_audit"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        f"{table}.{kind}" for table in rows
    }
    assert [file.name for file in tmp_path.iterdir()] == ["out"]  # no half export is left
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
    for table, count in rows.items():
        lines = _read(tmp_path / "out" / f"{table}.{kind}")
        assert len(lines) == count > 0, table
        assert {line["store_code"] for line in lines} == {FRESH}
    (first, *_) = _read(tmp_path / "out" / f"videos.{kind}")
    assert first["title"] == '"quoted", \\n back\nslash 🎉'
    assert first["duration"] in ("", None)
    grant = _read(tmp_path / "out" / f"store_tokens.{kind}")[0]
    assert grant["status"] == "active"
    assert "access_token" not in grant
    everything = b"".join(file.read_bytes() for file in (tmp_path / "out").iterdir())
    sealed = bench.row("SELECT access_token FROM store_tokens WHERE store_code = %s", FRESH)
    for secret in (b"act.", b"rft.", sealed["access_token"], sealed["access_token"].hex().encode()):
        assert secret not in everything


def _read(file: Path) -> list[dict[str, str]]:
    text = file.read_text(encoding="utf-8-sig")
    if file.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return [json.loads(line) for line in text.splitlines()]


def test_a_stream_names_the_table_of_each_row(bench: Bench) -> None:
    bench.import_stores(FRESH)
    bench.sync(USER_JOB, FRESH)
    file = io.BytesIO()
    rows = export_as_stream(bench.conn, FRESH, file)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert len(lines) == sum(rows.values())
    figures = [line["row"] for line in lines if line["table"] == "user_daily_stats"]
    assert [row["snapshot_date"] for row in figures] == [str(today().date)]


def test_an_export_that_cannot_be_written_says_so_and_leaves_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    bench.import_stores(FRESH)
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigurationError, match="there exists already"):
        export_to_folder(bench.conn, FRESH, tmp_path / "there", "csv")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot be written: Not a directory"):
        export_to_folder(bench.conn, FRESH, tmp_path / "file" / "out", "csv")

    def fail(*_: object) -> None:
        message = "stopped"
        raise SyncError(message)

    with pytest.raises(SyncError, match="stopped"):
        export_to_folder(bench.conn, FRESH, tmp_path / "out", "csv", on_table=fail)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "there"]
    assert bench.conn.info.transaction_status.name == "IDLE"
