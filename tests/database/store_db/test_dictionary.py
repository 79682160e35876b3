"""Is the data dictionary complete, and does the committed one describe this code's schema?"""

from __future__ import annotations

from pathlib import Path

from include.tiktok_sync.store_db.database import Connection
from tests.database.bench import rows
from tools.pages.dictionary_page import data_dictionary

FILE = Path(__file__).resolve().parents[3] / "docs" / "data-dictionary.md"


def test_the_committed_dictionary_is_the_schemas_own(conn: Connection) -> None:
    # When this fails: make up && make dictionary, and commit the file.
    assert FILE.read_text(encoding="utf-8") == data_dictionary(conn)


def test_every_table_view_and_column_is_in_it_and_no_partition(conn: Connection) -> None:
    text = data_dictionary(conn)

    names = rows(
        conn,
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
        " AND table_name !~ '_20[0-9]{2}_[0-9]{2}$'",
    )
    sections = {
        part.partition("\n")[0]: part for part in text.split("\n### ") if not part.startswith("#")
    }
    assert {name["table_name"] for name in names} == set(sections)
    for name in names:
        assert f"| `{name['column_name']}` |" in sections[name["table_name"]], name
    assert "| `store_code` | text | key |" in sections["stores"]
    assert "| `region` | text |  |" in sections["stores"]
    assert "video_daily_stats_20" not in text


def test_a_changed_comment_shows_and_cannot_break_the_table(conn: Connection) -> None:
    conn.execute("COMMENT ON COLUMN stores.region IS 'North | South\nor none'")

    assert "| `region` | text |  | North \\| South or none |" in data_dictionary(conn)
