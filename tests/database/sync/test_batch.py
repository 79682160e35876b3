"""Does every store of a batch get its own outcome, and a second try only what is left?"""

from __future__ import annotations

from collections import Counter

import pytest

from include.tiktok_sync.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    NeedsConsentError,
    RetriableError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.jobs import REFRESH_JOB, StoreRun
from include.tiktok_sync.sync import store_run
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_batch import cut, run_batch
from tests.database.bench import UTC, Bench, insert_grants, today

CODES = ["S001", "S004", "S008", "S012"]  # the first is fresh, the others come expired
DEAD = "S008"

pytestmark = pytest.mark.usefixtures("no_waits")


def _run(bench: Bench, codes: list[str]) -> None:
    runs = [StoreRun(REFRESH_JOB, "night", code, today(), len(codes)) for code in codes]
    app = bench.app
    with app.transport() as http:
        run_batch(
            runs,
            open_client=lambda code: app.client(
                code, http=http, conn=bench.conn, settings=bench.settings
            ),
            repository=StoreRepository(bench.conn),
        )


def _outcomes(bench: Bench) -> dict[str, tuple[str, int]]:
    found = bench.rows("SELECT store_code, status, attempts FROM sync_logs")
    return {line["store_code"]: (line["status"], line["attempts"]) for line in found}


def test_each_store_has_its_own_row_and_a_dead_grant_stops_nobody(bench: Bench) -> None:
    bench.import_stores(*CODES)
    bench.grant(DEAD, revoke=True)
    bench.conn.execute("SET TIME ZONE 'Asia/Tokyo'")
    _run(bench, CODES)
    assert _outcomes(bench) == {
        code: ("skipped" if code == DEAD else "success", 1) for code in CODES
    }
    assert bench.stats()["refreshes"] == {"S004": 1, "S012": 1}
    ends = bench.row("SELECT access_expires_at FROM store_tokens WHERE store_code = 'S001'")
    until = f"{ends['access_expires_at'].astimezone(UTC):%H:%M} UTC"
    assert bench.log_row("S001")["message"] == f"Token still good, valid until {until}"
    assert bench.log_row("S004")["message"].startswith("Token refreshed, valid until ")


def test_a_token_that_is_good_now_but_not_all_night_is_refreshed_ahead(bench: Bench) -> None:
    bench.import_stores("S001", "S002")
    bench.conn.execute(
        "UPDATE store_tokens SET access_expires_at = now() + interval '1 hour'"
        " WHERE store_code = 'S001'"
    )
    with bench.client("S001") as client:
        client.tokens.access_token()
        assert client.tokens.refreshes == 0  # for a sync alone it would do
    _run(bench, ["S001", "S002"])
    assert bench.stats()["refreshes"] == {"S001": 1}


def test_a_second_try_does_only_what_is_left_and_a_third_by_hand_does_all(bench: Bench) -> None:
    bench.import_stores(*CODES)

    def fail(code: str) -> None:
        jobs = {**store_run.JOBS}
        work = jobs[REFRESH_JOB]

        def job(run, *, client, repository):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - as StoreJob
            if run.store_code == code:
                message = "TikTok is away."
                raise TikTokUnavailableError(message, retry_after_s=40)
            return work(run, client=client, repository=repository)

        patch.setattr(store_run, "JOBS", {REFRESH_JOB: job})

    with pytest.MonkeyPatch.context() as patch:
        fail("S004")
        with pytest.raises(RetriableError, match="1 of 4 stores failed") as caught:
            _run(bench, CODES)
    assert caught.value.retry_after_s == 40
    assert _outcomes(bench)["S012"] == ("success", 1)
    _run(bench, CODES)
    assert _outcomes(bench) == {
        "S001": ("success", 1),
        "S004": ("success", 2),
        "S008": ("success", 1),
        "S012": ("success", 1),
    }
    _run(bench, CODES)
    assert {attempts for _, attempts in _outcomes(bench).values()} == {2, 3}


def test_a_batch_of_one_ends_as_its_store_does(bench: Bench) -> None:
    bench.import_stores(DEAD)
    bench.grant(DEAD, revoke=True)
    with pytest.raises(NeedsConsentError, match="has ended at TikTok"):
        _run(bench, [DEAD])
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('X', 'x')")
    with pytest.raises(NeedsConsentError, match=r"^Store X was never connected"):
        _run(bench, ["X"])


@pytest.mark.parametrize(
    ("stores", "per_task", "lengths"),
    [
        (0, None, {}),
        (1, None, {1: 1}),
        (500, None, {1: 500}),
        (501, None, {2: 250, 1: 1}),
        (1000, None, {2: 500}),
        (10_000, None, {20: 500}),
        (7, 3, {3: 2, 1: 1}),
        (120, 50, {50: 2, 20: 1}),
    ],
)
def test_every_store_is_in_one_task_and_there_are_500_tasks_at_most(
    stores: int, per_task: int | None, lengths: dict[int, int]
) -> None:
    codes = [f"S{number}" for number in range(stores)]
    batches = cut(codes, per_task)
    assert [code for batch in batches for code in batch] == codes
    assert Counter(map(len, batches)) == lengths


def test_what_no_other_try_can_mend_is_raised_as_it_is(bench: Bench) -> None:
    bench.import_stores("S001")
    bench.conn.execute("INSERT INTO stores (store_code, store_name) VALUES ('X', 'x')")
    insert_grants(bench.conn, "X")
    with pytest.raises(ConfigurationError, match="First: X: The refresh token of store X cannot"):
        _run(bench, ["X", "S001"])
    assert _outcomes(bench) == {"X": ("failed", 1), "S001": ("success", 1)}


def test_a_bug_in_one_store_is_raised_after_the_others_are_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.import_stores("S001", "S002")
    work = store_run.JOBS[REFRESH_JOB]

    def job(run, *, client, repository):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - as StoreJob
        if run.store_code == "S001":
            raise ZeroDivisionError
        return work(run, client=client, repository=repository)

    monkeypatch.setattr(store_run, "JOBS", {REFRESH_JOB: job})
    with pytest.raises(ZeroDivisionError):
        _run(bench, ["S001", "S002"])
    assert _outcomes(bench) == {"S001": ("failed", 1), "S002": ("success", 1)}


def test_a_lost_database_ends_the_batch_at_once(bench: Bench) -> None:
    bench.import_stores("S001", "S002")
    jobs = {**store_run.JOBS}
    tried: list[str] = []

    def job(run, *, client, repository):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - as StoreJob
        del client, repository
        tried.append(run.store_code)
        message = "gone"
        raise DatabaseUnavailableError(message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_run, "JOBS", {**jobs, REFRESH_JOB: job})
        with pytest.raises(SyncError, match="gone"):
            _run(bench, ["S001", "S002"])
    assert tried == ["S001"]
