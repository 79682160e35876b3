"""What happens when a browser comes back from TikTok, and when its account is not wanted."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog

from include.connect.desk import Desk
from include.connect.ledger import Account, Attempt, Outcome, Return, Verdict
from include.connect.tiktok import ConsentRequest, NoAccessError
from include.tiktok_sync.errors import (
    DatabaseUnavailableError,
    SyncError,
    TikTokUnavailableError,
)
from include.tiktok_sync.links.connect_links import hash_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Settled:
    """The attempt, whose page says how it ended.

    ``unwanted``: The account, if another one is expected.
    """

    attempt_id: UUID
    unwanted: Account | None = None


class Arrivals:
    """Settles what TikTok sent, as far as that needs no answer of the manager.

    Args:
        desk: The app's tools.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def settle(self, state: str, *, code: str, error: str, browser: str) -> Settled | None:
        """Use the state up, exchange the code, and connect where nothing is to be asked.

        A state that this browser has used before leads to the same attempt, and does nothing.

        Returns:
            The attempt; ``None`` = the state is forged, expired unused, another browser's, or its
            link was no longer open.
        """
        browser_hash = hash_of(browser)
        arrived = self._attempt_of(state, browser, use=True)
        if arrived is None:
            return None
        if not arrived.is_first:
            return Settled(arrived.attempt_id)
        if error or not code:
            outcome: Outcome = "denied" if error == "access_denied" else "failed"
            self._close(arrived, browser_hash, outcome, reason=error[:100] or "no code")
            return Settled(arrived.attempt_id)
        unwanted = None
        try:
            verifier = self._desk.browsers.code_verifier(state)
            consent = self._desk.consent.exchange(code, verifier, arrived.store_code)
        except NoAccessError as problem:
            self._close(arrived, browser_hash, "denied", reason=str(problem))
        except TikTokUnavailableError as problem:
            self._close(arrived, browser_hash, "unavailable", reason=_words(problem))
        except SyncError as problem:
            self._close(arrived, browser_hash, "failed", reason=_words(problem))
        else:
            unwanted = self._take(arrived, browser_hash, consent)
        return Settled(arrived.attempt_id, unwanted)

    def look(self, state: str, browser: str) -> Settled | None:
        """The attempt that :meth:`settle` would lead to; changes nothing."""
        found = self._attempt_of(state, browser, use=False)
        return Settled(found.attempt_id) if found else None

    def _attempt_of(self, state: str, browser: str, *, use: bool) -> Return | None:
        browsers = self._desk.browsers
        store_code = browsers.store_of_state(state, of_any_age=True)
        if store_code is None:
            return None
        is_fresh = browsers.store_of_state(state) is not None
        with self._desk.ledger() as ledger:
            if use:
                ledger.sweep()
            arrived = ledger.returned(hash_of(state), hash_of(browser), use=use and is_fresh)
        if arrived is None or arrived.store_code != store_code:
            log.warning("connect.state_refused", store_code=store_code)
            return None
        return arrived

    def decline(self, attempt: Attempt, attempt_id: UUID, browser: str) -> None:
        """The manager says that it is not the store's account: the access goes back to TikTok."""
        if not attempt.is_waiting:
            return
        with self._desk.ledger() as ledger:
            token = ledger.close(attempt_id, hash_of(browser), "declined")
        # Giving it back ends the whole grant of that account: never one that a store lives on.
        if token is not None and attempt.verdict in {"first", "replaces"}:
            self._desk.consent.give_back(token, attempt.store_code)
        log.info("connect.declined", store_code=attempt.store_code)

    def _take(
        self, arrived: Return, browser_hash: bytes, consent: ConsentRequest
    ) -> Account | None:
        """Connect, ask or refuse; the account, where another one is expected."""
        with self._desk.ledger() as ledger:
            verdict = ledger.hold(arrived.attempt_id, browser_hash, consent.account, consent.sealed)
        username = consent.account.username
        is_expected = arrived.expected_account is not None and (
            username is not None and username.lower() == arrived.expected_account
        )
        if verdict == "taken":
            self._close(arrived, browser_hash, "taken", reason="connected to another store")
        elif arrived.expected_account is not None and not is_expected:
            token = self._close(arrived, browser_hash, "wrong_account", reason="not the expected")
            if token is not None and verdict != "same":
                self._desk.consent.give_back(token, arrived.store_code)
            return consent.account
        elif _needs_no_question(verdict, is_expected=is_expected):
            self._connect(arrived, browser_hash, consent.account.scope)
        return None

    def _connect(self, arrived: Return, browser_hash: bytes, scope: str) -> None:
        try:
            with self._desk.ledger() as ledger:
                result = ledger.confirm(
                    arrived.attempt_id,
                    browser_hash,
                    scope=scope,
                    wanted=self._desk.settings.scopes,
                    replace=False,
                )
        except DatabaseUnavailableError as error:
            # A token refresh holds the store's row. The tokens wait; the next page asks.
            log.warning("connect.busy", store_code=arrived.store_code, reason=str(error))
        else:
            log.info("connect.connected", store_code=arrived.store_code, result=result)

    def _close(
        self, arrived: Return, browser_hash: bytes, outcome: Outcome, *, reason: str
    ) -> bytes | None:
        with self._desk.ledger() as ledger:
            token = ledger.close(arrived.attempt_id, browser_hash, outcome)
        log.warning("connect.ended", store_code=arrived.store_code, outcome=outcome, reason=reason)
        return token


def _needs_no_question(verdict: Verdict, *, is_expected: bool) -> bool:
    """The account that the store had, or the very one that the operator named for a new store."""
    return verdict == "same" or (verdict == "first" and is_expected)


def _words(problem: SyncError) -> str:
    return f"{problem} ({problem.detail})" if problem.detail else str(problem)
