"""TikTok's OAuth endpoints: exchange a code, refresh or end a grant, check the app's credentials.

Sources: developers.tiktok.com "Refresh a user access token", "Revoke a user access token", "OAuth
Error Handling". Answers are decided by their body, never by their status: errors have been seen
with 200.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import NeedsConsentError, SyncError, TikTokUnavailableError
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from include.tiktok_sync.tiktok.http import Answer, HttpTransport, Timeouts
from include.tiktok_sync.tiktok.meanings import (
    HTTP_OK,
    meaning_of_oauth_answer,
    oauth_error,
    oauth_said,
)
from include.tiktok_sync.tiktok.values import clean_text

TOKEN_PATH = "/v2/oauth/token/"  # noqa: S105 - a path, not a secret
REVOKE_PATH = "/v2/oauth/revoke/"

ATTEMPTS = 2
PAUSE_S = 1.0
"""A refresh, or a check of the app, that got no answer is repeated once after this time."""


def longest_refresh(timeouts: Timeouts) -> timedelta:
    """How long a refresh may take, including all its attempts and the pauses between them.

    A claim on a store's refresh lasts longer than this (:mod:`include.tiktok_sync.tokens.store`).
    """
    pauses_s = (ATTEMPTS - 1) * PAUSE_S
    return timedelta(seconds=ATTEMPTS * timeouts.longest_call_s + pauses_s)


GRANT_TYPE_REFUSALS = frozenset(
    {"access_denied", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}
)
"""``error`` values that refuse a kind of grant to an app whose key and secret are right."""

LONGEST_LIFE_S = 10 * 366 * 86_400
"""Ten years, in seconds: ten times what TikTok has ever given a token."""


@dataclass(frozen=True)
class TokenGrant:
    """A successful refresh or exchange.

    Attributes:
        access_token: The new access token.
        expires_in_s: Its life in seconds; never assumed, TikTok has changed it before. 0 =
            TikTok did not say: it is used now and refreshed before the next use.
        refresh_token: The new refresh token; ``None`` = TikTok sent none, the old one stays.
        refresh_expires_in_s: Its remaining life in seconds; ``None`` = TikTok did not say.
        open_id: The account, if sent.
        scope: Granted scopes, comma-separated, if sent.

    A value sent with the tokens that makes no sense counts as not sent.
    """

    access_token: str = field(repr=False)
    expires_in_s: int
    refresh_token: str | None = field(repr=False)
    refresh_expires_in_s: int | None
    open_id: str | None
    scope: str | None


class OAuthClient:
    """Calls of the token endpoint with the app's credentials.

    Args:
        http: Transport to TikTok's API host.
        client_key: The app's key.
        client_secret: The app's secret.
        timeouts: Those of ``http``.

    Attributes:
        app_fingerprint: Names the app, see :mod:`include.tiktok_sync.tokens.grant_app`.
        longest_refresh: How long :meth:`refresh` may take.
    """

    def __init__(
        self,
        http: HttpTransport,
        client_key: str,
        client_secret: str,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.app_fingerprint = fingerprint_of(client_key)
        self.longest_refresh = longest_refresh(timeouts or Timeouts())
        self._http = http
        self._credentials = {"client_key": client_key, "client_secret": client_secret}

    def refresh(self, refresh_token: str) -> TokenGrant:
        """Exchange a refresh token for a new pair. The old one no longer works from then on.

        If the answer is lost, the same token is sent once more: only TikTok's ``invalid_grant``
        proves that it was used up.

        Raises:
            NeedsConsentError: ``invalid_grant``; as an answer to the repetition it is explained.
            ConfigurationError: The app's credentials are wrong.
            TikTokUnavailableError: No proof either way.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return grant_of(refreshed(lambda: self._token(**form)))

    def exchange(self, code: str, *, redirect_uri: str, code_verifier: str) -> TokenGrant:
        """Turn the code of a consent into a pair of tokens. A code works once, so never repeated.

        Args:
            code: As decoded from the callback's query (``*`` and ``!`` in it).
            redirect_uri: Exactly the one that was sent to the authorize page.
            code_verifier: The value that the code challenge was made from.

        Raises:
            NeedsConsentError: The code is expired, used, or none of ours.
            ConfigurationError: The app's credentials are wrong.
            TikTokUnavailableError: TikTok did not answer; the manager must consent again.
        """
        return grant_of(
            self._token(
                grant_type="authorization_code",
                code=code,
                redirect_uri=redirect_uri,
                code_verifier=code_verifier,
            )
        )

    def revoke(self, access_token: str) -> None:
        """End the whole grant that a living access token belongs to.

        Success is an empty object; one with only a ``log_id``, or "ok", counts too. A failure can
        come with status 200, and an expired token is refused like an unknown one, so refresh it
        first.

        Raises:
            NeedsConsentError: ``invalid_grant``: TikTok knows no such living token.
            ConfigurationError: The app's credentials are wrong.
            RetriableError: No proof either way.
        """
        answer = self._post(REVOKE_PATH, token=access_token)
        if not _is_done(answer):
            raise _error(answer, REVOKE_PATH)

    def check_app(self) -> None:
        """Ask for a client token, which proves key and secret without touching any store.

        Passing trouble is retried once, because a whole night depends on this call.

        If TikTok gives the app no client token (it documents them for other products), the kind of
        refusal still shows that it knows the app.

        Raises:
            ConfigurationError: The app's credentials are wrong.
            TikTokUnavailableError: TikTok did not answer.
        """
        once_more()(self._check_app)

    def _check_app(self) -> None:
        answer = self._post(TOKEN_PATH, grant_type="client_credentials")
        body = answer.body or {}
        refusal = oauth_error(oauth_said(body))
        if not body.get("access_token") and refusal not in GRANT_TYPE_REFUSALS:
            raise _error(answer)

    def _token(self, **form: str) -> Mapping[str, Any]:
        answer = self._post(TOKEN_PATH, **form)
        body = answer.body or {}
        if not body.get("access_token"):
            raise _error(answer)
        return body

    def _post(self, path: str, **form: str) -> Answer:
        return self._http.send("POST", path, form={**self._credentials, **form})


def refreshed(ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The answer to a refresh, asked for once more if it was lost.

    Raises:
        NeedsConsentError: As ``ask`` raises it; as an answer to the repetition it is explained.
        SyncError: As ``ask`` raises it.
    """
    retry = once_more()
    try:
        body: Mapping[str, Any] = retry(ask)
    except NeedsConsentError as error:
        if retry.statistics.get("attempt_number", 1) > 1:
            raise answer_lost(error, utc_now()) from None
        raise
    return body


def once_more() -> Retrying:
    """Repeats what got no answer, once."""
    return Retrying(
        retry=retry_if_exception_type(TikTokUnavailableError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_fixed(PAUSE_S),
        reraise=True,
    )


def answer_lost(error: NeedsConsentError, begun_at: datetime) -> NeedsConsentError:
    """The error for a dead grant whose last refresh, begun at that time, lost its answer."""
    begun = begun_at.astimezone(timezone.utc)
    message = (
        f"The answer to a token refresh of {begun:%Y-%m-%d %H:%M} UTC was lost (the connection"
        " broke, or the process was killed), and TikTok has since replaced the token. The store's"
        " manager must connect the account again."
    )
    lost = NeedsConsentError(message, detail=error.detail, log_id=error.log_id)
    lost.explained = True
    return lost


def grant_of(body: Mapping[str, Any], refresh_life: str = "refresh_expires_in") -> TokenGrant:
    """Read an answer with an ``access_token``; ``refresh_life`` names the refresh token's life."""
    # The old token is dead by now: an odd value in the answer must not cost the new one.
    scope = body.get("scope")
    if isinstance(scope, list):
        scope = ",".join(item for item in scope if isinstance(item, str))
    return TokenGrant(
        access_token=clean_text(str(body["access_token"])),
        expires_in_s=_seconds(body.get("expires_in")) or 0,
        refresh_token=_text(body.get("refresh_token")),
        refresh_expires_in_s=_seconds(body.get(refresh_life)),
        open_id=_text(body.get("open_id")),
        scope=_text(scope),
    )


def _error(answer: Answer, path: str = TOKEN_PATH) -> SyncError:
    said = oauth_said(answer.body or {})
    meaning = meaning_of_oauth_answer(answer.status, oauth_error(said))
    endpoint = path.removeprefix("/v2/").rstrip("/")
    what = f"{said.get('error')}: {said.get('error_description')}"
    return meaning.as_error(
        detail=f"{endpoint}: HTTP {answer.status}, {what}",
        log_id=said.get("log_id"),
        retry_after_s=answer.retry_after_s,
    )


def _is_done(answer: Answer) -> bool:
    """Whether TikTok says that it ended the grant."""
    if answer.status != HTTP_OK or answer.body is None:
        return False
    error = oauth_said(answer.body).get("error")
    return not answer.body or error == "ok" or ("log_id" in answer.body and not error)


def _text(value: Any) -> str | None:
    return clean_text(value).strip() or None if isinstance(value, str) else None


def _seconds(value: Any) -> int | None:
    """A plausible lifetime of a token; with any other value its end is unknown."""
    try:
        seconds = int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 < seconds <= LONGEST_LIFE_S else None
