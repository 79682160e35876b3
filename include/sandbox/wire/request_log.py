"""Which calls were made? The request log, in-flight gauges and window maxima."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from typing import Any

from include.sandbox.settings import ENDPOINTS

MAX_ENTRIES = 200_000


@dataclasses.dataclass(slots=True)
class Entry:
    """One answered call.

    Attributes:
        n: Number by arrival, from 1, never reused.
        at: Arrival, epoch seconds.
        endpoint: One of `ENDPOINTS`.
        store_code: Store of the token or code that was sent, None if it was not recognised.
        status: HTTP status, 0 if there was no answer.
        code: `error.code` or OAuth `error`; `ok`; `unreadable` where no client could find one,
            `no_answer` where nothing was sent.
        cursor: Cursor of the request body.
        asked: Ids in a `video_query`, None for other calls.
        shown: Videos in the true answer, None where there are none to show.
        token_generation: Generation of the token that was sent.
        duration_s: Seconds inside the sandbox until the answer left, latency included.
        faults: Names of the faults that struck it.
    """

    n: int
    at: float
    endpoint: str
    store_code: str | None = None
    status: int = 0
    code: str = "no_answer"
    cursor: int | None = None
    asked: int | None = None
    shown: int | None = None
    token_generation: int | None = None
    duration_s: float = 0.0
    faults: list[str] = dataclasses.field(default_factory=list)


class _Figures:
    """Everything that `RequestLog.clear` forgets."""

    def __init__(self, max_entries: int) -> None:
        self.entries: deque[Entry] = deque(maxlen=max_entries)
        self.dropped = 0
        self.calls: Counter[str] = Counter()
        self.by_code: dict[str, Counter[str]] = {name: Counter() for name in ENDPOINTS}
        self.in_flight_max: Counter[str] = Counter()
        self.arrivals: dict[str, deque[float]] = {name: deque() for name in ENDPOINTS}
        self.largest_window: Counter[str] = Counter()
        self.refreshes: Counter[str] = Counter()
        self.refresh_calls = 0
        self.dead_token_uses = 0


class RequestLog:
    """The log and the figures that tests, demo and benchmark judge a client by.

    Args:
        window: Seconds of the window whose maximum is kept.
        max_entries: Entries kept; older ones are dropped and counted.
    """

    def __init__(self, window: float, max_entries: int = MAX_ENTRIES) -> None:
        self.window = window
        self._max_entries = max_entries
        self._n = 0
        self._in_flight: Counter[str] = Counter()
        self._figures = _Figures(max_entries)

    def clear(self) -> None:
        """Forgets entries, counts and maxima; calls in flight stay counted as in flight."""
        self._figures = _Figures(self._max_entries)
        self._figures.in_flight_max.update(self._in_flight)

    def arrive(self, endpoint: str, at: float, now: float) -> Arrival:
        """Notes the arrival of a call.

        Args:
            endpoint: One of `ENDPOINTS`.
            at: Epoch seconds.
            now: Monotonic seconds; never less than the one before.
        """
        figures = self._figures
        self._n += 1
        figures.calls[endpoint] += 1
        self._in_flight[endpoint] += 1
        figures.in_flight_max[endpoint] = max(
            figures.in_flight_max[endpoint], self._in_flight[endpoint]
        )
        arrivals = figures.arrivals[endpoint]
        arrivals.append(now)
        while arrivals[0] <= now - self.window:
            arrivals.popleft()
        figures.largest_window[endpoint] = max(figures.largest_window[endpoint], len(arrivals))
        return Arrival(self, figures, Entry(self._n, at, endpoint), now)

    def count_refresh_call(self) -> None:
        """Notes a call with a refresh token, whatever its result."""
        self._figures.refresh_calls += 1

    def count_refresh(self, store_code: str) -> None:
        """Notes a successful refresh."""
        self._figures.refreshes[store_code] += 1

    def count_dead_token(self) -> None:
        """Notes the use of an expired, rotated or revoked token."""
        self._figures.dead_token_uses += 1

    @property
    def dropped(self) -> int:
        """Entries that no longer fitted in the log."""
        return self._figures.dropped

    def matching(
        self, endpoint: str | None, store_code: str | None, limit: int | None
    ) -> list[dict[str, Any]]:
        """The last `limit` entries of an endpoint and a store (None: any, all)."""
        found = [
            dataclasses.asdict(entry)
            for entry in sorted(self._figures.entries, key=lambda entry: entry.n)
            if endpoint in (None, entry.endpoint) and store_code in (None, entry.store_code)
        ]
        return found if limit is None else found[len(found) - min(limit, len(found)) :]

    def stats(self) -> dict[str, Any]:
        """The figures as one JSON object (`GET /admin/stats`)."""
        figures = self._figures
        return {
            "endpoints": {
                name: {
                    "calls": figures.calls[name],
                    "by_code": dict(figures.by_code[name]),
                    "in_flight": self._in_flight[name],
                    "in_flight_max": figures.in_flight_max[name],
                    "largest_window": figures.largest_window[name],
                }
                for name in ENDPOINTS
            },
            "refreshes": dict(sorted(figures.refreshes.items())),
            "refresh_calls": figures.refresh_calls,
            "dead_token_uses": figures.dead_token_uses,
            "requests_kept": len(figures.entries),
            "requests_dropped": figures.dropped,
        }


class Arrival:
    """A call between its arrival and its answer.

    It reports to the figures it arrived under: a call answered after `RequestLog.clear` belongs to
    the time before.
    """

    def __init__(self, log: RequestLog, figures: _Figures, entry: Entry, now: float) -> None:
        self._log = log
        self._figures = figures
        self._now = now
        self.entry = entry

    def leave(self, now: float) -> None:
        """Writes the entry, with the status and code that it holds by now (monotonic seconds)."""
        entry, figures = self.entry, self._figures
        entry.duration_s = round(now - self._now, 6)
        self._log._in_flight[entry.endpoint] -= 1  # noqa: SLF001 (two halves of one log)
        figures.by_code[entry.endpoint][entry.code] += 1
        if len(figures.entries) == figures.entries.maxlen:
            figures.dropped += 1
        figures.entries.append(entry)
