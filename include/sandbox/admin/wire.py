"""How are `/admin` requests read and refused?"""

from __future__ import annotations

import asyncio
import functools
import json
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from include.sandbox.setting_checks import SettingsError, check_choice, check_integer, check_texts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from starlette.requests import Request

    from include.sandbox.accounts.tokens import Tokens
    from include.sandbox.state import SandboxState

    Handler = Callable[["Target", Request], Awaitable[Response]]

#: What a handler looks at or changes: the sandbox, or its faults.
Target = TypeVar("Target")


class AdminError(Exception):
    """A bad admin request: sent as `{"error": text}`.

    Args:
        message: What is wrong.
        status: HTTP status.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def routes_of(target: Target, table: Iterable[tuple[str, str, Handler[Target]]]) -> list[Route]:
    """The routes of a table of method, path below `/admin` and handler."""
    return [
        Route(f"/admin{path}", _endpoint(target, handler), methods=[method])
        for method, path, handler in table
    ]


def _endpoint(target: Target, handler: Handler[Target]) -> Callable[[Request], Awaitable[Response]]:
    """A handler as Starlette calls it, its refusals as answers."""

    @functools.wraps(handler)
    async def respond(request: Request) -> Response:
        try:
            return await handler(target, request)
        except SettingsError as error:
            return JSONResponse({"error": str(error)}, 400)
        except AdminError as error:
            return JSONResponse({"error": str(error)}, error.status)

    return respond


def refuse(message: str, status: int = 400) -> NoReturn:
    """Ends the request.

    Raises:
        AdminError: Always.
    """
    raise AdminError(message, status)


def check_store(sandbox: SandboxState, code: str) -> None:
    """Refuses the code of a store that does not exist, with 404."""
    if sandbox.number(code) is None:
        refuse(f"{code}: no such store", 404)


def path_store(sandbox: SandboxState, request: Request) -> str:
    """The store code in the path."""
    code = str(request.path_params["code"])
    check_store(sandbox, code)
    return code


def api_tokens(sandbox: SandboxState, request: Request) -> Tokens:
    """The tokens of the app that `?api=` names: the Display app's, unless it is `business`."""
    api = request.query_params.get("api", "display")
    check_choice("api", api, ("display", "business"))
    if api == "display":
        return sandbox.tokens
    if "code" in request.path_params and not sandbox.business_tokens.has(
        path_store(sandbox, request)
    ):
        refuse("no grant at the second API", 404)
    return sandbox.business_tokens


def store_by_store(
    sandbox: SandboxState, request: Request, of: Callable[[SandboxState, str], dict[str, Any]]
) -> Response:
    """`{store_code: …}`, of all or of `?store_code=`; other calls are answered meanwhile."""
    picked = request.query_params.get("store_code")
    if picked is not None:
        check_store(sandbox, picked)
    codes = sandbox.codes() if picked is None else [picked]

    async def pieces() -> AsyncIterator[str]:
        separator = "{"
        for code in codes:
            yield f"{separator}{json.dumps(code)}:{json.dumps(of(sandbox, code))}"
            separator = ","
            await asyncio.sleep(0)
        yield "}"

    return StreamingResponse(pieces(), media_type="application/json")


def only(body: dict[str, Any], known: Iterable[str]) -> None:
    """Refuses fields other than the known ones."""
    unknown = sorted(body.keys() - set(known))
    if unknown:
        refuse(f"{', '.join(unknown)}: unknown; only {', '.join(sorted(known))}")


def names(body: dict[str, Any], field: str) -> tuple[str, ...]:
    """The list of texts in a field, empty if it is not there."""
    return check_texts(field, body.get(field, []))


def whole(body: dict[str, Any], field: str, default: int, most: int) -> int:
    """The whole number in a field."""
    value: int = body.get(field, default)
    check_integer(field, value, 0, most)
    return value


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body; an empty body counts as an empty object."""
    raw = await request.body()
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        refuse("the body must be a JSON object")
    return body
