"""Do all tokens come under the first key, while others use them, and is a wrong key named?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import psycopg
import pytest
from cryptography.fernet import Fernet

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import USER_JOB, StoreRun
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_run import run_store
from include.tiktok_sync.tiktok.client import TikTokClient
from include.tiktok_sync.tokens.key_rotation import rotate_keys
from include.tiktok_sync.tokens.sealed_rows import (
    SEALED_TABLES,
    SealedTable,
    check_keys,
    key_use,
    read_pages,
    unreadable_message,
)
from include.tiktok_sync.tokens.store import TokenStore
from include.tiktok_sync.tokens.vault import TokenVault, fingerprint
from tests.database.bench import Bench, today

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
STORES = 300
REFRESHES = STORES * 3 // 4
"""Half of the stores by the test, and half of the others: the sandbox begins with some expired."""

WORKERS = 12
PATIENCE_S = 240


def _on(bench: Bench, *keys: str) -> Bench:
    return replace(bench, settings=bench.settings.model_copy(update={"token_keys": keys}))


@pytest.fixture
def old(bench: Bench) -> Bench:
    """The product with the old key alone, three stores imported."""
    bench = _on(bench, OLD)
    bench.import_stores("S001", "S002", "S003")
    return bench


def _tokens(bench: Bench) -> list[tuple[str, str]]:
    """Every store's tokens in the clear."""
    found = bench.rows("SELECT * FROM store_tokens ORDER BY store_code")
    return [
        (
            bench.vault.decrypt(row["access_token"], store_code=row["store_code"], kind="access"),
            bench.vault.decrypt(row["refresh_token"], store_code=row["store_code"], kind="refresh"),
        )
        for row in found
    ]


def test_all_rows_come_under_the_first_key_and_nothing_else_changes(old: Bench) -> None:
    tokens = _tokens(old)
    rest = "SELECT to_jsonb(t) - 'access_token' - 'refresh_token' AS rest FROM store_tokens t"
    before = old.rows(rest)
    both = _on(old, NEW, OLD)
    assert dict(key_use(both.conn, both.vault).by_place) == {1: 3}
    seen: list[int] = []
    done = rotate_keys(both.conn, both.vault, on_progress=seen.append)
    assert (done.renewed, done.complete, sum(seen)) == (3, True, 3)
    assert key_use(both.conn, both.vault).on_old_keys == 0
    assert _tokens(_on(old, NEW)) == tokens
    assert old.rows(rest) == before
    again = rotate_keys(both.conn, both.vault)
    assert (again.renewed, again.complete) == (0, True)


def test_a_rotation_that_was_cut_off_is_run_again(old: Bench) -> None:
    both = _on(old, NEW, OLD)

    def cut_off(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate_keys(both.conn, both.vault, on_progress=cut_off)
    done = rotate_keys(both.conn, both.vault)
    assert done.complete
    assert dict(key_use(both.conn, both.vault).by_place) == {0: 3}


def test_a_process_that_still_has_the_old_key_in_front_is_found_and_made_good(old: Bench) -> None:
    both = _on(old, NEW, OLD)
    assert rotate_keys(both.conn, both.vault).complete
    _on(old, OLD, NEW).import_stores("S004")
    assert key_use(both.conn, both.vault).on_old_keys == 1
    assert rotate_keys(both.conn, both.vault).renewed == 1
    assert key_use(both.conn, both.vault).on_old_keys == 0


def test_a_row_that_a_refresh_has_claimed_is_come_back_to(old: Bench, db_url: str) -> None:
    both = _on(old, NEW, OLD)
    with psycopg.connect(db_url, autocommit=True) as holder:
        store = TokenStore(holder)
        claim = store.claim(store.read("S002"), uuid4(), timedelta(minutes=10))
        assert claim is not None
        done = rotate_keys(both.conn, both.vault, patience_s=0.3)
        assert (done.renewed, done.busy, done.complete) == (2, ("S002",), False)
        assert dict(key_use(both.conn, both.vault).by_place) == {0: 2, 1: 1}
        release = threading.Timer(0.5, store.release, [claim], {"answered": True})
        release.start()
        assert rotate_keys(both.conn, both.vault).renewed == 1
        release.join()


def test_a_row_that_is_gone_is_not_waited_for(old: Bench, db_url: str) -> None:
    both = _on(old, NEW, OLD)
    with psycopg.connect(db_url) as holder:
        holder.execute("DELETE FROM stores WHERE store_code = 'S002'")
        release = threading.Timer(0.5, holder.commit)
        release.start()
        assert rotate_keys(both.conn, both.vault).complete
        release.join()


def test_swapped_rows_are_refused_by_the_sync_and_by_the_rotation(old: Bench) -> None:
    old.conn.execute(
        "UPDATE store_tokens AS t SET access_token = o.access_token,"
        " refresh_token = o.refresh_token FROM store_tokens AS o"
        " WHERE (t.store_code, o.store_code) IN (('S001', 'S002'), ('S002', 'S001'))"
    )
    with old.client("S001") as client, pytest.raises(ConfigurationError, match="belongs to S002"):
        client.tokens.access_token()
    both = _on(old, NEW, OLD)
    done = rotate_keys(both.conn, both.vault)
    assert set(done.unreadable) == {"S001", "S002"}
    assert "Rows with tokens were mixed up" in done.unreadable["S001"]
    assert dict(key_use(both.conn, both.vault).by_place) == {0: 1, 1: 2}


def test_a_key_that_opens_nothing_is_named_with_what_to_do(old: Bench) -> None:
    wrong = _on(old, NEW, OTHER)
    with pytest.raises(ConfigurationError, match=r"^TIKTOK_TOKEN_KEYS is wrong: none") as caught:
        check_keys(wrong.conn, wrong.vault)
    assert f"fingerprint {fingerprint(NEW)}, {fingerprint(OTHER)}" in str(caught.value)
    assert NEW not in str(caught.value)
    done = rotate_keys(wrong.conn, wrong.vault)
    assert (done.renewed, len(done.unreadable)) == (0, 3)
    assert len(_tokens(old)) == 3  # and nothing was written


def test_stores_under_a_lost_key_are_named_and_hold_nobody_up(old: Bench) -> None:
    lost = _on(old, OTHER)
    lost.import_stores("S002")
    use = check_keys(old.conn, old.vault)
    assert use.unreadable == ("S002",)
    said = unreadable_message(use, old.vault)
    assert said.startswith("TIKTOK_TOKEN_KEYS opens the tokens of 2 stores, but not those of 1: S0")
    both = _on(old, NEW, OLD)
    done = rotate_keys(both.conn, both.vault)
    assert (done.renewed, set(done.unreadable), done.complete) == (2, {"S002"}, False)


def test_a_row_whose_tokens_are_under_two_keys_needs_the_older_one(old: Bench) -> None:
    both = _on(old, NEW, OLD)
    fresh = both.vault.encrypt("act.x", store_code="S001", kind="access")
    old.conn.execute("UPDATE store_tokens SET access_token = %s WHERE store_code = 'S001'", [fresh])
    assert dict(key_use(both.conn, both.vault).by_place) == {1: 3}
    assert dict(key_use(old.conn, _on(old, NEW).vault).by_place) == {}


def test_no_store_at_all_is_no_wrong_key(conn: Connection) -> None:
    assert check_keys(conn, TokenVault((NEW,))).rows == 0


def test_the_pages_hold_every_row_once(old: Bench) -> None:
    for size in (1, 2, 3, 4):
        pages = list(read_pages(old.conn, SEALED_TABLES[0], size))
        assert [row.key for page in pages for row in page] == ["S001", "S002", "S003"]


def test_a_table_that_is_added_is_rotated_too(old: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    old.conn.execute(
        "CREATE TABLE waiting (id bigint PRIMARY KEY, store_code text, sealed bytea, empty bytea)"
    )
    sealed = old.vault.encrypt("rft.x", store_code="S001", kind="refresh")
    old.conn.execute("INSERT INTO waiting VALUES (7, 'S001', %s, NULL)", [sealed])
    table = SealedTable("waiting", key="id", columns={"sealed": "refresh", "empty": "access"})
    for module in ("sealed_rows", "key_rotation"):
        monkeypatch.setattr(
            f"include.tiktok_sync.tokens.{module}.SEALED_TABLES", (*SEALED_TABLES, table)
        )
    both = _on(old, NEW, OLD)
    assert rotate_keys(both.conn, both.vault).renewed == 4
    found = old.row("SELECT * FROM waiting")
    fresh = _on(old, NEW).vault.decrypt(found["sealed"], store_code="S001", kind="refresh")
    assert (fresh, found["empty"]) == ("rft.x", None)


def test_a_fingerprint_names_a_key_and_holds_nothing_of_it() -> None:
    assert fingerprint(NEW) == fingerprint(NEW) != fingerprint(OLD)
    assert len(fingerprint(NEW)) == 8
    assert fingerprint(NEW) not in NEW


def _work(bench: Bench, codes: list[str], under_way: threading.Event) -> None:
    app = bench.app
    with psycopg.connect(bench.db_url, autocommit=True) as conn, app.transport() as http:
        for code in codes:
            run = StoreRun(USER_JOB, "night", code, today(), stores_in_run=STORES)
            client: Callable[[], TikTokClient] = partial(
                app.client, code, http=http, conn=conn, settings=bench.settings
            )
            run_store(run, open_client=client, repository=StoreRepository(conn))
            under_way.set()


def test_a_rotation_during_a_sync_of_300_stores_fails_none_and_leaves_none(bench: Bench) -> None:
    """Most of them must refresh too, as the rotation passes them."""
    bench.sandbox.admin("PATCH", "/settings", json={"stores": STORES})
    codes = [store["store_code"] for store in bench.sandbox.admin("GET", "/stores")]
    for code in codes[::2]:
        bench.grant(code, expire_access=True)
    _on(bench, OLD).import_stores()
    bench.sandbox.admin("PATCH", "/settings", json={"latency": {"oauth_token": 0.05}})
    StoreRepository(bench.conn).ensure_partitions(today().date)
    both, under_way = _on(bench, NEW, OLD), threading.Event()
    with ThreadPoolExecutor(WORKERS) as pool:
        workers = [
            pool.submit(_work, both, codes[number::WORKERS], under_way) for number in range(WORKERS)
        ]
        assert under_way.wait(PATIENCE_S)
        done = rotate_keys(bench.conn, both.vault)
        still_running = not all(worker.done() for worker in workers)
        for worker in workers:
            worker.result(PATIENCE_S)
    assert still_running  # else nothing was shown
    assert done.complete
    outcomes = bench.rows("SELECT status, count(*) FROM sync_logs GROUP BY 1")
    assert outcomes == [{"status": "success", "count": STORES}]
    stats = bench.stats()
    assert (stats["refresh_calls"], stats["dead_token_uses"]) == (REFRESHES, 0)
    assert done.renewed >= STORES - REFRESHES  # some were refreshed under the new key before
    assert dict(key_use(bench.conn, both.vault).by_place) == {0: STORES}
    assert len(_tokens(_on(bench, NEW))) == STORES
