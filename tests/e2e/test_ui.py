"""An operator with nothing but the browser: start a sync, watch it, find what failed, mend it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from urllib.parse import quote, urlencode

import psycopg
import pytest
import requests
from playwright.sync_api import Browser, FrameLocator, Page, expect

from include.local.stack import Stack
from tests.browser import open_page, screenshot
from tests.e2e.conftest import READER, STORES, RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DAG = "sync_user_daily"
BROKEN = ("S005", "S006")
LATE = tuple(f"S{number:03d}" for number in range(STORES - 9, STORES + 1))
REFUSED = "TikTok refuses the request as this version writes it"
PATIENCE_MS = 240_000


@pytest.fixture(scope="module")
def ready(stack: RunningStack) -> RunningStack:
    """The stack with its stores, whichever test was before."""
    with psycopg.connect(stack.db_url) as conn:
        usable = conn.execute(
            "SELECT count(*) FROM stores JOIN store_tokens USING (store_code)"
            " WHERE is_active AND status = 'active'"
        ).fetchone()
    if usable != (STORES,):
        done = stack.sync()
        assert done.returncode == 0, done.stdout + done.stderr
    api = stack.api
    for dag_id in ("sync_user_daily", "sync_video_daily"):
        api.unpause(dag_id)
    return stack


@pytest.fixture
def trouble(ready: RunningStack) -> Iterator[str]:
    """Two stores refused, ten slow ones; gives the address that heals TikTok."""
    address = f"{ready.sandbox_url}/admin/faults"
    rules = [
        {"fault": "unknown_code_400", "stores": list(BROKEN), "endpoints": ["user_info"]},
        # The page must come to see some stores done, not all, however slow the machine is: the
        # longest wait that the client still bears, for the stores of the second wave.
        {"fault": "slow", "seconds": 25, "stores": list(LATE), "endpoints": ["user_info"]},
    ]
    requests.post(address, json={"rules": rules}, timeout=60).raise_for_status()
    yield address
    requests.delete(address, timeout=60).raise_for_status()


def password(stack: RunningStack, user: str) -> str:
    file = Stack.load(stack.env).workspace.password_file
    return str(json.loads(file.read_text(encoding="utf-8"))[user])


def session(stack: RunningStack, user: str) -> requests.Session:
    """As the browser is after the login: with a cookie."""
    login = {"username": user, "password": password(stack, user)}
    answer = requests.post(f"{stack.airflow_url}/auth/token", json=login, timeout=60)
    answer.raise_for_status()
    opened = requests.Session()
    opened.cookies.set("_token", answer.json()["access_token"])
    return opened


def log_in(page: Page, stack: RunningStack) -> None:
    page.goto(stack.airflow_url)
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password(stack, "admin"))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="TikTok", exact=True).wait_for()


def status_page(page: Page) -> FrameLocator:
    page.get_by_role("link", name="TikTok", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="TikTok sync").wait_for()
    return frame


def watch(frame: FrameLocator) -> list[int]:
    """How many stores were done at each look until the run has ended."""
    seen: list[int] = []
    running = frame.get_by_role("region", name="Running now")
    deadline = time.monotonic() + PATIENCE_MS / 1000
    # One look at a time: between two the page may reload itself.
    while "No sync is running" not in (text := running.inner_text()):
        assert time.monotonic() < deadline, text
        seen += [int(done) for done in re.findall(rf"(\d+) of {STORES} stores", text)]
        time.sleep(0.5)
    return seen


def test_the_api_server_does_the_first_pages_work_when_it_starts(ready: RunningStack) -> None:
    log = Stack.load(ready.env).workspace.log_file("api-server").read_text(encoding="utf-8")
    told = [line for line in log.splitlines() if "Status page warmed up" in line]
    assert told
    # At the very first start the connection to the store database is not loaded yet.
    assert not [line for line in told if "'Airflow'" in line or "'templates'" in line]


def test_a_run_is_started_watched_and_mended_in_the_browser(
    ready: RunningStack, trouble: str, browser: Browser
) -> None:
    with open_page(browser) as page:
        page.set_default_timeout(PATIENCE_MS)
        log_in(page, ready)
        page.goto(f"{ready.airflow_url}/dags/{DAG}")
        page.get_by_role("button", name="Trigger").first.click()
        form = page.get_by_role("dialog")
        expect(form).to_contain_text("Run Parameters", timeout=PATIENCE_MS)
        screenshot(page, "ui-trigger-form")
        form.get_by_role("button", name="Trigger", exact=True).click()
        form.wait_for(state="detached")

        frame = status_page(page)
        expect(frame.get_by_role("region", name="Running now")).to_contain_text(
            re.compile(rf"[1-9]\d* of {STORES} stores"), timeout=PATIENCE_MS
        )
        screenshot(page, "ui-status-running")
        seen = watch(frame)
        assert any(0 < done < STORES for done in seen), seen

        failing = frame.get_by_role("region", name="Stores that fail")
        expect(failing).to_contain_text(BROKEN[0], timeout=PATIENCE_MS)
        assert REFUSED in failing.inner_text()
        screenshot(page, "ui-status-failed")

        run_id = newest_run(ready)
        open_log(page, ready, run_id, BROKEN[0])
        expect(page.get_by_text(REFUSED).first).to_be_visible(timeout=PATIENCE_MS)
        screenshot(page, "ui-failed-log")
        requests.delete(trouble, timeout=60).raise_for_status()
        page.get_by_role("button", name=re.compile("^Press .* to clear$")).first.click()
        page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
        expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
        screenshot(page, "ui-cleared-log")
        # A summary that is being made would be tried again only after its retry delay of a minute.
        ready.end(DAG, run_id)

        page.goto(f"{ready.airflow_url}/dags/{DAG}/runs/{quote(run_id, safe='')}")
        page.get_by_role("link", name="Stores", exact=True).click()
        frame = page.frame_locator("iframe")
        frame.get_by_role("link", name="Failed (1)").wait_for()
        screenshot(page, "ui-run-report")
        frame.get_by_role("button", name=re.compile("^Retry failed stores")).click()
        expect(frame.get_by_role("status")).to_contain_text("1 failed task cleared")
        frame.get_by_role("link", name="Failed (0)").wait_for()
        frame.get_by_text(f"{STORES} of {STORES} stores synced").wait_for()
        screenshot(page, "ui-run-mended")


def newest_run(stack: RunningStack) -> str:
    with psycopg.connect(stack.db_url) as conn:
        row = conn.execute(
            "SELECT run_id FROM sync_logs WHERE job_name = %s AND store_code IS NULL"
            " ORDER BY run_time DESC LIMIT 1",
            [DAG],
        ).fetchone()
    assert row
    return str(row[0])


def open_log(page: Page, stack: RunningStack, run_id: str, code: str) -> None:
    run = quote(run_id, safe="")
    answer = session(stack, "admin").get(
        f"{stack.airflow_url}/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances",
        params={"state": "failed"},
        timeout=60,
    )
    indices = {
        # Behind the store's code stands its result.
        task["rendered_map_index"].split(" · ")[0]: task["map_index"]
        for task in answer.json()["task_instances"]
    }
    assert set(indices) == set(BROKEN)
    address = f"/dags/{DAG}/runs/{run}/tasks/sync_store_user/mapped/{indices[code]}"
    page.goto(stack.airflow_url + address)


def test_nobody_sees_or_presses_more_than_airflow_lets_them(ready: RunningStack) -> None:
    url = f"{ready.airflow_url}/tiktok-sync/"
    run = urlencode({"dag_id": DAG, "run_id": "any"})
    pages = ("", "live", "stores", "new-stores", "store?code=S001", f"run?{run}", f"run.csv?{run}")
    for path in pages:
        assert requests.get(url + path, timeout=60).status_code == 401
    forms = {
        "sync-store": {"store_code": "S001"},
        "retry-failed": {"dag_id": DAG, "run_id": newest_run(ready)},
        "add-store": {"code": "N1", "name": "New"},
        "import-stores": {"csv_text": "store_code,store_name,region\nN1,New,\n"},
        "connect-link": {"store_code": "S001"},
        "connect-links.csv": {"again": "true"},
    }
    for path, form in forms.items():
        assert requests.post(url + path, form, timeout=60).status_code == 401

    before = run_ids(ready)
    admin, reader = session(ready, "admin"), session(ready, READER)
    shown = admin.get(f"{url}store?code=S001", timeout=60).text
    assert "Sync this store now" in shown
    assert "Make a connect link" in shown
    page = reader.get(f"{url}store?code=S001", timeout=60)
    assert page.status_code == 200
    assert "Sync this store now" not in page.text
    assert "Make a connect link" not in page.text
    assert reader.get(f"{url}new-stores", timeout=60).status_code == 403
    token = csrf_token(admin.get(f"{url}store?code=S001", timeout=60).text)
    own = {"Sec-Fetch-Site": "same-origin"}
    # The admin's own cookies and token, sent in the reader's name, and the other way round.
    reader.cookies.set("tiktok_sync_session", admin.cookies["tiktok_sync_session"])
    for path, form in forms.items():
        signed = {**form, "csrf_token": token}
        assert reader.post(url + path, signed, headers=own, timeout=60).status_code == 403
        cross = {"Sec-Fetch-Site": "cross-site"}
        assert admin.post(url + path, signed, headers=cross, timeout=60).status_code == 403
        assert admin.post(url + path, form, headers=own, timeout=60).status_code == 403
    assert run_ids(ready) == before


def test_a_link_made_on_the_page_opens_the_connect_app(ready: RunningStack) -> None:
    admin, url = session(ready, "admin"), f"{ready.airflow_url}/tiktok-sync/"
    token = csrf_token(admin.get(f"{url}store?code=S003", timeout=60).text)
    form = {"csrf_token": token, "store_code": "S003", "days": "1"}
    own = {"Sec-Fetch-Site": "same-origin"}
    answer = admin.post(f"{url}connect-link", form, headers=own, timeout=60)
    assert answer.status_code == 200, answer.text
    found = re.search(r">(http://127\.0\.0\.1:\d+/c/[^<]+)<", answer.text)
    assert found
    manager = requests.get(found[1], timeout=60)
    assert manager.status_code == 200
    with psycopg.connect(ready.db_url) as conn:
        name, actor = conn.execute(
            "SELECT store_name, (SELECT actor FROM store_audit AS a"
            " WHERE a.store_code = s.store_code AND action = 'link' ORDER BY id DESC LIMIT 1)"
            " FROM stores AS s WHERE store_code = 'S003'"
        ).fetchall()[0]
        # The reader pressed it too, in vain.
        assert conn.execute("SELECT FROM connect_links WHERE created_by ~ 'reader'").rowcount == 0
    assert actor == "airflow:admin"
    assert unescape(manager.text).count(name) >= 1


def test_one_store_is_synced_at_the_press_of_a_button(
    ready: RunningStack, browser: Browser
) -> None:
    before = run_ids(ready)
    with open_page(browser, color_scheme="dark") as page:
        page.set_default_timeout(PATIENCE_MS)
        log_in(page, ready)
        frame = status_page(page)
        frame.get_by_role("link", name="Stores", exact=True).click()
        with switched_off(ready, "sync_video_daily"):
            frame.get_by_role("link", name="S007", exact=True).click()
            expect(frame.get_by_text("Switched off in Airflow: sync_video_daily")).to_be_visible()
            frame.get_by_role("button", name="Sync this store now").click()
            told = frame.get_by_role("status")
            expect(told).to_contain_text("Two runs for S007")
            expect(told).to_contain_text("sync_video_daily is switched off in Airflow")
            screenshot(page, "ui-store-switched-off")
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while len(new := run_ids(ready) - before) < 2:
            assert time.monotonic() < deadline
            time.sleep(1)
        page.reload()
        frame.get_by_role("heading", name="S007").wait_for()
        # As Airflow's own pages are, whatever made them so.
        expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
        screenshot(page, "ui-store-dark")
    assert {job for job, _, _ in new} == {"sync_user_daily", "sync_video_daily"}
    assert {(status, stores) for _, status, stores in synced(ready, new)} == {("success", 1)}


@contextmanager
def switched_off(stack: RunningStack, dag_id: str) -> Iterator[None]:
    """A Dag paused, as by its switch in the UI."""

    def switch(*, paused: bool) -> None:
        address = f"{stack.airflow_url}/api/v2/dags/{dag_id}"
        body = {"is_paused": paused}
        session(stack, "admin").patch(address, json=body, timeout=60).raise_for_status()

    switch(paused=True)
    try:
        yield
    finally:
        switch(paused=False)


Run = tuple[str, str, str]


def run_ids(stack: RunningStack) -> set[Run]:
    """Dag, run id and status of every run that has ended."""
    with psycopg.connect(stack.db_url) as conn:
        return set(
            conn.execute("SELECT job_name, run_id, status FROM sync_logs WHERE store_code IS NULL")
        )


def synced(stack: RunningStack, runs: set[Run]) -> list[tuple[str, str, int]]:
    with psycopg.connect(stack.db_url) as conn:
        return conn.execute(
            "SELECT job_name, status, (details ->> 'stores')::integer FROM sync_logs"
            " WHERE store_code IS NULL AND run_id = ANY(%s)",
            [[run_id for _, run_id, _ in runs]],
        ).fetchall()


def csrf_token(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found
    return found[1]
