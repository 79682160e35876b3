"""The one place where faults get between a call and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response

from include.sandbox.wire.envelopes import SandboxAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from include.sandbox.endpoints.pipeline import Call
    from tests.sandbox_server import SandboxServer


class HtmlAnswer(SandboxAnswer):
    def response(self) -> Response:
        return HTMLResponse("<h1>504</h1>", self.status)


class OnceBeforeAndOnceAfter:
    """Fails the first call before anything happened, the second one after."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        self.seen.append(call.endpoint)
        if len(self.seen) == 2:
            proceed()
        return HtmlAnswer(504, "html", {}) if len(self.seen) <= 2 else proceed()


def test_a_plan_can_fail_a_call_before_or_after_it_took_effect(sandbox: SandboxServer) -> None:
    plan = sandbox.faults.plan = OnceBeforeAndOnceAfter()
    token = sandbox.row("S001")["refresh_token"]
    before = sandbox.refresh(token)
    assert (before.status_code, before.text) == (504, "<h1>504</h1>")
    assert sandbox.row("S001")["refresh_token"] == token
    assert sandbox.refresh(token).status_code == 504
    assert sandbox.row("S001")["refresh_token"] != token
    assert sandbox.refresh(token).json()["error"] == "invalid_grant"
    assert plan.seen == ["oauth_token"] * 3
    codes = [entry["code"] for entry in sandbox.admin("GET", "/requests")]
    assert codes == ["html", "html", "invalid_grant"]
