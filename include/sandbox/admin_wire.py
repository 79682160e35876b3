"""How are `/admin` requests read and refused?"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, NoReturn

from starlette.responses import JSONResponse, Response

from include.sandbox.setting_checks import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request

    from include.sandbox.runtime import Sandbox

    Handler = Callable[[Sandbox, Request], Awaitable[Response]]


class AdminError(Exception):
    """A bad admin request: sent as `{"error": text}`.

    Args:
        message: What is wrong.
        status: HTTP status.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def admin_endpoint(sandbox: Sandbox, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A handler as Starlette calls it, its refusals as answers."""

    @functools.wraps(handler)
    async def respond(request: Request) -> Response:
        try:
            return await handler(sandbox, request)
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


def check_store(sandbox: Sandbox, code: str) -> None:
    """Refuses the code of a store that does not exist, with 404."""
    if sandbox.number(code) is None:
        refuse(f"{code}: no such store", 404)


def path_store(sandbox: Sandbox, request: Request) -> str:
    """The store code in the path."""
    code = str(request.path_params["code"])
    check_store(sandbox, code)
    return code


def only(body: dict[str, Any], known: Iterable[str]) -> None:
    """Refuses fields other than the known ones."""
    unknown = sorted(body.keys() - set(known))
    if unknown:
        refuse(f"{', '.join(unknown)}: unknown; only {', '.join(sorted(known))}")


def names(body: dict[str, Any], field: str) -> tuple[str, ...]:
    """The list of texts in a field, empty if it is not there."""
    value = body.get(field, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        refuse(f"{field}: must be a list of texts")
    return tuple(value)


def whole(body: dict[str, Any], field: str, default: int, most: int) -> int:
    """The whole number in a field."""
    value = body.get(field, default)
    # `type`, because True is an int to isinstance.
    if type(value) is not int or not 0 <= value <= most:
        refuse(f"{field}: must be a whole number from 0 to {most}")
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
