"""The pages that are written from the code are as the code is now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.pages.dags_page import dags_page
from tools.pages.metrics_page import metrics_page

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    ("name", "page"), [("dags", dags_page), ("metrics", metrics_page)], ids=["dags", "metrics"]
)
def test_page_is_up_to_date(name: str, page: Callable[[], str]) -> None:
    file = DOCS / f"{name}.md"
    # When this fails: make dags-doc metrics-doc
    assert file.read_text(encoding="utf-8") == page()


def test_page_of_the_dags_has_each_dag_with_its_text_and_tasks(
    dagbag: object, pools: dict[str, int]
) -> None:
    page = dags_page()
    for dag in dagbag.dags.values():  # type: ignore[attr-defined] # DagBag's own is untyped
        assert f"## `{dag.dag_id}`" in page
        assert dag.doc_md.strip() in page
        for task in dag.tasks:
            assert f"\n| `{task.task_id}` | " in page
    for pool in pools:
        assert f"`{pool}` | 3 |" in page
