"""Does every query that README and docs/ show run on this schema, and show what it promises?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from include.tiktok_sync.jobs import USER_JOB
from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import Bench, rows

ROOT = Path(__file__).resolve().parents[4]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUERIES = [
    query
    for page in PAGES
    for query in re.findall(
        r"^```sql\n(.+?);\n```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
]


def _story(conn: Connection, run_id: str) -> list[dict[str, Any]]:
    (query,) = (found for found in QUERIES if "attempts > 1" in found)
    return rows(conn, query.replace("'…'", "%s"), run_id)


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_a_query_runs_as_it_stands(conn: Connection, number: int) -> None:
    assert rows(conn, QUERIES[number].replace("%", "%%")) == []


def test_there_are_queries() -> None:
    assert len(QUERIES) >= 8


@pytest.mark.usefixtures("no_waits")
def test_the_story_names_the_stores_that_struggled_and_no_others(bench: Bench) -> None:
    bench.import_stores("S001", "S002")
    rules = [{"fault": "internal_error", "times_per_store": 2, "stores": ["S002"]}]
    bench.sandbox.admin("POST", "/faults", json={"rules": rules})
    for code in ("S001", "S002"):
        bench.sync(USER_JOB, code, run_id="night")
    (line,) = _story(bench.conn, "night")
    assert (line["store_code"], line["status"], line["repeats"]) == ("S002", "success", "2")
