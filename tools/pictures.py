"""The pictures of README, taken from the running stack: ``make pictures``."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, ViewportSize

from include.local.stack import Stack
from tests.browser import open_page, running_browser

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
"""Committed, and shown by README."""

_SIZE: ViewportSize = {"width": 1200, "height": 800}
_COLOURS = 128
"""A palette of this size makes a picture a third of the bytes, and no text harder to read."""
_DAG = "sync_user_daily"


def _log_in(page: Page, stack: Stack) -> None:
    users = json.loads(stack.workspace.password_file.read_text(encoding="utf-8"))
    page.goto(stack.settings.airflow_url)
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(users["admin"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="TikTok", exact=True).wait_for()


def _status_page(page: Page) -> None:
    page.get_by_role("link", name="TikTok", exact=True).click()
    page.frame_locator("iframe").get_by_role("heading", name="TikTok sync").wait_for()


def _newest_run(page: Page, stack: Stack) -> None:
    runs = f"{stack.settings.airflow_url}/api/v2/dags/{_DAG}/dagRuns"
    answer = page.request.get(runs, params={"order_by": "-run_after", "limit": 1})
    (run,) = answer.json()["dag_runs"]
    page.goto(f"{stack.settings.airflow_url}/dags/{_DAG}/runs/{run['dag_run_id']}")
    page.get_by_text("record_summary").first.wait_for()


def _keep(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(_COLOURS)
    file = PICTURES / f"{name}.png"
    picture.save(file, optimize=True)
    sys.stderr.write(f"Wrote {file} ({file.stat().st_size // 1024} KB)\n")


def main() -> None:
    """Take both pictures in the light theme.

    Raises:
        SystemExit: There is no Chromium, or the stack has no run yet.
    """
    stack = Stack.load()
    if not stack.workspace.password_file.exists():
        sys.exit("There is no stack to take pictures of. Start one: make sync")
    PICTURES.mkdir(exist_ok=True)
    try:
        with running_browser() as browser, open_page(browser, _SIZE, color_scheme="light") as page:
            _log_in(page, stack)
            _status_page(page)
            _keep(page, "status-page")
            _newest_run(page, stack)
            _keep(page, "run-in-the-grid")
    except pytest.skip.Exception as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
