"""Which TikTok app gave a grant, and is it the one that is configured?

A refresh token works only with the client key it was issued to; with the key of another app TikTok
answers ``invalid_grant``, as if the store's manager had withdrawn. So every grant keeps a
fingerprint of its app's key, and is never refreshed with another one. If the app of a grant is not
known (NULL), the other grants show how far a refusal can be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from include.tiktok_sync.errors import OtherAppError
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tokens.grant_table import DISPLAY, GrantTable

_NAMED = 10

_USE = """
SELECT count(*) AS grants, count(*) FILTER (WHERE app_fingerprint IS NULL) AS unknown,
    coalesce(array_agg(store_code ORDER BY store_code)
        FILTER (WHERE app_fingerprint <> %(app)s), '{}') AS of_others
FROM {grants} JOIN stores USING (store_code)
WHERE (status = 'needs_consent') = %(dead)s AND removed_at IS NULL
    AND (%(codes)s::text[] IS NULL OR store_code = ANY (%(codes)s::text[]))
"""


@dataclass(frozen=True)
class AppUse:
    """Grants, counted by the app they belong to.

    Attributes:
        grants: All of them.
        unknown: Grants whose app is not known: from before it was recorded, or imported without
            the app's key; their next refresh determines it.
        of_others: Codes of the stores whose grant belongs to another app.
    """

    grants: int
    unknown: int
    of_others: Sequence[str]

    @property
    def of_this(self) -> int:
        """Grants of the configured app."""
        return self.grants - self.unknown - len(self.of_others)


def app_use(
    conn: Connection,
    app: str,
    codes: Sequence[str] | None = None,
    *,
    dead: bool = False,
    table: GrantTable = DISPLAY,
) -> AppUse:
    """Which of the living grants belong to the app.

    Args:
        conn: Autocommit connection.
        app: Fingerprint of the configured app.
        codes: Only these stores; ``None`` = all that have not left.
        dead: Look at the grants that are marked as dead instead.
        table: Of which API.
    """
    values = {"app": app, "codes": None if codes is None else list(codes), "dead": dead}
    with conn.cursor(row_factory=class_row(AppUse)) as cursor:
        return cursor.execute(table.sql(_USE), values).fetchall()[0]


def check_app_of_grants(
    conn: Connection,
    app: str,
    codes: Sequence[str],
    *,
    dead: bool = False,
    table: GrantTable = DISPLAY,
) -> AppUse:
    """Refuse to begin a run whose stores belong to another app, as far as that is known.

    Args:
        conn: See :func:`app_use`.
        app: See :func:`app_use`.
        codes: The run's stores.
        dead: See :func:`app_use`.
        table: See :func:`app_use`.

    Returns:
        The use; if only some stores belong to another app, the caller reports them.

    Raises:
        OtherAppError: Every grant belongs to another app; or half or more of the living grants do,
            and none is known to belong to the configured app.
    """
    use = app_use(conn, app, codes, dead=dead, table=table)
    others = len(use.of_others)
    if others and (
        others == use.grants or (not dead and not use.of_this and others >= use.unknown)
    ):
        raise OtherAppError(other_app_message(use, table=table))
    return use


def refusal_error(
    conn: Connection,
    app: str,
    store_code: str,
    given_by: str | None,
    table: GrantTable = DISPLAY,
) -> OtherAppError | None:
    """Why a refused grant is not believed to be dead, if the cause may be its app.

    If the app of a refused grant is not known, and most grants whose app is known belong to another
    app, this one most likely does too: TikTok's answer would be the same.

    Args:
        conn: See :func:`app_use`.
        app: Fingerprint of the app with which TikTok was asked.
        store_code: The store.
        given_by: Fingerprint of the app the grant belongs to; ``None`` = not known.
        table: See :func:`app_use`.
    """
    if given_by is not None:
        return None if given_by == app else other_app_error(store_code, table)
    use = app_use(conn, app, table=table)
    others = len(use.of_others)
    if others <= use.of_this:
        return None
    message = (
        f"TikTok refused the grant of store {store_code} ({table.refusal}). The {table.app} it"
        f" belongs to is not known, but of {others + use.of_this} stores with a known app,"
        f" {others} belong"
        " to another app than the one that is configured, so the refusal is not believed and the"
        f" store was not marked. {next_step(table)}"
    )
    return OtherAppError(message)


def other_app_message(
    use: AppUse, *, with_next_step: bool = True, table: GrantTable = DISPLAY
) -> str:
    """The message about stores whose grant belongs to another app; there is at least one."""
    count = len(use.of_others)
    named = ", ".join(use.of_others[:_NAMED]) + (", …" if count > _NAMED else "")
    of_all = f"all {count}" if count == use.grants else f"{count} of {use.grants}"
    whose = f"store {named} was" if use.grants == 1 else f"{of_all} stores ({named}) were"
    grants = "grant" if use.grants == 1 else "grants"
    message = f"The {grants} of {whose} {_given(table)}."
    return f"{message} {_UNTOUCHED} {next_step(table)}" if with_next_step else message


def other_app_error(store_code: str, table: GrantTable = DISPLAY) -> OtherAppError:
    """The error for one store."""
    message = (
        f"The grant of store {store_code} was {_given(table)}. {_UNTOUCHED} {next_step(table)}"
    )
    return OtherAppError(message)


def next_step(table: GrantTable = DISPLAY) -> str:
    """What to do about grants of another app."""
    return (
        f"Set the {table.key} and secret of the app that the stores' managers connected: login and"
        f" password of the Airflow connection {table.connection}, or {table.variables}. To move a"
        " store to the new app on purpose, have its manager connect it again (stores link). Where"
        " the record is wrong, because the store was imported while another app's key was set:"
        f" tokens recheck CODE{table.option}."
    )


def _given(table: GrantTable) -> str:
    return f"given to another {table.app} than the one that is configured"


_UNTOUCHED = "Nothing was refreshed, and no store was marked."
