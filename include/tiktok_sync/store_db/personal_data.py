"""Which columns hold data about a person? Read from the marks in the database's own COMMENTs.

The comment of such a column ends with `` Personal: identity.``, `` Personal: content.`` or
`` Personal: record.``. A view's column needs no mark: it takes that of the column it shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from psycopg import sql

from include.tiktok_sync.store_db.database import Connection


class PersonalKind(str, Enum):
    """What a personal column tells; the clocks of retention go by it."""

    IDENTITY = "identity"
    """Whose account it is: names, bio, links to avatar and profile, account ids."""

    CONTENT = "content"
    """What the account says: titles, descriptions, cover and share links of videos."""

    RECORD = "record"
    """Who did or saw what: audit rows, alerts, messages of runs."""


@dataclass(frozen=True)
class PersonalColumn:
    """A column of a table or a view that holds data about a person.

    Attributes:
        table: Its table or view.
        column: Its name.
        kind: What it tells.
    """

    table: str
    column: str
    kind: PersonalKind


# The key of a column: the oid of its table or view, and its number in it.
_Key = tuple[int, int]

_COLUMNS = """
SELECT c.oid, a.attnum, c.relname, a.attname,
    t.typcategory IN ('S', 'A') OR t.typname IN ('json', 'jsonb', 'bytea', 'xml'),
    coalesce(col_description(c.oid, a.attnum), '')
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
    AND NOT c.relispartition
ORDER BY c.relname, a.attnum
"""

_VIEWS = """
SELECT oid, pg_get_viewdef(oid) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm') ORDER BY oid
"""

_SOURCES = """
SELECT DISTINCT d.refobjid, d.refobjsubid FROM pg_rewrite AS r
JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.refobjid <> r.ev_class
WHERE r.ev_class = %s
"""

# Graver first.
_SHOWN_BY_TEXT = (PersonalKind.IDENTITY, PersonalKind.CONTENT)

_MARK = re.compile(r"\.? Personal: (?P<kind>\w+)\.$")


@dataclass(frozen=True)
class _Column:
    table: str
    name: str
    can_hold_text: bool
    comment: str


def marked(comment: str, kind: PersonalKind) -> str:
    """The comment with the mark at its end; one that it has already is replaced."""
    return f"{unmarked(comment)}. Personal: {kind.value}."


def unmarked(comment: str) -> str:
    """The comment without its mark."""
    return _MARK.sub("", comment)


def kind_of(comment: str) -> PersonalKind | None:
    """What the mark in a comment says; ``None`` = it has none.

    Raises:
        ValueError: The mark names no kind that there is.
    """
    found = _MARK.search(comment)
    return PersonalKind(found["kind"]) if found else None


def personal_columns(conn: Connection) -> tuple[PersonalColumn, ...]:
    """Every personal column of every table and view of the schema, by name.

    A view's column that shows a column as it is takes that one's kind. One that is computed, or
    comes through a UNION, is personal if it can hold text and the view reads an identity or a
    content anywhere: which columns went into it cannot be read off. (Records are read for their
    counts and states; a view that computes a text from one marks its own column.)

    Args:
        conn: As the owner of the views.

    Raises:
        ValueError: A mark names no kind that there is.
    """
    columns: dict[_Key, _Column] = {
        (row[0], row[1]): _Column(*row[2:]) for row in conn.execute(_COLUMNS).fetchall()
    }
    kinds = {key: found for key, column in columns.items() if (found := kind_of(column.comment))}
    views = conn.execute(_VIEWS).fetchall()
    found_more = True
    while found_more:  # a view may read another that comes after it
        found_more = False
        for view, definition in views:
            more = _of_view(conn, view, definition, columns, kinds)
            kinds |= more
            found_more = found_more or bool(more)
    return tuple(
        PersonalColumn(column.table, column.name, kinds[key])
        for key, column in columns.items()
        if key in kinds
    )


def _of_view(
    conn: Connection,
    view: int,
    definition: str,
    columns: Mapping[_Key, _Column],
    kinds: Mapping[_Key, PersonalKind],
) -> dict[_Key, PersonalKind]:
    """The personal columns of one view, by the columns that it reads."""
    sources = conn.execute(_SOURCES, [view]).fetchall()
    read = {kinds[source] for source in sources if source in kinds}
    if not read:
        return {}
    of_computed = next((kind for kind in _SHOWN_BY_TEXT if kind in read), None)
    # Postgres says of each column of a result which column of which table or view it shows as it
    # is (0: none). Nothing is read; the definition is the server's own text.
    query = sql.SQL("SELECT * FROM ({}) AS v LIMIT 0").format(
        sql.SQL(definition.rstrip().rstrip(";"))
    )
    shown = conn.execute(query).pgresult
    found: dict[_Key, PersonalKind] = {}
    own = sorted(key for key in columns if key[0] == view)
    for place, key in enumerate(own):
        source = (shown.ftable(place), shown.ftablecol(place)) if shown else (0, 0)
        if source[0]:
            kind = kinds.get(source)
        else:
            kind = of_computed if columns[key].can_hold_text else None
        if kind and key not in kinds:
            found[key] = kind
    return found
