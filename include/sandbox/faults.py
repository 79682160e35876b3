"""What goes wrong on purpose: the one place where a fault can get between a call and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from include.sandbox.pipeline import Call
    from include.sandbox.wire import Answer


class FaultPlan(Protocol):
    """Decides about every call that the rate limit let through."""

    async def around(self, call: Call, proceed: Callable[[], Answer]) -> Answer:
        """Answers a call.

        Args:
            call: The call, with its endpoint, body and (if recognised) store.
            proceed: Does what was asked, once, tokens rotated and committed, and gives the true
                answer. A plan may leave it out, wait before or after, or change what it gives.
        """


class NoFaults:
    """The plan of a healthy TikTok."""

    async def around(self, call: Call, proceed: Callable[[], Answer]) -> Answer:  # noqa: ARG002 (protocol)
        """Gives the true answer."""
        return proceed()
