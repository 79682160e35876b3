"""How do answers fail on their way: late, silent in the middle, cut, reset, or without end?"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from include.sandbox.faults.fault import READS, Fault
from include.sandbox.wire.connection import half_answer, no_answer
from include.sandbox.wire.envelopes import UNREADABLE, SandboxAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from include.sandbox.faults.fault import Hit

SLOW_SECONDS = 2.0
STALL_SECONDS = 60.0

#: More than any page could be: a page of 20 videos is some 60 KB.
HUGE_BYTES = 17 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


@dataclasses.dataclass(slots=True)
class HugeAnswer(SandboxAnswer):
    """The true answer, valid JSON still, after megabytes of padding."""

    def response(self) -> Response:
        """The body in pieces, so that it never lies in memory as a whole."""
        return StreamingResponse(
            self._pieces(), self.status, self.headers, media_type="application/json"
        )

    async def _pieces(self) -> AsyncIterator[str]:
        yield '{"padding":"'
        for _ in range(HUGE_BYTES // _CHUNK_BYTES):
            yield "x" * _CHUNK_BYTES
        yield f'",{json.dumps(self.body)[1:]}'


def slow(hit: Hit) -> SandboxAnswer:
    """Lets seconds pass before the answer."""
    hit.wait += SLOW_SECONDS if hit.seconds is None else hit.seconds
    return hit.answer()


def _stall(hit: Hit) -> SandboxAnswer:
    silence = STALL_SECONDS if hit.seconds is None else hit.seconds
    return half_answer(hit.answer(), silence)


def _huge(hit: Hit) -> SandboxAnswer:
    answer = hit.answer()
    return HugeAnswer(answer.status, UNREADABLE, answer.body, answer.headers)


FAULTS: Mapping[str, Fault] = {
    "slow": Fault(f"`seconds` more before the answer ({SLOW_SECONDS:g})", READS, slow),
    "stall": Fault(
        f"headers, half of the body, then `seconds` of silence ({STALL_SECONDS:g})",
        READS,
        _stall,
        replaces=True,
    ),
    "reset": Fault(
        "connection reset before an answer", READS, lambda _: no_answer(), replaces=True
    ),
    "cut_body": Fault(
        "connection closed in the middle of the body",
        READS,
        lambda hit: half_answer(hit.answer()),
        replaces=True,
    ),
    "huge_body": Fault("a valid answer of more than 16 MiB", READS, _huge, replaces=True),
}
