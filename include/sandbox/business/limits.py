"""May this call be answered: three windows over one app, and five minutes of nothing after them?

Pages "Rate limits" and "Accounts API: rate limits" (reference: Accounts API, 4): ten calls a second
and 600 a minute over all endpoints, 40 a minute of each account to each endpoint; after a second's
limit wait for the next second, after a minute's suspend calls for five minutes. The refusals have
no headers.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any

from include.sandbox.business.envelopes import (
    QPS_MESSAGE,
    TOO_MANY,
    BusinessError,
    answer_of,
)
from include.sandbox.business_settings import BUSINESS_READS

if TYPE_CHECKING:
    from include.sandbox.endpoints.pipeline import Call
    from include.sandbox.state import SandboxState
    from include.sandbox.wire.envelopes import SandboxAnswer

#: An account and an endpoint; `APP` stands for all of both.
Key = tuple[str, str]
APP: Key = ("", "")

_SECOND = 1.0


class BusinessLimits:
    """The windows of the Accounts API app, and the count of their violations.

    Args:
        sandbox: Its settings say what the limits are.

    Attributes:
        violations: Kind -> calls refused: `second`, `minute`, `account_minute`, and `penalty` for
            those that came although calls were suspended.
        largest: Kind -> most calls that ever came within one window, refused ones too.
    """

    def __init__(self, sandbox: SandboxState) -> None:
        self._sandbox = sandbox
        self.violations: Counter[str] = Counter()
        self.largest: Counter[str] = Counter()
        self._answered: defaultdict[tuple[str, Key], deque[float]] = defaultdict(deque)
        self._arrived: defaultdict[tuple[str, Key], deque[float]] = defaultdict(deque)
        self._suspended: dict[Key, float] = {}

    def gate(self, call: Call, now: float) -> SandboxAnswer | None:
        """The refusal of a call at monotonic seconds, None if it may be answered."""
        business = self._sandbox.settings.business
        is_read = call.endpoint in BUSINESS_READS
        if business is None or not (is_read or business.count_token_calls):
            return None
        token = call.tokens.find(call.bearer)
        account = (token.store_code, call.endpoint) if token and is_read else None
        message = self._refusal(account, now)
        return None if message is None else answer_of(BusinessError(TOO_MANY, message), call.log_id)

    def clear(self) -> None:
        """Forgets violations and maxima; the windows and penalties stay."""
        self.violations.clear()
        self.largest.clear()

    def lift(self) -> None:
        """Ends all penalties and empties the windows."""
        self._suspended.clear()
        self._answered.clear()

    def shown(self) -> dict[str, Any]:
        """`{"violations": {kind: n}, "largest": {kind: n}, "suspended": n}`."""
        return {
            "violations": dict(self.violations),
            "largest": dict(self.largest),
            "suspended": sum(end > time.monotonic() for end in self._suspended.values()),
        }

    def _refusal(self, account: Key | None, now: float) -> str | None:
        settings = self._sandbox.settings
        assert settings.business is not None  # noqa: S101 (the gate has looked)
        lifted = settings.rate_limit == 0
        second, minute, each = settings.business.limits(lifted=lifted)
        windows = [
            ("second", APP, _SECOND, second),
            ("minute", APP, settings.window_seconds, minute),
        ]
        if account is not None:
            windows.append(("account_minute", account, settings.window_seconds, each))
        fixed = settings.business.windows == "fixed"
        for kind, key, length, _ in windows:
            arrived = _within(self._arrived[kind, key], now, length, fixed=fixed)
            arrived.append(now)
            self.largest[kind] = max(self.largest[kind], len(arrived))
        if any(self._suspended.get(key, 0.0) > now for _, key, _, _ in windows):
            self.violations["penalty"] += 1
            return _restricted()
        # The longest first: a call that breaks two limits is refused for what lasts.
        for kind, key, length, limit in reversed(windows):
            answered = _within(self._answered[kind, key], now, length, fixed=fixed)
            if limit and len(answered) >= limit:
                self.violations[kind] += 1
                if kind == "second":
                    return QPS_MESSAGE
                self._suspended[key] = now + settings.business.penalty_seconds
                return _restricted()
        for kind, key, _, _ in windows:
            self._answered[kind, key].append(now)
        return None


def _restricted() -> str:
    return str(BusinessError(TOO_MANY).message)


def _within(times: deque[float], now: float, length: float, *, fixed: bool) -> deque[float]:
    """The times without those before the window that `now` is in."""
    begin = math.floor(now / length) * length if fixed else now - length
    while times and (times[0] < begin if fixed else times[0] <= begin):
        times.popleft()
    return times
