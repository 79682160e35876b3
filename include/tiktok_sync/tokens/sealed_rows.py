"""Which rows hold ciphertext, and under which key is each?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from psycopg import sql
from typing_extensions import LiteralString

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tokens.grant_table import GRANT_TABLES
from include.tiktok_sync.tokens.vault import TokenKind, TokenVault

PAGE = 200
"""Rows read at once, some 100 KB."""


@dataclass(frozen=True)
class SealedTable:
    """A table with tokens.

    Attributes:
        name: Its name.
        key: Its primary key, one column; rows are processed in its order.
        columns: Column of ciphertext -> the kind it is sealed as.
        store: The column with the store it is sealed for.
        free: SQL condition: no process has claimed the row.
        rows: SQL condition: the row is one of these.
        api: Whose tokens.
    """

    name: str
    key: str
    columns: Mapping[str, TokenKind] = field(hash=False)
    store: str = "store_code"
    free: LiteralString = "true"
    rows: LiteralString = "true"
    api: Api = "display"


SEALED_TABLES: tuple[SealedTable, ...] = (
    *(
        SealedTable(
            table.name,
            key="store_code",
            columns={"access_token": table.access, "refresh_token": table.refresh},
            free="(refresh_claimed_until IS NULL OR refresh_claimed_until <= clock_timestamp())",
            api=table.api,
        )
        for table in GRANT_TABLES.values()
    ),
    # Tokens that wait for the manager's answer; most rows no longer have any.
    *(
        SealedTable(
            "connect_attempts",
            key="attempt_id",
            columns={"access_token": table.access, "refresh_token": table.refresh},
            rows="api = 'display'" if table.api == "display" else "api = 'business'",
            api=table.api,
        )
        for table in GRANT_TABLES.values()
    ),
)
"""Every table that holds ciphertext of the vault; add new ones here."""


@dataclass(frozen=True)
class SealedRow:
    """One row: its key, its store, and its ciphertext by column (without empty columns)."""

    key: object
    store_code: str
    sealed: Mapping[str, bytes] = field(repr=False)

    def place(self, vault: TokenVault) -> int | None:
        """The place of the oldest key it needs; ``None`` = no key opens one of its tokens."""
        places = [vault.place_of(sealed) for sealed in self.sealed.values()]
        known = [place for place in places if place is not None]
        return max(known, default=0) if len(known) == len(places) else None


@dataclass(frozen=True)
class KeyUse:
    """How many rows need which key.

    Attributes:
        by_place: Place in ``TIKTOK_TOKEN_KEYS`` from 0 -> rows.
        unreadable: Stores with a token that none of the keys opens.
    """

    by_place: Mapping[int, int]
    unreadable: tuple[str, ...]

    @property
    def rows(self) -> int:
        """All rows with tokens."""
        return sum(self.by_place.values()) + len(self.unreadable)

    @property
    def on_old_keys(self) -> int:
        """Rows that are readable, but not entirely under the first key."""
        return sum(rows for place, rows in self.by_place.items() if place)


def read_pages(conn: Connection, table: SealedTable, page: int = PAGE) -> Iterator[list[SealedRow]]:
    """All rows of a table, page by page in the order of its key; nothing is locked."""
    where = f"WHERE {{sealed}} AND {table.rows}"
    query = _query(table, where + " AND {key} > %(after)s ORDER BY {key} LIMIT %(page)s")
    first = _query(table, where + " ORDER BY {key} LIMIT %(page)s")
    rows = read(conn, table, first, {"page": page})
    while rows:
        yield rows
        if len(rows) < page:
            return
        rows = read(conn, table, query, {"page": page, "after": rows[-1].key})


def lock_free_ones(conn: Connection, table: SealedTable, keys: list[object]) -> list[SealedRow]:
    """The rows among these that are free, locked until the transaction ends.

    A refresh claims its row (:meth:`TokenStore.claim`), and it cannot claim a locked row, so
    neither can overwrite what the other wrote.
    """
    free = f"WHERE {{key}} = ANY(%(keys)s) AND {table.free} ORDER BY {{key}} FOR UPDATE SKIP LOCKED"
    query = _query(table, free)
    return read(conn, table, query, {"keys": keys})


def read(
    conn: Connection, table: SealedTable, query: sql.Composed, values: Mapping[str, object]
) -> list[SealedRow]:
    """The rows of a query made for the table."""
    found = []
    for key, store_code, *sealed in conn.execute(query, values).fetchall():
        present = {
            column: bytes(value)
            for column, value in zip(table.columns, sealed, strict=True)
            if value is not None
        }
        found.append(SealedRow(key, store_code, present))
    return found


def key_use(conn: Connection, vault: TokenVault, api: Api | None = None) -> KeyUse:
    """Read every token and see which key opens it (some 20 microseconds each).

    ``api``: leave the other API's grants out; ``None`` = read all.
    """
    by_place: Counter[int] = Counter()
    unreadable = []
    for table in SEALED_TABLES:
        if api is not None and table.api != api:
            continue
        for page in read_pages(conn, table):
            for row in page:
                place = row.place(vault)
                if place is None:
                    unreadable.append(row.store_code)
                else:
                    by_place[place] += 1
    return KeyUse(by_place, tuple(unreadable))


def check_keys(conn: Connection, vault: TokenVault, api: Api | None = None) -> KeyUse:
    """Check the keys at the start of a run, instead of failing store by store.

    ``api``: see :func:`key_use`.

    Returns:
        How often each key is used; the caller reports stores whose tokens no key opens.

    Raises:
        ConfigurationError: There are tokens, and the keys open none of them.
    """
    use = key_use(conn, vault, api)
    if use.unreadable and len(use.unreadable) == use.rows:
        raise ConfigurationError(_NO_KEY_FITS.format(rows=use.rows, given=_listed(vault)))
    return use


def unreadable_message(use: KeyUse, vault: TokenVault) -> str:
    """The message about the stores whose tokens no key opens."""
    named = ", ".join(use.unreadable[:10]) + (", …" if len(use.unreadable) > 10 else "")  # noqa: PLR2004 - as many as fit a line
    return (
        f"TIKTOK_TOKEN_KEYS opens the tokens of {use.rows - len(use.unreadable)} stores, but not"
        f" those of {len(use.unreadable)}: {named}. Add the key they were written with after the"
        f" others ({_listed(vault)}), or connect these stores again."
    )


_NO_KEY_FITS = (
    "TIKTOK_TOKEN_KEYS is wrong: none of its keys ({given}) opens any of the {rows} stored grants."
    " Set it to the key they were written with (a new key goes before it, separated by a"
    " comma), or, if that key is lost, import or connect every store again."
)


def _listed(vault: TokenVault) -> str:
    return "fingerprint " + ", ".join(vault.fingerprints)


def _query(table: SealedTable, rest: str) -> sql.Composed:
    columns = [table.key, table.store, *table.columns]
    return sql.SQL("SELECT {} FROM {} ").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table.name)
    ) + sql.SQL(rest).format(
        key=sql.Identifier(table.key),
        sealed=sql.SQL("num_nonnulls({}) > 0").format(
            sql.SQL(", ").join(map(sql.Identifier, table.columns))
        ),
    )
