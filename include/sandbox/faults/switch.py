"""Which fault plan is in force, and how is another one put in its place?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.sandbox.faults.file import FaultFile
from include.sandbox.faults.plan import RulePlan
from include.sandbox.faults.storm import SCENARIOS
from include.sandbox.setting_checks import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from include.sandbox.endpoints.pipeline import Call, FaultPlan
    from include.sandbox.state import SandboxState
    from include.sandbox.wire.envelopes import SandboxAnswer

_STATE = "SANDBOX_STATE"


class NoFaults:
    """The plan of a healthy TikTok."""

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:  # noqa: ARG002 (protocol)
        """Gives the true answer."""
        return proceed()


class FaultSwitch:
    """The fault plan in force, itself a plan to the pipeline. It starts as the state file kept it.

    Args:
        sandbox: What the faults strike; its file keeps the plan.

    Attributes:
        sandbox: The same.

    Raises:
        SettingsError: The plan in the state file cannot be used.
    """

    def __init__(self, sandbox: SandboxState) -> None:
        self.sandbox = sandbox
        self._file = FaultFile(sandbox.file)
        self._plan: FaultPlan = self._restored()

    @property
    def plan(self) -> FaultPlan:
        """What goes wrong; replace it to make calls fail. A `RulePlan` survives a restart."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        if isinstance(plan, RulePlan):
            plan.keep_in(self._file)
        elif isinstance(self._plan, RulePlan):
            self._file.replace(None)
        self._plan = plan

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        """Answers a call as the plan in force has it."""
        return await self._plan.around(call, proceed)

    def scenario(self, name: str, seed: int, codes: Sequence[str]) -> RulePlan:
        """A plan from `SCENARIOS`.

        Args:
            name: Its name.
            seed: Seed of its schedule.
            codes: Stores that it may strike for good.
        """
        return RulePlan(seed, SCENARIOS[name](seed, self.sandbox.world, codes), scenario=name)

    def _restored(self) -> FaultPlan:
        settings = self.sandbox.settings
        try:
            kept = RulePlan.restored(self._file)
        except SettingsError as error:
            reason = f"its fault plan cannot be used ({error}); take another file"
            raise SettingsError(_STATE, reason) from None
        wanted = settings.faults
        if wanted is None or (kept is not None and kept.scenario == wanted):
            return kept or NoFaults()
        plan = self.scenario(wanted, settings.seed, self.sandbox.codes())
        plan.keep_in(self._file)
        return plan
