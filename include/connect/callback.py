"""What happens when a browser returns from TikTok, and when its account is not the expected one?"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog

from include.connect.consent.base import GrantedConsent, NoAccessError
from include.connect.context import ConnectContext
from include.connect.database import Account, Attempt, Outcome, Return, Verdict
from include.tiktok_sync.errors import DatabaseUnavailableError, RetriableError, SyncError
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.links.connect_links import hash_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CallbackResult:
    """The attempt, whose page says how it ended.

    ``unwanted``: The account, if another one is expected.
    """

    attempt_id: UUID
    unwanted: Account | None = None


class CallbackHandler:
    """Handles a return from TikTok, up to the point where the manager must answer.

    Args:
        context: Shared by the routes.
        api: Whose consent it is.
    """

    def __init__(self, context: ConnectContext, api: Api) -> None:
        self._context = context
        self._api = api
        self._consent = context.consents[api]

    def handle(self, state: str, *, code: str, error: str, browser: str) -> CallbackResult | None:
        """Use the state up, exchange the code, and connect if the manager need not be asked.

        A state that this browser has used before leads to the same attempt, and does nothing.

        Returns:
            The attempt; ``None`` = the state is forged, expired unused, another browser's, or its
            link was no longer open.
        """
        browser_hash = hash_of(browser)
        returned = self._attempt_of(state, browser, use=True)
        if returned is None:
            return None
        if not returned.is_first:
            return CallbackResult(returned.attempt_id)
        if error or not code:
            outcome = self._outcome_of_return(error)
            self._close(returned, browser_hash, outcome, reason=error[:100] or "no code")
            return CallbackResult(returned.attempt_id)
        unwanted = None
        try:
            verifier = self._context.cookies.code_verifier(state)
            consent = self._consent.exchange(code, verifier, returned.store_code)
        except SyncError as problem:
            self._close(returned, browser_hash, _outcome_of(problem), reason=_words(problem))
        else:
            unwanted = self._take(returned, browser_hash, consent)
        return CallbackResult(returned.attempt_id, unwanted)

    def find(self, state: str, browser: str) -> CallbackResult | None:
        """The attempt that :meth:`handle` would lead to; changes nothing."""
        found = self._attempt_of(state, browser, use=False)
        return CallbackResult(found.attempt_id) if found else None

    def _attempt_of(self, state: str, browser: str, *, use: bool) -> Return | None:
        cookies = self._context.cookies
        store_code = cookies.store_of_state(self._api, state, of_any_age=True)
        if store_code is None:
            return None
        is_fresh = cookies.store_of_state(self._api, state) is not None
        with self._context.database() as database:
            if use:
                database.sweep()
            returned = database.returned(hash_of(state), hash_of(browser), use=use and is_fresh)
        if returned is None or returned.store_code != store_code:
            log.warning("connect.state_refused", store_code=store_code)
            return None
        return returned

    def _outcome_of_return(self, error: str) -> Outcome:
        if error == "invalid_scope" and self._api == "business":
            return "not_approved"  # TikTok refuses every login that asks for it
        return "denied" if error == "access_denied" else "failed"

    def decline(self, attempt: Attempt, attempt_id: UUID, browser: str) -> None:
        """The manager says that it is not the store's account: revoke the access at TikTok."""
        if not attempt.is_waiting:
            return
        self.give_back(
            attempt_id, hash_of(browser), attempt.store_code, attempt.verdict, "declined"
        )
        log.info("connect.declined", store_code=attempt.store_code)

    def give_back(
        self,
        attempt_id: UUID,
        browser_hash: bytes,
        store_code: str,
        verdict: Verdict,
        outcome: Outcome,
    ) -> None:
        """End an attempt without a connection, and its access at TikTok.

        Revoking ends the whole grant of an account, so it is not done while a store uses it.
        """
        with self._context.database() as database:
            token = database.close(attempt_id, browser_hash, outcome)
        if token is not None and verdict in {"first", "replaces"}:
            self._consent.revoke(token, store_code)

    def _take(
        self, returned: Return, browser_hash: bytes, consent: GrantedConsent
    ) -> Account | None:
        """Connect, ask or refuse; returns the account if another one was expected."""
        with self._context.database() as database:
            verdict = database.hold(
                returned.attempt_id, browser_hash, consent.account, consent.sealed
            )
        username = consent.account.username
        is_expected = returned.expected_account is not None and (
            username is not None and username.lower() == returned.expected_account
        )
        if verdict == "taken":
            reason = "connected to another store"
            self._refuse(returned, browser_hash, verdict, "taken", reason=reason)
        elif consent.problem is not None and self._needs_names(returned):
            outcome, reason = _outcome_of(consent.problem), _words(consent.problem)
            self._refuse(returned, browser_hash, verdict, outcome, reason=reason)
        elif returned.expected_account is not None and not is_expected:
            reason = "not the expected"
            self._refuse(returned, browser_hash, verdict, "wrong_account", reason=reason)
            return consent.account
        elif self._needs_no_question(verdict, is_expected=is_expected):
            self._connect(returned, browser_hash, consent.account.scope, verdict)
        return None

    def _needs_names(self, returned: Return) -> bool:
        """Whether the account's username is compared: now, or later with that of the first API."""
        return self._api == "business" or returned.expected_account is not None

    def _needs_no_question(self, verdict: Verdict, *, is_expected: bool) -> bool:
        """Whether it is the account the store had, or the one that is expected of a new store.

        The account that the first consent was given for may replace another one in the second.
        """
        if verdict == "same":
            return True
        return is_expected and (verdict == "first" or self._api == "business")

    def _connect(self, returned: Return, browser_hash: bytes, scope: str, verdict: Verdict) -> None:
        try:
            with self._context.database() as database:
                result = database.confirm(
                    self._api,
                    returned.attempt_id,
                    browser_hash,
                    scope=scope,
                    wanted=self._context.settings.wanted(self._api),
                    replace=verdict == "replaces",
                    notice=None,
                )
        except DatabaseUnavailableError as error:
            # A token refresh has locked the store's row. The tokens are kept; the next page asks.
            log.warning("connect.busy", store_code=returned.store_code, reason=str(error))
            return
        if result == "other":
            reason = "not the other API's account"
            self._refuse(returned, browser_hash, verdict, "wrong_account", reason=reason)
        else:
            log.info("connect.connected", store_code=returned.store_code, result=result)

    def _refuse(
        self,
        returned: Return,
        browser_hash: bytes,
        verdict: Verdict,
        outcome: Outcome,
        *,
        reason: str,
    ) -> None:
        self.give_back(returned.attempt_id, browser_hash, returned.store_code, verdict, outcome)
        log.warning("connect.ended", store_code=returned.store_code, outcome=outcome, reason=reason)

    def _close(
        self, returned: Return, browser_hash: bytes, outcome: Outcome, *, reason: str
    ) -> None:
        with self._context.database() as database:
            database.close(returned.attempt_id, browser_hash, outcome)
        log.warning("connect.ended", store_code=returned.store_code, outcome=outcome, reason=reason)


def _outcome_of(problem: SyncError) -> Outcome:
    if isinstance(problem, NoAccessError):
        return "denied"
    return "unavailable" if isinstance(problem, RetriableError) else "failed"


def _words(problem: SyncError) -> str:
    return f"{problem} ({problem.detail})" if problem.detail else str(problem)
