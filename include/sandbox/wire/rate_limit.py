"""May this call be answered: TikTok's sliding window for each endpoint."""

from __future__ import annotations

from collections import defaultdict, deque


class SlidingWindow:
    """Counts the answered calls of each endpoint over the last `window` seconds.

    All stores share it, because the limit belongs to the app (TikTok page "API v2 rate limits": 600
    for each endpoint in a one-minute sliding window; reference: rate limits). Refused calls do not
    count: TikTok does not say, and counting them would lock a hasty client out forever.

    Args:
        limit: Calls per window, 0 = unlimited.
        window: Length in seconds.
    """

    def __init__(self, limit: int, window: float) -> None:
        self.limit = limit
        self.window = window
        self._answered: defaultdict[str, deque[float]] = defaultdict(deque)

    def admit(self, endpoint: str, now: float) -> float:
        """Takes a place in the window, if there is one.

        Args:
            endpoint: Name of the endpoint.
            now: Monotonic seconds.

        Returns:
            0 when the call may be answered, else the seconds until a place is free.
        """
        if not self.limit:
            return 0.0
        answered = self._answered[endpoint]
        while answered and answered[0] <= now - self.window:
            answered.popleft()
        if len(answered) < self.limit:
            answered.append(now)
            return 0.0
        # A limit lowered while running leaves more entries than places.
        return answered[len(answered) - self.limit] + self.window - now
