"""The Accounts API app's token endpoints: exchange a code, refresh, end or look at a grant.

Source: business-api.tiktok.com, "Authentication" (1738084387220481, 1833997638479041,
1765927978092545). Bodies are JSON, and no header signs them. A refresh does not prolong the grant:
it ends a year after the consent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from include.tiktok_sync.business.client import API_PATH, pause_after
from include.tiktok_sync.business.meanings import (
    TOKEN_CODES,
    TOKEN_LIMITED,
    code_of,
    log_id_of,
    meaning_of_answer,
)
from include.tiktok_sync.business.rate_limit import AppPause
from include.tiktok_sync.errors import (
    ConfigurationError,
    RateLimitedError,
    RetriableError,
    SyncError,
)
from include.tiktok_sync.tiktok.api_client import Said, error_of
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from include.tiktok_sync.tiktok.http import Answer, HttpTransport, Timeouts
from include.tiktok_sync.tiktok.meanings import Action
from include.tiktok_sync.tiktok.oauth import (
    TokenGrant,
    grant_of,
    longest_refresh,
    once_more,
    refreshed,
)

TOKEN = "tt_user/oauth2/token"  # noqa: S105 - a path, not a secret
REFRESH = "tt_user/oauth2/refresh_token"
REVOKE = "tt_user/oauth2/revoke"
TOKEN_INFO = "tt_user/token_info/get"  # noqa: S105 - a path, not a secret

_NO_TOKEN = "act.check"  # noqa: S105 - stands for none


@dataclass(frozen=True)
class TokenInfo:
    """What TikTok says about an access token.

    Attributes:
        open_id: Its account.
        scope: Granted scopes, comma-separated.
    """

    open_id: str | None
    scope: str | None


class BusinessOAuth:
    """Calls of the token endpoints with the app's credentials.

    Args:
        http: Made by :func:`include.tiktok_sync.business.client.business_transport`.
        app_id: The app's id.
        secret: The app's secret.
        timeouts: Those of ``http``.
        pause: The app's, shared by everyone; ``None`` = no pause, for a person who asks once.

    Attributes:
        app_fingerprint: Names the app, see :mod:`include.tiktok_sync.tokens.grant_app`.
        longest_refresh: How long :meth:`refresh` may take.
    """

    def __init__(
        self,
        http: HttpTransport,
        app_id: str,
        secret: str,
        timeouts: Timeouts | None = None,
        *,
        pause: AppPause | None = None,
    ) -> None:
        self.app_fingerprint = fingerprint_of(app_id)
        self.longest_refresh = longest_refresh(timeouts or Timeouts())
        self._http = http
        self._app_id = app_id
        self._pause = pause
        self._credentials = {"client_id": app_id, "client_secret": secret}

    def refresh(self, refresh_token: str) -> TokenGrant:
        """Exchange a refresh token for an access token, and perhaps a new refresh token.

        If the answer is lost, the same token is sent once more. While the app is paused, nothing is
        sent: waiting for the end would outlast the store's claim on the refresh.

        Raises:
            NeedsConsentError: TikTok says that the grant has ended; as an answer to the repetition
                it is explained.
            ConfigurationError: The app's credentials are wrong.
            RateLimitedError: The app is paused, or TikTok restricts it.
            RetriableError: No proof either way.
        """
        rest_s = self._pause.rest_of_pause() if self._pause else 0
        if rest_s > 0:
            detail = f"{REFRESH}: not called, the app is paused for {rest_s:.0f} s"
            raise RateLimitedError(TOKEN_LIMITED.message, retry_after_s=rest_s, detail=detail)
        body = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return _grant(refreshed(lambda: self._tokens(REFRESH, body)))

    def exchange(self, code: str, *, redirect_uri: str) -> TokenGrant:
        """Turn the code of a consent into tokens. A code works once, so never repeated.

        Args:
            code: As decoded from the callback's query.
            redirect_uri: Exactly the one that was sent to the authorize page.

        Raises:
            NeedsConsentError: The code is expired, used, or none of ours.
            ConfigurationError: The app's credentials are wrong.
            RetriableError: TikTok did not answer; the manager must consent again.
        """
        body = {
            "grant_type": "authorization_code",
            "auth_code": code,
            "redirect_uri": redirect_uri,
        }
        return _grant(self._tokens(TOKEN, body))

    def revoke(self, access_token: str) -> None:
        """End the whole grant that a living access token belongs to.

        Raises:
            NeedsConsentError: TikTok knows no such living token.
            ConfigurationError: The app's credentials are wrong.
            RetriableError: No proof either way.
        """
        self._post(REVOKE, {**self._credentials, "access_token": access_token})

    def token_info(self, access_token: str) -> TokenInfo:
        """What TikTok says about a living access token.

        Raises:
            NeedsConsentError: TikTok knows no such living token.
            ConfigurationError: The app's id is wrong, or the token is another app's.
            RetriableError: TikTok did not answer.
        """
        body = {"app_id": self._app_id, "access_token": access_token}
        data = _data(self._post(TOKEN_INFO, body))
        # The order of scopes differs from that of the token answer.
        grant = grant_of({**data, "access_token": access_token})
        open_id = data.get("creator_id")
        return TokenInfo(open_id if isinstance(open_id, str) else None, grant.scope)

    def check_app(self) -> None:
        """Ask to refresh a token that cannot exist: only credentials that are known get to that.

        With which code TikTok refuses such a token is not documented, so any refusal will do.

        Raises:
            ConfigurationError: The app's credentials are wrong.
            RetriableError: TikTok did not answer.
        """
        body = {"grant_type": "refresh_token", "refresh_token": _NO_TOKEN}
        try:
            once_more()(self._tokens, REFRESH, body)
        except (ConfigurationError, RetriableError):
            raise
        except SyncError:
            return

    def _tokens(self, endpoint: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        answer = self._post(endpoint, {**self._credentials, **body})
        data = _data(answer)
        if not data.get("access_token"):
            raise _error(answer, endpoint)
        return data

    def _post(self, endpoint: str, body: Mapping[str, str]) -> Answer:
        answer = self._http.send("POST", f"{API_PATH}{endpoint}/", json_body=body)
        if _said(answer).meaning.action is Action.USE:
            return answer
        error = _error(answer, endpoint)
        if isinstance(error, RateLimitedError) and error.retry_after_s and self._pause:
            self._pause.pause(error.retry_after_s)
        raise error


def _said(answer: Answer) -> Said:
    code = code_of(answer.body)
    meaning = meaning_of_answer(answer.status, code, TOKEN_CODES)
    return Said(meaning, code, (answer.body or {}).get("message"), log_id_of(answer.body))


def _error(answer: Answer, endpoint: str) -> SyncError:
    said = _said(answer)
    if said.meaning.action is Action.USE:  # a success without what belongs in it
        said = Said(meaning_of_answer(answer.status, None), said.code, said.message, said.log_id)
    if said.meaning is TOKEN_LIMITED and answer.retry_after_s is None:
        answer = replace(answer, retry_after_s=pause_after(said))
    return error_of(said, answer, endpoint)


def _data(answer: Answer) -> Mapping[str, Any]:
    data = (answer.body or {}).get("data")
    return data if isinstance(data, dict) else {}


def _grant(data: Mapping[str, Any]) -> TokenGrant:
    return grant_of(data, refresh_life="refresh_token_expires_in")
