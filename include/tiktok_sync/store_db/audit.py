"""Who did what to a store, and when? The rows of ``store_audit``: never the data, never a token."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from include.tiktok_sync.errors import StoreTokenStatus
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.store_db.database import Connection

TIKTOK = "TikTok"
"""The actor if an answer or a notice of TikTok changed a store."""

GRANT_MOVES: Mapping[StoreTokenStatus, str] = {
    "active": "regain_scope",
    "missing_scope": "lose_scope",
    "needs_consent": "grant_ended",
}
"""Change of a grant by TikTok -> the move in :mod:`include.tiktok_sync.stores.lifecycle`."""

_RECORD = """
INSERT INTO store_audit (store_code, action, actor, details)
SELECT code, %(action)s, %(actor)s, %(details)s FROM unnest(%(codes)s::text[]) AS code
"""


def record(
    conn: Connection,
    action: str,
    store_codes: Sequence[str],
    *,
    actor: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write a row for each store; call it in the transaction of the change itself.

    Args:
        conn: The connection that makes the change.
        action: What was done: a move of :data:`include.tiktok_sync.stores.lifecycle.MOVES`, or
            similar.
        store_codes: The stores concerned.
        actor: Who did it.
        details: Counts and states only: the row outlives the store's data.
    """
    values = {
        "action": action,
        "actor": actor,
        "details": Jsonb(dict(details or {})),
        "codes": list(store_codes),
    }
    conn.execute(_RECORD, values)


def record_grant_move(
    conn: Connection,
    code: str,
    before: StoreTokenStatus,
    after: StoreTokenStatus,
    reason: str | None = None,
    *,
    actor: str = TIKTOK,
    api: Api = "display",
) -> None:
    """Record how an answer of TikTok changed a store's grant, if it did.

    Call it in the transaction of the change. For a paused or removed store only the grant changes.

    Args:
        conn: The connection that makes the change.
        code: The store.
        before: The grant's state so far.
        after: Its state now.
        reason: The cause, for people; never a secret.
        actor: Who made TikTok answer, where that was a person.
        api: Whose grant; said in the details unless it is the Display API's.
    """
    if before == after:
        return
    action = "grant_restored" if before == "needs_consent" else GRANT_MOVES[after]
    details = {
        "from": before,
        "to": after,
        **({"reason": reason} if reason else {}),
        **({"api": api} if api != "display" else {}),
    }
    record(conn, action, [code], actor=actor, details=details)


def operating_system_user() -> str:
    """``user@host`` of this process; a container's user may only have a number."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid-{os.getuid()}"
    return f"{name}@{socket.gethostname()}"
