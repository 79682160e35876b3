"""``python -m tools.pages PAGE``: print a page of ``docs/`` as it must be now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import tests.conftest  # noqa: F401 - Airflow, with a home of its own
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection, connect
from tools.pages.dags_page import dags_page
from tools.pages.dictionary_page import data_dictionary
from tools.pages.lifecycle_page import lifecycle_block
from tools.pages.meanings_page import meanings_page
from tools.pages.metrics_page import metrics_page
from tools.pages.privacy_page import privacy_page
from tools.pages.rooms_page import rooms_block


def _of_database(page: Callable[[Connection], str]) -> str:
    """From the running stack: ``make`` sets ``STORE_DB_URL``."""
    url = Settings.from_env().required("store_db_url")
    with connect(url, application_name="tiktok_sync:pages") as conn:
        return page(conn)


PAGES: Mapping[str, Callable[[], str]] = {
    "dags": dags_page,
    "dictionary": lambda: _of_database(data_dictionary),
    "lifecycle": lifecycle_block,
    "meanings": meanings_page,
    "metrics": metrics_page,
    "privacy": lambda: _of_database(privacy_page),
    "rooms": rooms_block,
}

sys.stdout.write(PAGES[sys.argv[1]]())
