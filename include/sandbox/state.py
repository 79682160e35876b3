"""What is a running sandbox made of, and how does it change while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from include.sandbox.accounts.apps import BUSINESS
from include.sandbox.accounts.token_file import TokenFile
from include.sandbox.accounts.tokens import Tokens
from include.sandbox.wire.envelopes import LogIds
from include.sandbox.wire.latency import Latencies
from include.sandbox.wire.rate_limit import SlidingWindow
from include.sandbox.wire.request_log import RequestLog
from include.sandbox.world.changes import Changes
from include.sandbox.world.content import seeded
from include.sandbox.world.recent import seed_recent
from include.sandbox.world.state_file import StateFile
from include.sandbox.world.world import World, store_code, store_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from include.sandbox.settings import SandboxSettings


class SandboxState:
    """All state of one sandbox but its faults. One event loop uses it, so nothing in it locks.

    Args:
        settings: How to behave.

    Attributes:
        file: The open state file.
        business_tokens: Grants for the second API's app.
        anchor: The day this state was first used; what is recent is recent seen from it.

    Raises:
        SettingsError: The state file cannot be used.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.rng = seeded(settings.seed, "wire")
        self.log_ids = LogIds(self.rng)
        self.limiter = SlidingWindow(settings.rate_limit, settings.window_seconds)
        self.log = RequestLog(settings.window_seconds)
        self.file = StateFile(settings.state, settings.seed)
        self.tokens = Tokens(TokenFile(self.file))
        self.business_tokens = Tokens(TokenFile(self.file, BUSINESS.name), BUSINESS)
        self.anchor = self.file.first_day(settings.today)
        self.changes = Changes(self.file)
        self.world = World(settings, self.changes)
        self.latencies = Latencies(settings)
        self._seed_stores()

    def close(self) -> None:
        """Closes the state file."""
        self.file.close()

    def change(self, changes: Mapping[str, Any]) -> None:
        """Applies new settings to everything that runs; new stores get their grants.

        Fewer stores hide the rest from `/admin`; grants that were handed out keep working.

        Args:
            changes: See `SandboxSettings.patched`.

        Raises:
            SettingsError: As `SandboxSettings.patched`; nothing is changed then.
        """
        settings = self.settings.patched(changes)
        self.settings = settings
        if {"latency", "latency_spread"} & changes.keys():
            self.latencies = Latencies(settings)
        self.limiter.limit = settings.rate_limit
        self.limiter.window = self.log.window = settings.window_seconds
        if {"nul_in_captions", "same_second_ties"} & changes.keys():
            self.world = World(settings, self.changes)
        self._seed_stores()

    def codes(self) -> list[str]:
        """Codes of all stores, in order."""
        return [store_code(number) for number in range(1, self.settings.stores + 1)]

    def number(self, code: str) -> int | None:
        """Number of a store code, None if there is no such store."""
        return store_number(code, self.settings.stores)

    def _seed_stores(self) -> None:
        numbers = {store_code(n): n for n in range(1, self.settings.stores + 1)}
        self.tokens.seed(numbers, self.settings, time.time())
        if self.settings.business is None:
            return
        new = [code for code in numbers if not self.business_tokens.has(code)]
        if not self.settings.is_reference:
            seed_recent(self.world, new, self.settings.seed, self.anchor)
        self.business_tokens.seed(numbers, self.settings, time.time())
