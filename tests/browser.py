"""A real Chromium for tests that look at pages, and the pictures they leave behind.

Playwright drives the Chromium of the system (Debian's package; its own download is not used).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

ARTIFACTS = Path(__file__).resolve().parents[1] / "test-artifacts"
"""Screenshots of the last run; not committed."""

DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}

PATIENCE_MS = 60_000
"""How long a page may take on a busy machine; ``expect`` alone would give it 5 s."""

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Nothing may be requested from the network except the page under test.
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Headless Chromium; skips the test where none is installed."""
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed: make test-tools (as root), or your own package")
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()  # root has no user namespaces
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*_QUIET, *sandbox])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, viewport: ViewportSize = DESKTOP, **context: Any) -> Iterator[Page]:
    """A page in a context of its own: no cookies, nothing cached.

    Args:
        browser: From :func:`running_browser`.
        viewport: Size in CSS pixels, such as :data:`PHONE`.
        context: Further options of Playwright's ``new_context``, such as ``color_scheme``.
    """
    opened = browser.new_context(viewport=viewport, **context)
    opened.set_default_timeout(PATIENCE_MS)
    try:
        yield opened.new_page()
    finally:
        opened.close()


def screenshot(page: Page, name: str) -> Path:
    """Keep what the page looks like, whole, as ``test-artifacts/NAME.png``."""
    ARTIFACTS.mkdir(exist_ok=True)
    file = ARTIFACTS / f"{name}.png"
    page.screenshot(path=file, full_page=True)
    return file
