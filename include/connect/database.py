"""How does the connect app use the database? By function calls; it reads and writes no table.

The functions (migrations 0007 to 0024) find a row only by a secret that the caller must know: the
hash of a link, or an attempt together with the browser that began it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from typing_extensions import LiteralString

from include.tiktok_sync.jobs import Api
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.tokens.scopes import split_scope, status_for_scope

LinkState = Literal["open", "used", "replaced", "expired"]
Outcome = Literal[
    "denied", "declined", "wrong_account", "taken", "unavailable", "failed", "not_approved"
]
Scopes = frozenset[str]
Verdict = Literal["first", "same", "replaces", "taken", "gone"]
Confirmed = Verdict | Literal["connected", "other"]

_CONFIRM: dict[Api, LiteralString] = {
    "display": "SELECT connect_confirm(%s, %s, %s, %s, %s, %s)",
    "business": "SELECT connect_business_confirm(%s, %s, %s, %s, %s, %s)",
}
_WEBHOOK: dict[Api, LiteralString] = {
    "display": "SELECT connect_webhook(%s, %s, %s, %s, %s, %s)",
    "business": "SELECT connect_business_webhook(%s, %s, %s, %s, %s, %s)",
}


@dataclass(frozen=True)
class Link:
    """A link as stored in the database."""

    store_code: str
    store_name: str
    expected_account: str | None
    expires_at: datetime
    state: LinkState
    api: Api


@dataclass(frozen=True)
class Return:
    """A browser that returned from TikTok with a valid state; ``is_first`` = it was unused."""

    attempt_id: UUID
    store_code: str
    expected_account: str | None
    is_first: bool


@dataclass(frozen=True)
class Attempt:
    """One attempt.

    ``is_waiting``: its tokens wait for the manager's answer. ``is_under_way``: another request of
    the same browser is asking TikTok for them. ``notice_version``: the privacy notice that was
    shown last. ``has_business``: the store has a whole grant of the Accounts API.
    """

    store_code: str
    store_name: str
    expected_account: str | None
    link_hash: bytes
    link_state: LinkState
    outcome: str | None
    is_waiting: bool
    is_under_way: bool
    username: str | None
    display_name: str | None
    scope: str | None
    verdict: Verdict
    present_username: str | None
    present_display_name: str | None
    notice_version: str | None
    api: Api
    has_business: bool


@dataclass(frozen=True)
class Account:
    """The account that TikTok's tokens belong to, and what they allow."""

    open_id: str
    union_id: str | None
    username: str | None
    display_name: str | None
    scope: str


@dataclass(frozen=True)
class SealedTokens:
    """A pair of tokens as ciphertext, bound to its store, and the app that gave them."""

    access_token: bytes
    access_expires_at: datetime
    refresh_token: bytes
    refresh_expires_at: datetime | None
    app_fingerprint: str


class ConnectDatabase:
    """The app's functions on one autocommit connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def link(self, link_hash: bytes) -> Link | None:
        """The link with this hash, if there is one."""
        with self._conn.cursor(row_factory=class_row(Link)) as cursor:
            return cursor.execute("SELECT * FROM connect_link(%s)", [link_hash]).fetchone()

    def keep_notice(self, version: str, text: str) -> None:
        """Record the privacy notice that a page is about to show; it is kept once."""
        self._conn.execute("SELECT connect_notice(%s, %s)", [version, text])

    def begin(
        self,
        link_hash: bytes,
        *,
        state_hash: bytes,
        browser_hash: bytes,
        life: timedelta,
        notice: str,
    ) -> UUID | None:
        """A new attempt of a browser that was shown a privacy notice; ``None`` = no open link."""
        begun: UUID | None = self._value(
            "SELECT connect_begin(%s, %s, %s, %s, %s)",
            link_hash,
            state_hash,
            browser_hash,
            life,
            notice,
        )
        return begun

    def begin_next(
        self,
        attempt_id: UUID,
        browser_hash: bytes,
        *,
        link_hash: bytes,
        state_hash: bytes,
        life: timedelta,
        notice: str,
    ) -> UUID | None:
        """The second consent of a manager who has just given the first; ``None`` = not now.

        Args:
            attempt_id: The attempt that connected the store.
            browser_hash: The browser that began it.
            link_hash: Of a fresh random value, for a link that nobody is sent.
            state_hash: As for :meth:`begin`.
            life: As for :meth:`begin`.
            notice: As for :meth:`begin`.
        """
        begun: UUID | None = self._value(
            "SELECT connect_next(%s, %s, %s, %s, %s, %s)",
            attempt_id,
            browser_hash,
            link_hash,
            state_hash,
            life,
            notice,
        )
        return begun

    def returned(self, state_hash: bytes, browser_hash: bytes, *, use: bool) -> Return | None:
        """The attempt of a state; ``None`` = unknown, expired unused, or another browser's.

        Args:
            state_hash: The state.
            browser_hash: The browser that began the attempt.
            use: Use it up if it is unused; otherwise only read it.
        """
        with self._conn.cursor(row_factory=class_row(Return)) as cursor:
            return cursor.execute(
                "SELECT * FROM connect_return(%s, %s, %s)", [state_hash, browser_hash, use]
            ).fetchone()

    def attempt(self, attempt_id: UUID, browser_hash: bytes) -> Attempt | None:
        """An attempt, for the browser that began it."""
        with self._conn.cursor(row_factory=class_row(Attempt)) as cursor:
            return cursor.execute(
                "SELECT * FROM connect_attempt(%s, %s)", [attempt_id, browser_hash]
            ).fetchone()

    def hold(
        self, attempt_id: UUID, browser_hash: bytes, account: Account, tokens: SealedTokens
    ) -> Verdict:
        """Keep new tokens until the manager answers; returns whose account it is."""
        return (
            self._value(
                "SELECT connect_hold(%s, %s, %s, %s, %s, %s, %s)",
                attempt_id,
                browser_hash,
                Jsonb({**vars(account), "app_fingerprint": tokens.app_fingerprint}),
                tokens.access_token,
                tokens.access_expires_at,
                tokens.refresh_token,
                tokens.refresh_expires_at,
            )
            or "gone"
        )

    def confirm(
        self,
        api: Api,
        attempt_id: UUID,
        browser_hash: bytes,
        *,
        scope: str,
        wanted: Scopes,
        replace: bool,
        notice: str | None,
    ) -> Confirmed:
        """Connect the store with the tokens that were kept; any other result says why not.

        Args:
            api: To which API.
            attempt_id: The attempt that has the tokens.
            browser_hash: The browser that began it.
            scope: Scopes granted, comma-separated.
            wanted: Scopes requested; the link is used up once all of them are granted.
            replace: Whether another account may be replaced.
            notice: Version of the privacy notice on the page that was answered; ``None`` = nothing
                was asked, so that of the attempt counts.
        """
        result: Confirmed = self._value(
            _CONFIRM[api],
            attempt_id,
            browser_hash,
            replace,
            status_for_scope(scope, api),
            split_scope(scope) >= wanted,
            notice,
        )
        return result

    def close(self, attempt_id: UUID, browser_hash: bytes, outcome: Outcome) -> bytes | None:
        """End an attempt without a connection; returns its access token's ciphertext, if kept."""
        held: bytes | None = self._value(
            "SELECT connect_close(%s, %s, %s)", attempt_id, browser_hash, outcome
        )
        return held

    def sweep(self) -> int:
        """End expired attempts; returns how many."""
        return int(self._value("SELECT connect_sweep()"))

    def webhook(
        self,
        api: Api,
        event_hash: bytes,
        *,
        event: str,
        open_id: str,
        reason: int | None,
        happened_at: datetime,
        message: str,
    ) -> str:
        """Record an event; returns its effect."""
        return str(
            self._value(
                _WEBHOOK[api],
                event_hash,
                event,
                open_id,
                reason,
                happened_at,
                message,
            )
        )

    def _value(self, query: LiteralString, *values: object) -> Any:
        row = self._conn.execute(query, values).fetchone()
        return row[0] if row else None
