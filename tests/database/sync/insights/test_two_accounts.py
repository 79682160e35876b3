"""Are figures kept out when the two grants of a store belong to different accounts?"""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.jobs import INSIGHTS_JOB, USER_JOB
from include.tiktok_sync.stores.importing.load import import_stores
from tests.database.bench import today
from tests.database.sync.insights.worlds import InsightsBench

pytestmark = pytest.mark.usefixtures("no_waits")

CODE, OTHER = "S001", "S002"
FIGURES = ["account_daily", "account_audience", "video_insights_daily"]


@pytest.fixture
def swapped(world: InsightsBench) -> InsightsBench:
    """Two stores whose second grants are swapped, after a sync of their profiles."""
    text = world.bench.sandbox.admin("GET", "/stores.csv", params={"codes": f"{CODE},{OTHER}"})
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    columns = [name for name in rows[0] if name.startswith("business_")]
    assert columns
    for name in columns:
        rows[0][name], rows[1][name] = rows[1][name], rows[0][name]
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    file.seek(0)
    assert import_stores(file, world.bench.conn, world.bench.vault).problems == []
    for code in (CODE, OTHER):
        world.bench.sync(USER_JOB, code)
    return world


def _names(world: InsightsBench) -> list[str]:
    found = world.bench.rows("SELECT username FROM user_daily_stats ORDER BY store_code")
    return [line["username"] for line in found]


def test_figures_of_another_account_are_not_written(swapped: InsightsBench) -> None:
    first, second = _names(swapped)
    night = swapped.night(today().date)
    grants = "SELECT store_code, open_id, status, status_reason FROM business_tokens"
    before = swapped.bench.rows(grants)

    with pytest.raises(DataError) as refused:
        swapped.sync(CODE, night)
    with pytest.raises(DataError, match="nothing was written"):
        swapped.sync(CODE, type(night)(night.date - timedelta(days=9), night.timezone))

    assert f"{first!r} by its first consent and {second!r} by its second" in str(refused.value)
    assert f"stores link {CODE} --business" in str(refused.value)
    assert swapped.bench.dump(FIGURES) == dict.fromkeys(FIGURES, "")
    assert swapped.calls() == {"get": 2}
    assert swapped.bench.rows(grants) == before
    found = swapped.bench.rows("SELECT status FROM sync_logs WHERE job_name = %s", INSIGHTS_JOB)
    assert [line["status"] for line in found] == ["failed", "failed"]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM user_daily_stats",
        "UPDATE user_daily_stats SET username = NULL",
        "UPDATE user_daily_stats SET observed_at = observed_at - interval '3 days'",
        "UPDATE store_tokens SET connected_at = now() + interval '1 hour'",
    ],
)
def test_without_a_fresh_name_nothing_is_compared(swapped: InsightsBench, change: str) -> None:
    swapped.bench.conn.execute(change.encode())
    assert swapped.sync(CODE, swapped.night(today().date)).details["days"] > 0


def test_the_same_name_in_other_letters_is_the_same_account(swapped: InsightsBench) -> None:
    swapped.bench.conn.execute(
        "UPDATE user_daily_stats SET username = upper(%s) WHERE store_code = %s",
        [_names(swapped)[1], CODE],
    )
    assert swapped.sync(CODE, swapped.night(today().date)).details["days"] > 0
