"""In which state is a store, and which moves may it make? One table; everything else follows it.

A store is in the nightly syncs, paused or removed. While it is in them its state is that of its
grant, the ``status`` of ``store_tokens``; a store that was never connected needs consent too. The
grant goes on by itself while a store is paused or removed: its end is recorded, and the store stays
where it is. ``store_state()`` in the database says the same in SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from include.tiktok_sync.errors import ConfigurationError, DataError, StoreTokenStatus
from include.tiktok_sync.links.connect_links import revoke_links
from include.tiktok_sync.store_db import audit
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.codes import StoreCodes, clean, looks_like_token
from include.tiktok_sync.stores.timezones import checked_timezone
from include.tiktok_sync.tokens.grant_table import GRANT_TABLES

StoreState = Literal["active", "needs_consent", "missing_scope", "paused", "removed"]
MoveName = Literal[
    "add",
    "connect",
    "connect_partly",
    "lose_scope",
    "regain_scope",
    "grant_ended",
    "grant_restored",
    "pause",
    "resume",
    "disconnect",
    "erase",
]

GRANT_STATES: tuple[StoreState, ...] = get_args(StoreTokenStatus)
"""The states of a store that the nightly syncs include."""


@dataclass(frozen=True)
class Move:
    """One move.

    Attributes:
        name: What is done.
        sources: States it may start from; empty = the store is not there yet.
        target: State it leads to; ``None`` = to that of the grant; ``"gone"`` = no row is left.
        by: Who makes it.
        ends_links: The store's open connect links end with it. A store that only needs consent
            keeps them: they are how it is connected again.
    """

    name: MoveName
    sources: tuple[StoreState, ...]
    target: StoreState | Literal["gone"] | None
    by: str
    ends_links: bool = False


MOVES: tuple[Move, ...] = (
    Move("add", (), "needs_consent", "stores add, stores import"),
    Move("connect", GRANT_STATES, "active", "the manager's consent, stores import"),
    Move("connect_partly", GRANT_STATES, "missing_scope", "a consent to some permissions only"),
    Move("lose_scope", ("active",), "missing_scope", "a refresh that tells of fewer permissions"),
    Move("regain_scope", ("missing_scope",), "active", "a refresh that tells of all permissions"),
    Move("grant_ended", GRANT_STATES, "needs_consent", "TikTok: revoked, or 180 (365) days over"),
    Move("grant_restored", ("needs_consent",), "active", "tokens recheck; a refusal not believed"),
    Move("pause", (*GRANT_STATES, "paused"), "paused", "stores pause", ends_links=True),
    Move("resume", ("paused", "removed"), None, "stores resume"),
    Move(
        "disconnect",
        (*GRANT_STATES, "paused", "removed"),
        "removed",
        "stores disconnect",
        ends_links=True,
    ),
    Move("erase", ("removed",), "gone", "stores erase", ends_links=True),
)
"""All there are. What is not here is refused."""

MOVE: dict[MoveName, Move] = {move.name: move for move in MOVES}

_STATE = """
SELECT store_state(s.is_active, s.removed_at, t.status)
FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)
WHERE s.store_code = %s
"""
_LOCKED_STATE = _STATE + "FOR NO KEY UPDATE OF s"
_PAUSE = """
UPDATE stores SET is_active = false, paused_at = coalesce(paused_at, now()),
    paused_reason = %(reason)s, updated_at = now()
WHERE store_code = %(code)s
"""
_RESUME = """
UPDATE stores SET is_active = true, paused_at = NULL, paused_reason = NULL, removed_at = NULL,
    updated_at = now()
WHERE store_code = %(code)s
"""
_REMOVE = """
UPDATE stores SET is_active = false, paused_at = NULL, paused_reason = NULL,
    removed_at = coalesce(removed_at, now()), updated_at = now()
WHERE store_code = %(code)s
"""


class Lifecycle:
    """Moves of stores, each in one transaction with its row of ``store_audit``.

    Args:
        conn: Autocommit connection.
        actor: Who moves them, for the audit.
    """

    def __init__(self, conn: Connection, actor: str) -> None:
        self.conn = conn
        self.actor = actor

    def add(
        self,
        code: str,
        name: str,
        region: str | None = None,
        *,
        timezone: str | None = None,
        new_too: bool = False,
    ) -> StoreState:
        """A new store, to be connected later.

        Args:
            code: Its code, cleaned as the import does it (:func:`store_codes.clean_code`).
            name: Its name, for people.
            region: Its region, free text.
            timezone: Its time zone, such as ``Europe/Berlin``; ``None`` = that of the sync.
            new_too: Take the code although it looks like another one.

        Raises:
            DataError: It is there already or looks like one that is, a text cannot be used, or
                there is no such time zone.
        """
        with self.conn.transaction():
            codes = StoreCodes.read(self.conn, new_too=new_too)
            code, name, region = codes.meant(code), clean(name), clean(region or "") or None
            for what, value in (("code", code), ("name", name), ("region", region or "-")):
                if not value or "\x00" in value:
                    message = f"A store's {what} must be a text that is not empty."
                    raise DataError(message)
                if what != "code" and looks_like_token(value):
                    message = f"The store's {what} looks like a token."
                    raise DataError(message)
            if problem := codes.problem_of(code):
                raise DataError(problem)
            made = self.conn.execute(
                "INSERT INTO stores (store_code, store_name, region, timezone)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [code, name, region, checked_timezone(timezone)],
            ).rowcount
            if not made:
                message = (
                    f"There is a store {code} already ({self.state(code)}). To change its name or"
                    " region, import a row for it."
                )
                raise DataError(message)
            audit.record(self.conn, "add", [code], actor=self.actor)
        return "needs_consent"

    def pause(self, code: str, reason: str | None) -> StoreState:
        """Leave the store out of the nightly syncs; its grant and its history stay."""
        return self._move("pause", code, _PAUSE, reason=reason)

    def resume(self, code: str, *, without_grant: bool = False) -> StoreState:
        """Take a paused or removed store back in; its history goes on where it ended.

        Args:
            code: Which store.
            without_grant: Forget its ended grants, so that another account can be connected.

        Raises:
            DataError: It is neither; another store has its account meanwhile; or the grant to be
                forgotten has not ended.
        """
        with self.conn.transaction():
            accounts.lock(self.conn)
            self.locked_for("resume", code)
            if without_grant:
                self._forget_grant(code)
            if other := accounts.other_holder(self.conn, code):
                message = (
                    f"The TikTok account of store {code} belongs to store {other} meanwhile, and an"
                    f" account belongs to one store. If it is {code}'s, take it from the other"
                    f" first: stores disconnect {other} --no-revoke. If {code} has another one now:"
                    f" stores resume {code} --without-grant, then send its manager a link."
                )
                raise DataError(message)
            return self._move("resume", code, _RESUME)

    def _forget_grant(self, code: str) -> None:
        for table in GRANT_TABLES.values():
            forget = table.sql(
                "DELETE FROM {grants}"
                " WHERE store_code = %s AND NOT lives_at_tiktok(status, status_reason)"
            )
            self.conn.execute(forget, [code])
            left = table.sql("SELECT FROM {grants} WHERE store_code = %s")
            if self.conn.execute(left, [code]).fetchone() is not None:
                message = (
                    f"The grant of store {code} has not ended, so it is not forgotten. End it"
                    f" first: stores disconnect {code}."
                )
                raise DataError(message)
        # Nobody knows whose account comes next.
        self.conn.execute("SELECT forget_unsettled_days(%s)", [code])

    def remove(self, code: str) -> StoreState:
        """The store has left: no sync touches it any more; its history is kept.

        The first half of leaving, see :func:`include.tiktok_sync.stores.leaving.disconnect`.
        """
        return self._move("disconnect", code, _REMOVE)

    def state(self, code: str) -> StoreState:
        """The store's state.

        Raises:
            ConfigurationError: There is no such store.
        """
        return self._state(code, _STATE)

    def locked_for(self, name: MoveName, code: str) -> StoreState:
        """The store's state, its row locked until the surrounding transaction ends.

        Raises:
            ConfigurationError: There is no such store.
            DataError: It may not make this move from there.
        """
        state = self._state(code, _LOCKED_STATE)
        allowed = MOVE[name].sources
        if state not in allowed:
            message = (
                f"Store {code} is {state}; to {name} it, it must be {_either(allowed)}"
                f"{_NEXT_STEP.get(name, '')}."
            )
            raise DataError(message)
        return state

    def _move(self, name: MoveName, code: str, update: str, **values: str | None) -> StoreState:
        with self.conn.transaction():
            before = self.locked_for(name, code)
            self.conn.execute(update.encode(), {"code": code, **values})
            if MOVE[name].ends_links:
                revoke_links(self.conn, code)
            after = self.state(code)
            details = {"from": before, "to": after}
            audit.record(self.conn, name, [code], actor=self.actor, details=details)
        return after

    def _state(self, code: str, query: str) -> StoreState:
        row = self.conn.execute(query.encode(), [code]).fetchone()
        if row is None:
            message = f"There is no store {code} in the table stores."
            raise ConfigurationError(message)
        state: StoreState = row[0]
        return state


_NEXT_STEP: dict[MoveName, str] = {"erase": " first (stores disconnect)"}


def _either(states: Sequence[str]) -> str:
    return " or ".join([", ".join(states[:-1]), states[-1]] if len(states) > 1 else states)
