"""How are stores' videos and counters changed by hand? `/admin/stores/{code}/…`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from include.sandbox.admin.wire import json_object, names, only, path_store, refuse, whole
from include.sandbox.world.edits import MAX_PUBLISHED, VideoEdit, edit_videos, set_counters

if TYPE_CHECKING:
    from starlette.requests import Request

    from include.sandbox.admin.wire import Handler
    from include.sandbox.state import SandboxState

_MAX_COUNT = 2**63 - 1


async def change_videos(sandbox: SandboxState, request: Request) -> Response:
    """`{"delete"?: [ids], "privatize"?: [ids], "republish"?: [ids], "publish"?: n}`.

    See `VideoEdit`; answers what the API would say now: `{"user": {…}, "videos": […]}`.
    """
    code = path_store(sandbox, request)
    body = await json_object(request)
    only(body, ("delete", "privatize", "republish", "publish"))
    edit = VideoEdit(
        delete=names(body, "delete"),
        privatize=names(body, "privatize"),
        republish=names(body, "republish"),
        publish=whole(body, "publish", 0, MAX_PUBLISHED),
    )
    edit_videos(sandbox.world, sandbox.settings, code, edit)
    return JSONResponse(truth_of(sandbox, code))


async def change_counters(sandbox: SandboxState, request: Request) -> Response:
    """`{"video_id"?: id, "set": {counter: n}}`: of a video, or of the user object.

    The counters keep that value from now on; null gives one back to its course. Answers as
    `change_videos`.
    """
    code = path_store(sandbox, request)
    body = await json_object(request)
    only(body, ("video_id", "set"))
    video_id, counters = body.get("video_id"), body.get("set")
    if not isinstance(video_id, (str, type(None))):
        refuse("video_id: must be a text")
    if not isinstance(counters, dict) or not counters:
        refuse("set: must be an object, counter -> value")
    values = {
        name: None if value is None else whole(counters, name, 0, _MAX_COUNT)
        for name, value in counters.items()
    }
    set_counters(sandbox.world, code, video_id, values)
    return JSONResponse(truth_of(sandbox, code))


WORLD_ROUTES: tuple[tuple[str, str, Handler[SandboxState]], ...] = (
    ("POST", "/stores/{code}/videos", change_videos),
    ("POST", "/stores/{code}/counters", change_counters),
)


def truth_of(sandbox: SandboxState, code: str) -> dict[str, Any]:
    """All fields of a store's user and public videos but the signed URLs, videos newest first."""
    day, world = sandbox.settings.today, sandbox.world
    store = world.store_of(code)
    videos = world.listing(store.number).videos
    return {
        "user": world.user(store, day),
        "videos": [world.video(store, video, day) for video in videos],
    }
