"""Which TikTok app gave a grant, and is it the one that is configured?

A refresh token works only with the client key that it was given to; with the key of another app
TikTok answers ``invalid_grant``, as if the store's manager had withdrawn. So every grant keeps a
fingerprint of its app's key, and is never refreshed with another. Of a grant whose app is not known
(NULL) the other grants tell how far a refusal can be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from include.tiktok_sync.errors import OtherAppError
from include.tiktok_sync.store_db.database import Connection

_NAMED = 10

_USE = """
SELECT count(*) AS grants, count(*) FILTER (WHERE app_fingerprint IS NULL) AS unknown,
    coalesce(array_agg(store_code ORDER BY store_code)
        FILTER (WHERE app_fingerprint <> %(app)s), '{}') AS of_others
FROM store_tokens JOIN stores USING (store_code)
WHERE (status = 'needs_consent') = %(dead)s AND removed_at IS NULL
    AND (%(codes)s::text[] IS NULL OR store_code = ANY (%(codes)s::text[]))
"""


@dataclass(frozen=True)
class AppUse:
    """Grants by the app that gave them.

    Attributes:
        grants: How many there are.
        unknown: Those whose app is not known: from before it was recorded, or imported without
            the app's key; their next refresh tells.
        of_others: Stores whose grant another app gave, by code.
    """

    grants: int
    unknown: int
    of_others: Sequence[str]

    @property
    def of_this(self) -> int:
        """How many the configured app gave."""
        return self.grants - self.unknown - len(self.of_others)


def app_use(
    conn: Connection, app: str, codes: Sequence[str] | None = None, *, dead: bool = False
) -> AppUse:
    """Which of the living grants the app gave.

    Args:
        conn: Autocommit connection.
        app: Fingerprint of the configured app.
        codes: Of these stores; ``None`` = of all that have not left.
        dead: Of the grants that are marked as dead instead.
    """
    values = {"app": app, "codes": None if codes is None else list(codes), "dead": dead}
    with conn.cursor(row_factory=class_row(AppUse)) as cursor:
        return cursor.execute(_USE, values).fetchall()[0]


def check_app_of_grants(
    conn: Connection, app: str, codes: Sequence[str], *, dead: bool = False
) -> AppUse:
    """Refuse to begin a run whose stores belong to another app, as far as it is known.

    Args:
        conn: See :func:`app_use`.
        app: See :func:`app_use`.
        codes: The run's stores.
        dead: See :func:`app_use`.

    Returns:
        The use; stores of another app among others are the caller's to name.

    Raises:
        OtherAppError: There are such grants, and another app gave every one of them; or, of living
            grants, half or more, and of none is it known that the configured app gave it.
    """
    use = app_use(conn, app, codes, dead=dead)
    others = len(use.of_others)
    if others and (
        others == use.grants or (not dead and not use.of_this and others >= use.unknown)
    ):
        raise OtherAppError(other_app_message(use))
    return use


def refusal_error(
    conn: Connection, app: str, store_code: str, given_by: str | None
) -> OtherAppError | None:
    """Why a refused grant is not believed to be dead, if its app is to blame.

    A grant whose app is not known and that is refused, while another app gave most of those that
    are known, is most likely that app's too: TikTok's answer would be the same.

    Args:
        conn: See :func:`app_use`.
        app: Fingerprint of the app with which TikTok was asked.
        store_code: Whose grant.
        given_by: Fingerprint of the app that gave it; ``None`` = not known.
    """
    if given_by is not None:
        return None if given_by == app else other_app_error(store_code)
    use = app_use(conn, app)
    others = len(use.of_others)
    if others <= use.of_this:
        return None
    message = (
        f"TikTok refused the grant of store {store_code} (invalid_grant). Which TikTok app gave it"
        f" is not known, but of {others + use.of_this} stores whose app is known, {others} belong"
        " to another app than the one that is configured, so the refusal is not believed and the"
        f" store was not marked. {NEXT_STEP}"
    )
    return OtherAppError(message)


def other_app_message(use: AppUse, *, next_step: bool = True) -> str:
    """What to say of stores whose grant another app gave; there is one at least."""
    count = len(use.of_others)
    named = ", ".join(use.of_others[:_NAMED]) + (", …" if count > _NAMED else "")
    of_all = f"all {count}" if count == use.grants else f"{count} of {use.grants}"
    whose = f"store {named} was" if use.grants == 1 else f"{of_all} stores ({named}) were"
    grants = "grant" if use.grants == 1 else "grants"
    message = f"The {grants} of {whose} {_GIVEN}."
    return f"{message} {_UNTOUCHED} {NEXT_STEP}" if next_step else message


def other_app_error(store_code: str) -> OtherAppError:
    """The error for one store."""
    message = f"The grant of store {store_code} was {_GIVEN}. {_UNTOUCHED} {NEXT_STEP}"
    return OtherAppError(message)


_GIVEN = "given to another TikTok app than the one that is configured"

_UNTOUCHED = "Nothing was refreshed, and no store was marked."

NEXT_STEP = (
    "Set the client key and secret of the app that the stores'"
    " managers connected: login and password of the Airflow connection tiktok_default, or"
    " TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET. To move a store to the new app on purpose, have"
    " its manager connect it again (stores link). Where the record is wrong, because the store was"
    " imported while another app's key was set: tokens recheck CODE."
)
