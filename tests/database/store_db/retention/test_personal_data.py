"""Which columns are personal is read from their comments, and no such column is left out."""

from __future__ import annotations

import re
from pathlib import Path

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
from tests.database.bench import row, rows
from tools.pages.privacy_page import privacy_page

PAGE = Path(__file__).resolve().parents[4] / "docs" / "privacy.md"

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


# Names of TikTok's fields, and of what people leave behind, that are personal wherever they stand.
BY_NATURE = re.compile(
    r"(^|_)(display_name|username|user_name|nickname|bio|bio_description|avatar\w*|open_id|union_id"
    r"|title|\w*description|\w*_link|\w*_url|email|phone|address|actor|message|details|extra"
    r"|created_by|account|expected_account|user_agent|ip)$"
)

NOT_PERSONAL = {
    "account_audience.is_business_account": "yes or no: a kind of account",
    "account_daily.of_former_account": "yes or no",
    "action": "a move of the table in docs/lifecycle.md",
    "api": "one word of a list",
    "app_fingerprint": "of the app, not of the account",
    "access_token": "random, and encrypted",
    "audience_activity": "how many followers, by hour",
    "audience_ages": "shares of all followers",
    "audience_cities": "shares of all followers or viewers",
    "audience_countries": "shares of all followers or viewers",
    "audience_genders": "shares of all followers or viewers",
    "audience_types": "shares of all viewers",
    "browser_hash": "hash of a random cookie that lives for minutes",
    "effect": "one word of a list",
    "endpoint": "of TikTok's API",
    "erasure_key.key": "random; made by the database itself",
    "business_category": "one word of a list",
    "engagement_likes": "shares by second of a video",
    "event": "TikTok's name of a kind of event",
    "event_hash": "hash; tells two deliveries of one event apart",
    "file_name": "of a dump",
    "headline": "figures of all stores; names none",
    "impression_sources": "shares of all viewers",
    "insights_absent.fields": "names of columns",
    "insights_absent.reason": "one sentence of a list",
    "insights_absent.table_name": "a table",
    "job_name": "a Dag",
    "media_type": "one word of a list",
    "kind": "one word of a list",
    "link_hash": "hash of a random token",
    "notice": "one word of a list",
    "notice_version": "hash of a text of the retailer",
    "notify_error": "what a channel answered, cut and without its address",
    "outcome": "one word of a list",
    "refresh_run": "a run of a Dag",
    "refresh_token": "random, and encrypted",
    "pictures": "charts of all stores; they name none",
    "privacy_notices.text": "the retailer's own",
    "privacy_notices.version": "hash of that text",
    "region": "the retailer's own",
    "run_id": "a run of a Dag",
    "scope": "TikTok's permissions",
    "state": "one word of a list",
    "state_hash": "hash of a random value",
    "status": "one word of a list",
    "status_reason": "this code's words, times and store codes; see sync/test_summary.py",
    "profile_days_missing": "days",
    "store_code": "the retailer's own",
    "store_name": "the retailer's own name of the store",
    "stores_without_profile": "codes of stores",
    "stores_without_videos": "codes of stores",
    "subject": "since when a grant is dead, or when it ends",
    "timezone": "the retailer's own, or a setting",
    "token_status": "one word of a list",
    "token_status_reason": "see status_reason",
    "video_days_missing": "days",
    "video_listings.not_shown": "ids of videos, see video_id; gone with the next listing",
    "video_view_retention": "shares by second of a video",
    "video_id": "the key of the figures: without it none could be kept",
}
"""Columns that can hold text and are not personal, of any table or of one -> why."""


def unmarked_columns(conn: Connection) -> list[str]:
    """Columns that could be personal and are neither marked nor explained."""
    found = kinds(conn)
    columns = rows(
        conn,
        "SELECT table_name AS t, column_name AS c, data_type IN ('text', 'jsonb', 'json', 'bytea',"
        " 'ARRAY', 'character varying', 'USER-DEFINED', 'inet') AND udt_name <> '_int8' AS text"
        " FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name <> 'alembic_version' ORDER BY 1, 2",
    )
    return [
        name
        for column in columns
        if (name := f"{column['t']}.{column['c']}") not in found
        and (
            (BY_NATURE.search(column["c"]) and name not in NOT_PERSONAL)
            or (column["text"] and not NOT_PERSONAL.keys() & {column["c"], name})
        )
    ]


def test_every_column_that_could_be_personal_is_marked_or_explained(conn: Connection) -> None:
    assert unmarked_columns(conn) == []


@pytest.mark.parametrize(
    "column", ["nickname text", "avatar_large_url text", "raw jsonb", "ip inet"]
)
def test_a_personal_column_without_its_mark_is_found(conn: Connection, column: str) -> None:
    conn.execute(f"ALTER TABLE user_daily_stats ADD COLUMN {column}".encode())
    name = f"user_daily_stats.{column.split(maxsplit=1)[0]}"
    assert unmarked_columns(conn) == [name]

    conn.execute(f"COMMENT ON COLUMN {name} IS 'New. Personal: identity.'".encode())
    assert unmarked_columns(conn) == []


def test_the_committed_page_is_that_of_the_marks(conn: Connection) -> None:
    # When this fails: make up && make privacy, and commit the file.
    assert PAGE.read_text(encoding="utf-8") == privacy_page(conn)
    for column in personal_columns(conn):
        assert f"`{column.column}" in privacy_page(conn) or column.table.startswith("video_gains")
