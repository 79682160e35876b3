"""Marketing's dashboards and the analysts' page: does every query show something to its role?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from include.tiktok_sync.store_db.roles import prepare
from tests.postgres_server import PostgresServer, scratch_postgres

ROOT = Path(__file__).resolve().parents[4]
GRAFANA = ROOT / "deploy" / "monitoring" / "grafana"
BOARDS = {
    name: json.loads((GRAFANA / f"tiktok_{name}.json").read_text(encoding="utf-8"))
    for name in ("stores", "videos")
}
PANELS = [
    (f"{name}: {panel['title']}", panel, target["rawSql"])
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel.get("targets", ())
]
QUESTIONS = re.findall(
    r"^```sql\n-- as (\w+)\n(.+?);\n```$",
    (ROOT / "docs" / "analysts.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
"""Role and query."""

STORES = {"S1": "North", "S2": "Val d'Oise", "O'3": None, "S4": "North"}
"""Code -> region. The last one has just been imported and has no figures."""

PASSWORDS = {"analyst": "analyst-Pa55word", "analyst_named": "named-Pa55word"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Three stores with a year of figures, and one without any."""
    with scratch_postgres() as server:
        url = server.url("tiktok_sync").replace(
            f"postgres:{server.password}", "tiktok_sync:sync-Pa55word"
        )
        prepare(
            server.url(),
            url,
            analyst_password=PASSWORDS["analyst"],
            analyst_named_password=PASSWORDS["analyst_named"],
        )
        with psycopg.connect(url) as conn:
            _seed(conn)
        yield server


def _seed(conn: psycopg.Connection) -> None:
    conn.execute("SELECT ensure_video_daily_stats_partitions(current_date - 380, 15)")
    for place, (code, region) in enumerate(STORES.items(), 1):
        store = {"code": code, "region": region, "place": place}
        conn.execute(
            "INSERT INTO stores (store_code, store_name, region, created_at) VALUES"
            " (%(code)s, 'Store ' || %(place)s, %(region)s, now() - interval '400 days')",
            store,
        )
        if code == "S4":
            continue
        conn.execute(
            "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
            " created_at) VALUES (%(code)s, %(code)s, '', '', '', now() - interval '400 days')",
            store,
        )
        # S2 has no Wednesday in the last two complete weeks.
        conn.execute(
            "INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, likes_count,"
            " video_count, observed_at) SELECT %(code)s, day, 1000 * %(place)s + 365 - n,"
            " 9000 - n * n %% 60, 73, day + time '02:20' FROM generate_series(0, 365) AS n,"
            " LATERAL (SELECT current_date - n AS day) AS d WHERE %(code)s <> 'S2'"
            " OR date_trunc('week', current_date)::date - day NOT IN (5, 12)",
            store,
        )
        conn.execute(
            "INSERT INTO videos (video_id, store_code, title, video_description, create_time,"
            " first_seen_at, last_seen_at, removed_at) SELECT %(code)s || '-' || n, %(code)s,"
            " CASE WHEN n %% 7 > 0 THEN 'Video ' || n END, '#sale #day' || n %% 5, posted, posted,"
            " now(), CASE WHEN n = 2 THEN now() - interval '2 days' END"
            " FROM generate_series(0, 72) AS n, LATERAL (SELECT now()"
            " - make_interval(days => 5 * n + 1, hours => 5 * n %% 24) AS posted) AS d",
            store,
        )
        conn.execute(
            "INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count,"
            " like_count, comment_count, share_count, observed_at) SELECT video_id,"
            " (seen AT TIME ZONE 'UTC')::date, store_code, 300 * %(place)s * age, 10 * age,"
            " nullif(age, 3), 1, seen FROM videos, generate_series(1, 40) AS age,"
            " LATERAL (SELECT create_time + age * interval '24 hours' AS seen) AS d"
            " WHERE store_code = %(code)s AND seen <= coalesce(removed_at, now())",
            store,
        )


@pytest.fixture(params=["analyst_named"])
def reader(server: PostgresServer, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """As one of the roles that read the views."""
    login = f"{request.param}:{PASSWORDS[request.param]}"
    url = server.url("tiktok_sync").replace(f"postgres:{server.password}", login)
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


def as_grafana(query: str, *, days_ahead: int = 0, **chosen: Iterable[str]) -> bytes:
    """A panel's SQL for the period that the dashboard opens with, and what is chosen above it."""
    now = datetime.now(UTC)
    start, stop = (
        f"'{now + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}'" for days in (-30, days_ahead)
    )
    query = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {start} AND {stop}", query)
    query = query.replace("$__timeTo()", stop)
    for name, values in chosen.items():
        quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
        query = query.replace(f"${{{name}:sqlstring}}", quoted)
    assert "$" not in query
    return query.encode()


@pytest.mark.parametrize(
    ("panel", "query"), [(p, q) for _, p, q in PANELS], ids=[name for name, *_ in PANELS]
)
def test_every_panel_shows_something(
    reader: psycopg.Connection, panel: dict[str, Any], query: str
) -> None:
    cursor = reader.execute(as_grafana(query, store=STORES))
    rows, columns = cursor.fetchall(), [column.name for column in cursor.description or []]

    assert rows
    for place, column in enumerate(columns):
        assert any(row[place] is not None for row in rows), column
    assert len(set(columns)) == len(columns)
    # A name that an override has and the answer has not formats nothing, in silence.
    overrides = panel["fieldConfig"]["overrides"]
    assert {override["matcher"]["options"] for override in overrides} <= set(columns)
    if panel["type"] == "stat":
        assert len(rows) == len(columns) == 1
    if panel["targets"][0]["format"] == "time_series":
        assert columns[0] == "time"
        assert all(isinstance(row[0], datetime) for row in rows)
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    reader.execute(as_grafana(query, store=["S4"]))
    nothing = reader.execute(as_grafana(query, store=[])).fetchall()
    if "all stores" in panel["title"]:
        assert nothing == rows
    else:
        assert nothing in ([], [(None,)], [(0,)]), "the filter is not in the query"


@pytest.mark.parametrize(
    "query", [pytest.param(q, id=name) for name, _, q in PANELS if "$__timeTo()" in q]
)
def test_a_period_that_ends_ahead_shows_what_is_there(
    reader: psycopg.Connection, query: str
) -> None:
    # "This month" and its siblings end with the period, and not now.
    now = reader.execute(as_grafana(query, store=STORES)).fetchall()

    assert reader.execute(as_grafana(query, store=STORES, days_ahead=29)).fetchall() == now


def value(conn: psycopg.Connection, title: str, *stores: str) -> Any:
    """The only figure of a panel."""
    (query,) = (query for name, _, query in PANELS if name == title)
    ((found,),) = conn.execute(as_grafana(query, store=stores)).fetchall()
    return found


def test_figures_are_those_of_the_chosen_stores(reader: psycopg.Connection) -> None:
    assert value(reader, "stores: Followers", *STORES) == 6000 + 3 * 365
    assert value(reader, "stores: Followers", "O'3") == 3365
    assert value(reader, "stores: Followers gained", "S1", "S2") == 2 * 31
    assert value(reader, "stores: Missing days of stores", "S1") == 0
    assert value(reader, "stores: Missing days of stores", *STORES) == 1
    assert value(reader, "stores: Stores above their usual week", "S1") == 0
    assert value(reader, "videos: Videos posted", "S1") == 6
    assert value(reader, "videos: Videos removed", *STORES) == 3
    assert value(reader, "videos: Median views after 7 days", "S2") == 300 * 2 * 7
    assert value(reader, "videos: Median engagement after 7 days", "S1") == (70 + 7 + 1) / 2100


def test_unknown_is_never_shown_as_0(reader: psycopg.Connection) -> None:
    for title in ("Followers", "Followers gained", "Stores above their usual week"):
        assert value(reader, f"stores: {title}", "S4") is None
    for title in ("Median views after 7 days", "Median engagement after 7 days"):
        assert value(reader, f"videos: {title}", "S4") is None


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_stores_are_offered_by_region(reader: psycopg.Connection, board: dict[str, Any]) -> None:
    region, store = board["templating"]["list"]

    found = reader.execute(as_grafana(region["query"])).fetchall()
    assert [name for (name,) in found] == ["(none)", "North", "Val d'Oise"]
    chosen = as_grafana(store["query"], region=["(none)", "Val d'Oise"])
    assert reader.execute(chosen).fetchall() == [("Store 2 (S2)", "S2"), ("Store 3 (O'3)", "O'3")]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_board_reads_as_the_role_with_names_and_nothing_else(board: dict[str, Any]) -> None:
    sources = yaml.safe_load((GRAFANA / "datasources.yaml").read_text(encoding="utf-8"))
    (named,) = (s for s in sources["datasources"] if s.get("user") == "analyst_named")
    uses = [board["templating"]["list"], board["panels"]]
    found = {use["datasource"]["uid"] for part in uses for use in part if "datasource" in use}

    assert found == {named["uid"]}
    # Empty = Postgres refuses the login; the dashboards say which setting is missing.
    assert named["secureJsonData"] == {"password": "$ANALYST_NAMED_DB_PASSWORD"}
    assert "ANALYST_NAMED_DB_PASSWORD" in named["name"]
    assert "ANALYST_NAMED_DB_PASSWORD" in board["panels"][0]["options"]["content"]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_are_described_and_do_not_overlap(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["description"].endswith(".") for panel in panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_boards_are_mounted() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))
    grafana = compose["services"]["grafana"]
    mounted = {volume.split(":")[0] for volume in grafana["volumes"]}
    boards = {f"./{file.relative_to(ROOT)}" for file in GRAFANA.glob("*.json")}

    assert len(boards) == 3
    assert boards <= mounted
    assert "ANALYST_NAMED_DB_PASSWORD" in grafana["environment"]


def test_the_page_answers_ten_questions() -> None:
    page = (ROOT / "docs" / "analysts.md").read_text(encoding="utf-8")

    assert page.count("```sql") == len(QUESTIONS) == page.count("\n### ") == 10
    assert {role for role, _ in QUESTIONS} == PASSWORDS.keys()


@pytest.mark.parametrize(
    ("reader", "query"), QUESTIONS, ids=range(1, len(QUESTIONS) + 1), indirect=["reader"]
)
def test_every_question_is_answered(reader: psycopg.Connection, query: str) -> None:
    cursor = reader.execute(query.encode())
    rows, columns = cursor.fetchall(), [column.name for column in cursor.description or []]

    assert rows
    for place, column in enumerate(columns):
        assert any(row[place] is not None for row in rows), column


def test_a_video_of_last_night_takes_off_with_all_its_views(reader: psycopg.Connection) -> None:
    (query,) = (query for _, query in QUESTIONS if "views_gained_in_3_days" in query)
    answer = reader.execute(query.removesuffix(" LIMIT 20").encode()).fetchall()
    found = sorted(answer, key=lambda line: line[2])

    newest = {code: gained for _, code, _, gained in found}
    assert newest == {"S1": 300, "S2": 600, "O'3": 900}
    # Of a video seen before: three days, or two while the hour of its last sight is yet to come.
    assert max(gained for *_, gained in found) in {2 * 900, 3 * 900}


@pytest.mark.parametrize("query", [query for role, query in QUESTIONS if role == "analyst_named"])
@pytest.mark.parametrize("reader", ["analyst"], indirect=True)
def test_names_are_asked_for_only_where_they_are_needed(
    reader: psycopg.Connection, query: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(query.encode())
