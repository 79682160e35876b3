"""Which grants of an import's lines are taken, and how are they stored? The same for both APIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.importing.rows import CsvStoreRow, RowGrant
from include.tiktok_sync.stores.importing.token_age import (
    StoredGrant,
    older_than_stored,
    stored_grants,
)
from include.tiktok_sync.tokens.grant_table import BUSINESS, DISPLAY, GrantTable
from include.tiktok_sync.tokens.scopes import status_for_scope
from include.tiktok_sync.tokens.vault import TokenVault

_SAME_DEAD = (
    "its tokens, which are those stored, and they no longer work; name and region were taken. Send"
    " the store's manager a link (stores link), or, if you believe that the tokens do work, have"
    " TikTok asked again (tokens recheck{option})"
)

_SAVE = """
INSERT INTO {grants} AS old (
    store_code, open_id, scope, access_token, access_expires_at, refresh_token,
    refresh_expires_at, status, connected_at, app_fingerprint)
VALUES (
    %(store_code)s, %(open_id)s, %(scope)s, %(access_token)s, %(access_expires_at)s,
    %(refresh_token)s, %(refresh_expires_at)s, %(status)s, now(), %(app_fingerprint)s)
ON CONFLICT (store_code) DO UPDATE SET
    open_id = excluded.open_id, scope = excluded.scope, access_token = excluded.access_token,
    access_expires_at = excluded.access_expires_at, refresh_token = excluded.refresh_token,
    refresh_expires_at = excluded.refresh_expires_at, status = excluded.status,
    status_reason = NULL, connected_at = excluded.connected_at,
    app_fingerprint = excluded.app_fingerprint, notice_version = NULL,
    status_since = CASE WHEN old.status = excluded.status THEN old.status_since ELSE now() END,
    updated_at = now(), refresh_started_at = NULL,
    refresh_claim = NULL, refresh_claimed_until = NULL
"""

_FORGET_DAYS_OF_OTHERS = """
SELECT forget_unsettled_days(store_code) FROM business_tokens
WHERE store_code = %(store_code)s AND open_id <> %(open_id)s
"""

_SAVE_ACCOUNT = """
UPDATE {grants} SET open_id = %s, updated_at = now() WHERE store_code = %s AND open_id <> %s
"""


def grant_of_row(row: CsvStoreRow, table: GrantTable) -> RowGrant | None:
    """The line's grant for one API."""
    return row.grant if table is DISPLAY else row.business


def taken_accounts(
    conn: Connection, rows: Sequence[CsvStoreRow], table: GrantTable
) -> dict[str, str]:
    """Why a store cannot have the account of its line: another one has it, here or in a line above.

    Returns:
        Store code -> the reason; without those whose account is free.
    """
    column = "open_id" if table is DISPLAY else "business_open_id"
    grants = [(row, grant) for row in rows if (grant := grant_of_row(row, table))]
    wanted = [(row.code, grant.open_id) for row, grant in grants]
    taken = accounts.other_holders(conn, wanted, table.api)
    above: dict[str, CsvStoreRow] = {}
    reasons = {}
    for row, grant in grants:
        if row.code in taken:
            reasons[row.code] = (
                f"its {column} is that of store {taken[row.code]}: an account belongs to one store."
                f" If it is this one's, take it from the other first: stores disconnect"
                f" {taken[row.code]} --no-revoke"
            )
        elif other := above.get(grant.open_id):
            reasons[row.code] = (
                f"its {column} is that of store {other.code} on line {other.line} already: an"
                " account belongs to one store"
            )
        else:
            above[grant.open_id] = row
    return reasons


def tokens_to_keep(
    conn: Connection,
    grants: Mapping[str, RowGrant],
    vault: TokenVault,
    table: GrantTable,
    *,
    older_too: bool,
) -> dict[str, str | None]:
    """Which stores keep the tokens they have: those of the line are older, or stored already.

    Tokens that are stored already are never written again: encrypted once more they would differ,
    and a refresh that has sent them could not store the pair that it gets for them.

    Returns:
        Store code -> the reason to name; ``None`` = nothing has to be said.
    """
    stored = stored_grants(conn, list(grants), table)
    kept: dict[str, str | None] = {}
    for code, mine in stored.items():
        grant = grants[code]
        if mine.opened(vault, table) == grant.refresh_token:
            values = [grant.open_id, code, grant.open_id]
            conn.execute(table.sql(_SAVE_ACCOUNT), values)
            is_dead = mine.status == "needs_consent"
            kept[code] = _SAME_DEAD.format(option=table.option) if is_dead else None
        elif reason := _why_kept(grant, mine, older_too=older_too):
            kept[code] = reason
    return kept


def save(
    conn: Connection,
    grants: Mapping[str, RowGrant],
    vault: TokenVault,
    table: GrantTable,
    app_fingerprint: str | None,
) -> None:
    """Store the grants, encrypted; two imports at once lock in one order.

    Where a grant of the Accounts API replaces another account's, that one's unsettled days go.
    """
    sealed = [
        {**_sealed(code, grants[code], vault, table), "app_fingerprint": app_fingerprint}
        for code in sorted(grants)
    ]
    with conn.cursor() as cursor:
        if table is BUSINESS:
            cursor.executemany(_FORGET_DAYS_OF_OTHERS, sealed)
        cursor.executemany(table.sql(_SAVE), sealed)


def _why_kept(grant: RowGrant, stored: StoredGrant, *, older_too: bool) -> str | None:
    """Why other tokens than the stored ones are not taken; ``None`` = they are."""
    older = older_than_stored(grant, stored)
    if older is None:
        return None
    if not older_too:
        return (
            f"its tokens, which are older than those stored ({older}); name and region were"
            " taken. If you mean the tokens too, load the line with --replace-tokens"
        )
    if stored.claimed:
        return (
            "its tokens, because those stored are being refreshed; name and region were taken."
            " Load the line again in a minute"
        )
    return None


def _sealed(
    code: str, grant: RowGrant, vault: TokenVault, table: GrantTable
) -> Mapping[str, object]:
    return {
        "store_code": code,
        "open_id": grant.open_id,
        "scope": grant.scope,
        "status": status_for_scope(grant.scope, table.api),
        "access_token": vault.encrypt(grant.access_token, store_code=code, kind=table.access),
        "refresh_token": vault.encrypt(grant.refresh_token, store_code=code, kind=table.refresh),
        "access_expires_at": grant.access_expires_at,
        "refresh_expires_at": grant.refresh_expires_at,
    }
