"""In Airflow's UI, in a real browser: trigger a store, see why it failed, clear it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Response

from include.local.stack import Stack
from include.tiktok_sync.doctor.airflow_client import ADMIN
from tests.browser import open_page, screenshot
from tests.e2e.conftest import RunningStack
from tests.e2e.operating import DAG, TASK, Operator, operating

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

BROKEN = "S006"


@pytest.fixture
def operator(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operating(stack, tmp_path_factory.mktemp("stores")) as found:
        yield found


def log_in(page: Page, stack: RunningStack) -> None:
    password = Stack.load(dict(stack.env)).settings.env["AIRFLOW_ADMIN_PASSWORD"]
    page.goto(f"{stack.airflow_url}/")
    page.fill("input[name=username]", ADMIN)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.get_by_role("link", name="Dags").first.wait_for()


def trigger(page: Page, operator: Operator) -> str:
    """Give the store's code in the form and trigger; the run's id."""
    before = runs(operator)
    page.goto(f"{operator.stack.airflow_url}/dags/{DAG}")
    page.get_by_role("button", name="Trigger").first.click()
    page.locator("#element_stores").fill(BROKEN)
    screenshot(page, "tasks-trigger-form")
    page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    deadline = time.monotonic() + 300
    while not (new := runs(operator) - before):
        assert time.monotonic() < deadline, "nothing was triggered"
        time.sleep(0.5)
    (run_id,) = new
    return run_id


def really_clears(answer: Response) -> bool:
    """Whether it answers the clearing itself; the dialog asks before what would be cleared."""
    asked = (answer.request.post_data or "").replace(" ", "")
    return "clearTaskInstances" in answer.url and '"dry_run":false' in asked


def runs(operator: Operator) -> set[str]:
    found = operator.api._get(f"/api/v2/dags/{DAG}/dagRuns", {"limit": 100})
    return {run["dag_run_id"] for run in found["dag_runs"]}


def test_a_store_is_triggered_by_name_fails_with_its_reason_and_is_cleared(
    operator: Operator, browser: Browser
) -> None:
    operator.faults({"fault": "unknown_code_400", "stores": [BROKEN]})
    with open_page(browser) as page:
        log_in(page, operator.stack)
        run_id = trigger(page, operator)
        assert operator.end(run_id) == "failed"
        run = f"{operator.stack.airflow_url}/dags/{DAG}/runs/{quote(run_id, safe='')}"

        page.goto(f"{run}/tasks/{TASK}/mapped/0")
        name = f"{BROKEN} · failed: TikTok refuses the request as this version writes it"
        page.get_by_text(f"{TASK} [{name}]").wait_for()
        page.get_by_text("The API may have changed; report it with the log_id. (").last.wait_for()
        screenshot(page, "tasks-failed-log")

        operator.faults()
        page.get_by_role("button", name="Press shift+c to clear").first.click()
        with page.expect_response(really_clears) as cleared:
            page.get_by_role("button", name="Confirm").click()
        assert cleared.value.status == 200
        assert operator.end(run_id) == "success"
        page.goto(f"{run}/tasks/{TASK}/mapped/0")
        page.get_by_text(f"{TASK} [{BROKEN} · Profile of the day: ").wait_for()
        screenshot(page, "tasks-cleared")
    assert operator.summary(run_id) == ("success", "1 of 1 stores synced")
