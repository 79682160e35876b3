"""What a caller may do about a failure: one tree, by recovery and not by origin.

``ConfigurationError``  an operator changes a setting; trying again changes nothing.
``FatalError``          this call cannot succeed as written (our bug, or the API changed).
``RetriableError``      the same work can succeed later; ``retry_after_s`` says when.
``SkippableError``      there is nothing to do for this store in this run; others continue.
``DataError``           an answer or an input row lacks required content.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

StoreTokenStatus = Literal["active", "needs_consent", "missing_scope"]

MAX_RETRY_AFTER_S = 120.0
"""The longest wait that an answer may ask for: two of TikTok's rate limit windows. An odd
``Retry-After`` must close an endpoint or hold a task back for minutes, never for a night."""

MAX_WAIT_S = 300.0
"""The longest wait that a failure may ask for: the five minutes for which TikTok restricts an app
of the Accounts API. A task that is tried again sooner is refused again."""


def bounded_wait(seconds: float | None, most: float = MAX_RETRY_AFTER_S) -> float | None:
    """A requested wait, at most ``most``.

    Returns:
        Seconds above 0; ``None`` = no wait was requested.
    """
    if seconds is None or math.isnan(seconds) or seconds <= 0:
        return None
    return min(seconds, most)


class SyncError(Exception):
    """Base of every expected failure.

    Args:
        message: For the person who reads it: the cause and the next step. Never a secret.
        detail: For the engineer: status, codes, what was sent. Never a secret.
        log_id: TikTok's ``log_id`` of the answer, which their support asks for.
    """

    kind: ClassVar[str] = "error"

    def __init__(
        self, message: str, *, detail: str | None = None, log_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.log_id = log_id

    def __str__(self) -> str:
        """The message, with TikTok's ``log_id`` where there is one."""
        return f"{self.message} (TikTok log_id {self.log_id})" if self.log_id else self.message


class ConfigurationError(SyncError):
    """A setting, key, credential or schema is wrong; the message says which and what to do."""

    kind = "configuration"


class OtherAppError(ConfigurationError):
    """The store's grant was given to another TikTok app than the one that is configured."""

    kind = "other_app"


class ImplausibleRefusalsError(ConfigurationError):
    """TikTok refused this grant, and too many others at once for the refusals to be plausible."""

    kind = "refusals_doubted"  # stored in rows and details, so the name stays


class FatalError(SyncError):
    """TikTok refuses the request as we write it; retrying sends the same refusal."""

    kind = "fatal"


class RetriableError(SyncError):
    """The same work may succeed later.

    Args:
        message: See :class:`SyncError`.
        retry_after_s: Seconds to wait at least, when known; kept up to ``MAX_WAIT_S``.
        detail: See :class:`SyncError`.
        log_id: See :class:`SyncError`.
    """

    kind = "retriable"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        detail: str | None = None,
        log_id: str | None = None,
    ) -> None:
        super().__init__(message, detail=detail, log_id=log_id)
        self.retry_after_s = bounded_wait(retry_after_s, MAX_WAIT_S)


class TikTokUnavailableError(RetriableError):
    """TikTok did not answer, or answered with its own trouble (5xx, time-out, broken body)."""

    kind = "unavailable"


class RateLimitedError(RetriableError):
    """TikTok answered 429 although calls are spaced by the shared limit."""

    kind = "rate_limited"


class ListingError(RetriableError):
    """TikTok's listing does not continue; another try starts from the newest video."""

    kind = "listing"


class DatabaseUnavailableError(RetriableError):
    """Postgres cannot be reached, or a lock was not available in time."""

    kind = "database"


class OutOfTimeError(RetriableError):
    """The store was not done within the time that one try may take."""

    kind = "out_of_time"


class SkippableError(SyncError):
    """This store has nothing to sync until somebody acts; the run goes on."""

    kind = "skippable"


class NeedsConsentError(SkippableError):
    """The store's grant is dead; its manager must connect the account again.

    Attributes:
        explained: The cause is known, so TikTok's answer is not the only evidence.
    """

    kind = "needs_consent"
    explained: bool = False


class MissingScopeError(SkippableError):
    """The store's manager did not grant what this job needs."""

    kind = "missing_scope"


class DataError(SyncError):
    """An answer or an input row does not have the shape it must have."""

    kind = "data"
