"""What is a running sandbox made of, and how does it change while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from include.sandbox.changes import Changes
from include.sandbox.content import seeded
from include.sandbox.fault_file import FaultFile
from include.sandbox.fault_plan import RulePlan
from include.sandbox.faults import FaultPlan, NoFaults
from include.sandbox.latency import Latencies
from include.sandbox.rate_limit import SlidingWindow
from include.sandbox.request_log import RequestLog
from include.sandbox.setting_checks import SettingsError
from include.sandbox.state_file import StateFile
from include.sandbox.storm import SCENARIOS
from include.sandbox.token_file import TokenFile
from include.sandbox.tokens import Tokens
from include.sandbox.wire import LogIds
from include.sandbox.world import World, store_code, store_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from include.sandbox.settings import SandboxSettings

_STATE = "SANDBOX_STATE"


class Sandbox:
    """All state of one sandbox. One event loop uses it, so nothing in it locks.

    Args:
        settings: How to behave.

    Raises:
        SettingsError: The state file cannot be used.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.rng = seeded(settings.seed, "wire")
        self.log_ids = LogIds(self.rng)
        self.limiter = SlidingWindow(settings.rate_limit, settings.window_seconds)
        self.log = RequestLog(settings.window_seconds)
        self._state = StateFile(settings.state, settings.seed)
        self.tokens = Tokens(TokenFile(self._state))
        self.changes = Changes(self._state)
        self.world = World(settings, self.changes)
        self.latencies = Latencies(settings)
        self._seed_stores()
        self._fault_file = FaultFile(self._state)
        self._faults: FaultPlan = self._restored_faults()

    @property
    def faults(self) -> FaultPlan:
        """What goes wrong; replace it to make calls fail. A `RulePlan` survives a restart."""
        return self._faults

    @faults.setter
    def faults(self, plan: FaultPlan) -> None:
        if isinstance(plan, RulePlan):
            plan.keep_in(self._fault_file)
        elif isinstance(self._faults, RulePlan):
            self._fault_file.replace(None)
        self._faults = plan

    def scenario(self, name: str, seed: int, codes: Sequence[str]) -> RulePlan:
        """A plan from `SCENARIOS`.

        Args:
            name: Its name.
            seed: Seed of its schedule.
            codes: Stores that it may strike for good.
        """
        return RulePlan(seed, SCENARIOS[name](seed, self.world, codes), scenario=name)

    def close(self) -> None:
        """Closes the state file."""
        self._state.close()

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

    def _restored_faults(self) -> FaultPlan:
        try:
            kept = RulePlan.restored(self._fault_file)
        except SettingsError as error:
            reason = f"its fault plan cannot be used ({error}); take another file"
            raise SettingsError(_STATE, reason) from None
        wanted = self.settings.faults
        if wanted is None or (kept is not None and kept.scenario == wanted):
            return kept or NoFaults()
        plan = self.scenario(wanted, self.settings.seed, self.codes())
        plan.keep_in(self._fault_file)
        return plan

    def _seed_stores(self) -> None:
        numbers = {store_code(n): n for n in range(1, self.settings.stores + 1)}
        self.tokens.seed(numbers, self.settings, time.time())
