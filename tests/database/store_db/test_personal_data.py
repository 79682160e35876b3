"""Which columns are personal is read from their comments, and no such column is left out."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.config import Config

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.store_db.personal_data import (
    PersonalKind,
    kind_of,
    marked,
    personal_columns,
    unmarked,
)
from include.tiktok_sync.store_db.schema import MIGRATIONS, upgrade
from tests.database.bench import row

IDENTITY, CONTENT, RECORD = PersonalKind.IDENTITY, PersonalKind.CONTENT, PersonalKind.RECORD


def kinds(conn: Connection) -> dict[str, PersonalKind]:
    return {f"{found.table}.{found.column}": found.kind for found in personal_columns(conn)}


def test_a_mark_is_read_from_the_end_of_the_comment_only() -> None:
    assert kind_of("Title. Personal: content.") is CONTENT
    assert kind_of("Not Personal: content. Really") is None
    assert unmarked("Title. Personal: content.") == "Title"
    assert marked("Title. Personal: record.", CONTENT) == "Title. Personal: content."
    with pytest.raises(ValueError, match="secret"):
        kind_of("Title. Personal: secret.")


def test_a_view_shows_what_its_source_is(conn: Connection) -> None:
    found = kinds(conn)
    assert found["videos.title"] == found["video_gains_daily.title"] == CONTENT
    conn.execute(
        "CREATE VIEW people AS SELECT t.store_code AS code, t.said, t.said || '' AS computed,"
        " t.followers, t.at FROM (SELECT store_code, username AS said, follower_count AS followers,"
        " snapshot_date AS at FROM user_daily_stats) AS t"
    )
    conn.execute("CREATE VIEW of_people AS SELECT * FROM people")
    conn.execute("CREATE VIEW mixed AS SELECT title FROM videos UNION ALL SELECT said FROM people")
    new = {name: kind for name, kind in kinds(conn).items() if name not in found}
    assert new == {
        "people.said": IDENTITY,
        "people.computed": IDENTITY,
        "of_people.said": IDENTITY,
        "of_people.computed": IDENTITY,
        "mixed.title": IDENTITY,
    }


def test_a_view_is_read_whatever_was_made_first(conn: Connection) -> None:
    conn.execute("CREATE VIEW old AS SELECT store_code AS a FROM stores")
    conn.execute("CREATE VIEW young AS SELECT username AS a FROM user_daily_stats")
    conn.execute("CREATE OR REPLACE VIEW old AS SELECT a FROM young")

    assert kinds(conn)["old.a"] is IDENTITY


def test_the_marks_leave_what_a_comment_says_and_come_off_again(
    db_url: str, conn: Connection
) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = db_url
    said = "SELECT col_description('videos'::regclass, 3) AS said"
    assert row(conn, said)["said"] == "Title. Personal: content."

    command.downgrade(config, "0013")
    assert row(conn, said)["said"] == "Title"
    assert personal_columns(conn) == ()
    conn.execute("COMMENT ON COLUMN videos.title IS 'Better said'")
    upgrade(db_url)

    assert row(conn, said)["said"] == "Better said. Personal: content."
