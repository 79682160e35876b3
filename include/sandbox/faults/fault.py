"""What is a fault: what it needs to know about a call, and what it does to the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from include.sandbox.business_settings import BUSINESS_READS, BUSINESS_REFRESH
from include.sandbox.wire.envelopes import SandboxAnswer

if TYPE_CHECKING:
    import random

    from include.sandbox.endpoints.pipeline import Call
    from include.sandbox.state import SandboxState
    from include.sandbox.world.stores import SandboxStore, SandboxVideo

#: Endpoints that only read: their true answer is always made, so that the log has it all.
DISPLAY = ("user_info", "video_list", "video_query")
READS = (*DISPLAY, *BUSINESS_READS)
LISTING = ("video_list",)
VIDEOS = ("video_list", "video_query")
QUERY = ("video_query",)
USER = ("user_info",)
REFRESH = ("oauth_token",)
BOTH_REFRESH = (*REFRESH, BUSINESS_REFRESH)


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """What a call of `video_list` truly gets.

    Attributes:
        store: Whose videos.
        everything: All public videos of the store, newest first.
        start: Index in it where the page begins.
        size: How many videos were asked for.
        sent: Cursor that was sent (UTC ms), 0 for none.
        has_more: Whether older videos follow.
    """

    store: SandboxStore
    everything: list[SandboxVideo]
    start: int
    size: int
    sent: int
    has_more: bool

    @property
    def videos(self) -> list[SandboxVideo]:
        """The page's videos, newest first."""
        return self.everything[self.start : self.start + self.size]


@dataclasses.dataclass(slots=True)
class Hit:
    """One call that a rule has picked.

    Attributes:
        sandbox: State behind the call.
        call: The call.
        store_code: Whose token it carries, None if the sandbox does not know it.
        rng: Generator of this hit; the same seed, rule and call make the same choices.
        seconds: Length of a wait, None for the fault's own.
        by: How far a number is off, None for the fault's own.
        answer: Gives the answer as it would be without this fault. For OAuth calls that is when
            tokens are rotated; a fault that does not ask leaves the store as it was.
        page: What a listing call truly gets; None for other calls and refused ones.
        wait: Seconds to let pass before the answer leaves; faults add to it.
    """

    sandbox: SandboxState
    call: Call
    store_code: str | None
    rng: random.Random
    seconds: float | None
    by: int | None
    answer: Callable[[], SandboxAnswer]
    page: Page | None
    wait: float = 0.0

    def data(self) -> dict[str, Any] | None:
        """A copy of the answer's `data`, None if it is none to change (a refusal)."""
        answer = self.answer()
        data = answer.body.get("data")
        return dict(data) if answer.code == "ok" and isinstance(data, dict) else None

    def with_data(self, data: dict[str, Any]) -> SandboxAnswer:
        """The answer with another `data`."""
        answer = self.answer()
        return dataclasses.replace(answer, body={**answer.body, "data": data})


#: Gives the answer to send instead, or None where the fault has nothing to work on; the rule was
#: not hit then.
Act = Callable[[Hit], "SandboxAnswer | None"]


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        text: What it does, in one line.
        endpoints: Endpoints it can strike.
        act: Does it.
        replaces: Whether its answer is the last word: no later rule is tried on the call.
    """

    text: str
    endpoints: tuple[str, ...]
    act: Act
    replaces: bool = False
