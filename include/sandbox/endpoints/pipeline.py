"""What happens to every API call: log, limit, fault, answer, latency."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from typing import TYPE_CHECKING, Protocol

from starlette.routing import Route

from include.sandbox.business_settings import BUSINESS_ENDPOINTS
from include.sandbox.wire.envelopes import DisplayError, SandboxAnswer, WireError
from include.sandbox.wire.latency import pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.datastructures import Headers
    from starlette.requests import Request
    from starlette.responses import Response

    from include.sandbox.accounts.tokens import Tokens
    from include.sandbox.state import SandboxState
    from include.sandbox.wire.request_log import Entry

    Handler = Callable[["SandboxState", "Call"], SandboxAnswer]

    #: Gives the refusal of a call that a limiter stops (at monotonic seconds), None if it does not.
    Gate = Callable[["Call", float], "SandboxAnswer | None"]

#: Endpoints with a documented limit; TikTok names none for OAuth.
LIMITED = frozenset({"user_info", "video_list", "video_query"})


@dataclasses.dataclass(slots=True)
class Call:
    """One call as it arrived.

    Attributes:
        sandbox: The sandbox it came to.
        endpoint: Name of the endpoint.
        headers: Request headers.
        query: Raw query string.
        body: Raw body.
        at: Arrival, epoch seconds.
        entry: Its line in the request log; handlers add store, generation and what was asked.
        log_id: The id its answer carries.
        page_size: `max_count` in force, once the listing has read it.
    """

    sandbox: SandboxState
    endpoint: str
    headers: Headers
    query: bytes
    body: bytes
    at: float
    entry: Entry
    log_id: str
    page_size: int = 0

    @property
    def tokens(self) -> Tokens:
        """The tokens of the app that the endpoint belongs to."""
        is_business = self.endpoint in BUSINESS_ENDPOINTS
        return self.sandbox.business_tokens if is_business else self.sandbox.tokens

    @property
    def bearer(self) -> str:
        """The token in `Authorization: Bearer …`, or in `Access-Token` for the second API."""
        if self.endpoint in BUSINESS_ENDPOINTS:
            return self.headers.get("access-token", "")
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        return value if scheme == "Bearer" else ""

    def has_media_type(self, media_type: str, *, exactly: bool = False) -> bool:
        """Whether the body is declared as a media type, parameters ignored unless `exactly`."""
        declared = self.headers.get("content-type", "")
        return (declared if exactly else declared.partition(";")[0].strip()) == media_type


class FaultPlan(Protocol):
    """What goes wrong on purpose; consulted for every call that the rate limit let through."""

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        """Answers a call.

        Args:
            call: The call, with its endpoint, body and (if recognised) store.
            proceed: Does what was asked, once, tokens rotated and committed, and gives the true
                answer. A plan may leave it out, wait before or after, or change what it gives.
        """


def api_route(
    sandbox: SandboxState,
    endpoint: str,
    method: str,
    path: str,
    handler: Handler,
    *,
    faults: FaultPlan,
    gate: Gate | None = None,
) -> Route:
    """A route whose calls go through the whole pipeline.

    Args:
        sandbox: State to work on.
        endpoint: Name for latency, limit and log.
        method: HTTP method.
        path: Path with its trailing slash.
        handler: Gives the answer, or raises `WireError`. It runs at the call's arrival, in one
            piece; the latency follows.
        faults: What can get between the call and its answer.
        gate: The limiter in front; None = the Display API's window for each endpoint.
    """
    limit = gate or _display_limit

    async def respond(request: Request) -> Response:
        body = await request.body()
        now, at = time.monotonic(), time.time()
        arrival = sandbox.log.arrive(endpoint, at, now)
        call = Call(
            sandbox,
            endpoint,
            request.headers,
            request.scope["query_string"],
            body,
            at,
            arrival.entry,
            sandbox.log_ids.make(at),
        )
        try:
            try:
                answer = await _answer(sandbox, faults, call, now, handler, limit)
            except asyncio.CancelledError:
                # Only the end of the server cancels a call; its client should hear so.
                error = DisplayError("internal_error", "The sandbox is shutting down.")
                answer = SandboxAnswer(error.status, error.code, error.body(call.log_id))
            arrival.entry.status, arrival.entry.code = answer.status, answer.code
            answer.headers.setdefault("x-tt-logid", call.log_id)
            return answer.response()
        finally:
            arrival.leave(time.monotonic())

    return Route(path, respond, methods=[method])


async def _answer(
    sandbox: SandboxState, faults: FaultPlan, call: Call, now: float, handler: Handler, limit: Gate
) -> SandboxAnswer:
    def proceed() -> SandboxAnswer:
        try:
            return handler(sandbox, call)
        except WireError as error:
            return SandboxAnswer(error.status, error.code, error.body(call.log_id))

    # A limiter stands in front of the service: it answers at once.
    refusal = limit(call, now)
    if refusal is not None:
        return refusal
    answer = await faults.around(call, proceed)
    latency = sandbox.latencies.draw(call.endpoint, call.entry.store_code)
    if latency:
        await pause(latency)
    return answer


def _display_limit(call: Call, now: float) -> SandboxAnswer | None:
    sandbox = call.sandbox
    wait = sandbox.limiter.admit(call.endpoint, now) if call.endpoint in LIMITED else 0.0
    if not wait:
        return None
    message = "The API rate limit was exceeded. Please try again later."
    error = DisplayError("rate_limit_exceeded", message)
    answer = SandboxAnswer(error.status, error.code, error.body(call.log_id))
    if sandbox.settings.retry_after:
        answer.headers["Retry-After"] = str(math.ceil(wait))
    return answer
