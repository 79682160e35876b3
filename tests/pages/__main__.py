"""``python -m tests.pages PAGE``: print a page of ``docs/`` as it must be now."""

from __future__ import annotations

import sys

import tests.conftest  # noqa: F401 - Airflow, with a home of its own
from tests.pages.dags_page import dags_page
from tests.pages.metrics_page import metrics_page

PAGES = {"dags": dags_page, "metrics": metrics_page}

sys.stdout.write(PAGES[sys.argv[1]]())
