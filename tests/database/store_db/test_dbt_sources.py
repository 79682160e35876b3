"""Do the views and columns that the dbt package reads exist, for the role that it reads as?

`make dbt-test` builds the package; this is what a migration could break.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import personal_columns
from include.tiktok_sync.store_db.roles import NAMES

DBT = Path(__file__).resolve().parents[3] / "dbt"
STAGING = sorted((DBT / "models" / "staging").glob("*.sql"))
SOURCES = {
    table["name"]: {column["name"] for column in table["columns"]}
    for source in yaml.safe_load((DBT / "models/staging/sources.yml").read_text(encoding="utf-8"))[
        "sources"
    ]
    for table in source["tables"]
}


def read_by(model: str) -> set[str]:
    """The view that a staging model reads, also with late rows."""
    return {
        name
        for view in re.findall(r"(?:source\('tiktok_stores', |daily_source\()'(\w+)'", model)
        for name in (view, f"{view}_with_late")
        if name in SOURCES
    }


def test_every_source_and_column_is_in_the_database(conn: Connection) -> None:
    found = dict(
        conn.execute(
            "SELECT c.relname::text, array_agg(a.attname::text) FROM pg_class AS c"
            " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
            " WHERE c.relkind = 'v' GROUP BY 1"
        ).fetchall()
    )

    for view, columns in SOURCES.items():
        assert columns <= set(found.get(view, ())), view


@pytest.mark.parametrize("file", STAGING, ids=lambda file: file.stem)
def test_a_staging_model_declares_what_it_reads_and_masks_names(
    conn: Connection, file: Path
) -> None:
    model = file.read_text(encoding="utf-8")
    selected = re.sub(r"--.*", "", model.partition("select")[2].partition("from {{")[0])
    masked = set(re.findall(r"personal\('(\w+)'\)", selected))
    plain = {
        line.split()[0] for line in selected.replace(",", "\n").splitlines() if line.strip()
    } - {"{{"}
    views = read_by(model)
    assert views

    for view in views:
        declared = SOURCES[view.removesuffix("_with_late")]
        assert plain | masked <= declared, view
        closed = {found.column for found in personal_columns(conn) if found.table == view} | NAMES
        assert masked <= closed
        assert not plain & closed
