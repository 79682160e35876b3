"""Plans for the sandbox's pipeline: what goes wrong between a call and its answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from include.sandbox.wire.envelopes import SandboxAnswer

if TYPE_CHECKING:
    from include.sandbox.endpoints.pipeline import Call


class Edit:
    """A fault plan that changes the true `data` of an endpoint's answers; of OAuth's, all."""

    def __init__(self, endpoint: str, change: Callable[[dict[str, Any]], None]) -> None:
        self.endpoint = endpoint
        self.change = change

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        answer = proceed()
        if call.endpoint != self.endpoint:
            return answer
        body = json.loads(json.dumps(answer.body))
        self.change(body.get("data", body))
        return SandboxAnswer(answer.status, answer.code, body)


class Refuse:
    """A fault plan that answers an endpoint with one error, always."""

    def __init__(self, endpoint: str, status: int, code: str, message: str = "why") -> None:
        self.endpoint, self.status, self.code = endpoint, status, code
        self.message = message

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        if call.endpoint != self.endpoint:
            return proceed()
        error = {"code": self.code, "message": self.message, "log_id": "LOG7"}
        return SandboxAnswer(self.status, self.code, {"data": {}, "error": error})


class Broken:
    """Some calls of an endpoint get a 500, after the true work was done or before."""

    def __init__(self, endpoint: str, times: int, *, lost_answer: bool = False) -> None:
        self.endpoint = endpoint
        self.times = times
        self.lost_answer = lost_answer

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        if call.endpoint != self.endpoint or not self.times:
            return proceed()
        self.times -= 1
        if self.lost_answer:
            proceed()
        return SandboxAnswer(500, "trouble", {"error": "server_error"})


class Meanwhile:
    """Once, while an endpoint's answer is on its way, something else happens.

    Args:
        endpoint: Which endpoint.
        act: What happens; in a thread, so that it may call the sandbox itself.
        before: Before the true work is done, not after it.
    """

    def __init__(self, endpoint: str, act: Callable[[], object], *, before: bool = False) -> None:
        self.endpoint, self.act, self.before = endpoint, act, before
        self.happened = False

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        if call.endpoint != self.endpoint or self.happened:
            return proceed()
        self.happened = True
        if self.before:
            await asyncio.to_thread(self.act)
            return proceed()
        answer = proceed()
        await asyncio.to_thread(self.act)
        return answer
