"""What did one store's calls ask and show, what was the world meanwhile, and which lane took them?

Written from TikTok's side of the wire, so that what a sync wrote can be judged without its code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.sandbox.admin.world import truth_of
from include.sandbox.world.edits import VideoEdit, edit_videos, set_counters

if TYPE_CHECKING:
    from include.sandbox.endpoints.pipeline import Call, FaultPlan
    from include.sandbox.state import SandboxState
    from include.sandbox.wire.envelopes import SandboxAnswer

VIDEOS = ("video_list", "video_query")
DISPLAY = ("user_info", *VIDEOS)
SECOND_MS = 1_000

Change = Mapping[str, Any]
"""``{"kind": …, "at": index among the videos, "n": how many}``, see `apply_change`."""


class KilledError(BaseException):
    """The process is gone, in front of a call."""


class ScriptedLanes:
    """A limiter that makes nobody wait, and sends each call where a script says.

    Args:
        script: ``True`` = the preferred endpoint, ``False`` = the other; over and over.
        killed_at: Numbers of calls, from 1, in front of which the process is killed.
    """

    def __init__(self, script: Sequence[bool], killed_at: Iterable[int] = ()) -> None:
        self._script = script
        self._killed_at = set(killed_at)
        self._calls = self._turns = 0
        self.pauses: list[str] = []

    def acquire(self, endpoint: str) -> float:
        del endpoint
        self._count()
        return 0.0

    def acquire_either(self, preferred: str, other: str, *, reserve: int) -> tuple[str, float]:
        assert reserve >= 0
        self._count()
        return (preferred if self._is_preferred() else other), 0.0

    def acquire_open(self, endpoint: str) -> bool:
        del endpoint
        if not self._is_preferred():
            return False
        self._count()
        return True

    def pause(self, endpoint: str, seconds: float) -> None:
        assert seconds >= 0
        self.pauses.append(endpoint)

    def _is_preferred(self) -> bool:
        self._turns += 1
        return self._script[(self._turns - 1) % len(self._script)]

    def _count(self) -> None:
        self._calls += 1
        if self._calls in self._killed_at:
            raise KilledError


@dataclass(frozen=True)
class Reading:
    """One good answer.

    Attributes:
        endpoint: Who gave it.
        at: When the call arrived (Unix time).
        asked: Ids of a query.
        before_ms: A page shows what was posted before it; infinity = from the newest.
        down_to_ms: What was posted before that is on later pages; minus infinity = nothing.
        items: Its video objects, as they were sent.
        video_count: Of a profile.
    """

    endpoint: str
    at: float
    asked: frozenset[str]
    before_ms: float
    down_to_ms: float
    items: tuple[dict[str, Any], ...]
    video_count: int | None

    @property
    def ids(self) -> set[str]:
        return {item["id"] for item in self.items}

    def must_show(self, second: int) -> bool:
        """Whether a page leaves no room for a video of that second which it does not show."""
        moment = second * SECOND_MS
        is_whole = moment > self.down_to_ms or self.down_to_ms == -math.inf
        return self.endpoint == "video_list" and moment < self.before_ms and is_whole


@dataclass
class Witness:
    """A plan that writes down what the calls of one store's night show, and lets the world move.

    Attributes:
        sandbox: Whose calls.
        code: The store.
        inner: What goes wrong.
        between: Number of the store's call, from 1 -> what changes once it is answered.
        readings: Good answers, in order.
        worlds: The store's videos by id, at first and after each change.
    """

    sandbox: SandboxState
    code: str
    inner: FaultPlan
    between: Mapping[int, Change] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    worlds: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        self._look()

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        answer = await self.inner.around(call, proceed)
        if call.endpoint not in DISPLAY:
            return answer
        self.calls += 1
        if answer.code == "ok":
            self.readings.append(_reading(call, answer.body["data"]))
        if self.calls in self.between:
            apply_change(self.sandbox, self.code, self.between[self.calls])
            self._look()
        return answer

    def _look(self) -> None:
        videos = truth_of(self.sandbox, self.code)["videos"]
        self.worlds.append({video["id"]: video for video in videos})

    @property
    def always(self) -> set[str]:
        """Ids that were public from beginning to end."""
        return set.intersection(*(set(world) for world in self.worlds))

    @property
    def ever(self) -> set[str]:
        """Ids that were public at some moment."""
        return set().union(*self.worlds)

    @property
    def seconds(self) -> set[int]:
        """When the videos that were public at some moment were posted (Unix time)."""
        return {one["create_time"] for world in self.worlds for one in world.values()}

    @property
    def tied(self) -> set[str]:
        """Ids that share their second with another one."""
        everything = {name: one for world in self.worlds for name, one in world.items()}
        times = [one["create_time"] for one in everything.values()]
        return {name for name, one in everything.items() if times.count(one["create_time"]) > 1}

    @property
    def video_count(self) -> int | None:
        """The profile's number of videos as it was last told, if it was."""
        told = [one for one in self.readings if one.endpoint == "user_info"]
        return told[-1].video_count if told else None

    def posted_since_profile(self, ids: set[str]) -> set[str]:
        """Which of these bear a time after that at which the profile was asked for."""
        at = max((one.at for one in self.readings if one.endpoint == "user_info"), default=math.inf)
        posted = {name: one["create_time"] for world in self.worlds for name, one in world.items()}
        return {name for name in ids if posted.get(name, 0) > at}

    def shown(self, video_id: str) -> list[dict[str, Any]]:
        """All objects with that id, in the order in which they were sent."""
        return [item for one in self.readings for item in one.items if item["id"] == video_id]

    def is_whole(self) -> bool:
        """Whether the pages lead from the newest video to the oldest without a gap."""
        pages = sorted(
            (one for one in self.readings if one.endpoint == "video_list"),
            key=lambda one: -one.before_ms,
        )
        lower = math.inf
        for page in pages:
            if page.before_ms >= lower:
                lower = min(lower, page.down_to_ms)
        return lower == -math.inf

    def proves_gone(self, video_id: str, second: int | None) -> bool:
        """Whether TikTok said that a video is gone: contract, rule 2, or a complete listing.

        A query did not show it; and a page on which it would have to stand did not, or no page of
        a complete listing did.
        """
        queries = [one for one in self.readings if video_id in one.asked]
        pages = [one for one in self.readings if one.endpoint == "video_list"]
        if not any(video_id not in one.ids for one in queries):
            return False
        if self.is_whole() and not any(video_id in page.ids for page in pages):
            return True
        return second is not None and any(
            page.must_show(second) and video_id not in page.ids for page in pages
        )


def _reading(call: Call, data: Mapping[str, Any]) -> Reading:
    body = json.loads(call.body) if call.body else {}
    pages_on = data.get("has_more") and call.endpoint == "video_list"
    return Reading(
        endpoint=call.endpoint,
        at=call.entry.at,
        asked=frozenset(body.get("filters", {}).get("video_ids", ())),
        before_ms=call.entry.cursor or math.inf,
        down_to_ms=data["cursor"] if pages_on else -math.inf,
        items=tuple(json.loads(json.dumps(data.get("videos", [])))),
        video_count=data.get("user", {}).get("video_count"),
    )


def apply_change(sandbox: SandboxState, code: str, change: Change) -> None:
    """Let a store's videos go, come back, appear, grow or fall."""
    world, at, n = sandbox.world, change["at"], change["n"]
    videos = world.listing(world.store_of(code).number).videos
    start = at % len(videos) if videos else 0
    picked = tuple(video.id for video in videos[start : start + n])
    private = sorted(world.changes.of(code).private)
    kind = change["kind"]
    edit = {
        "delete": VideoEdit(delete=picked),
        "private": VideoEdit(privatize=picked),
        "back": VideoEdit(republish=tuple(private[:n])),
        "publish": VideoEdit(publish=n),
    }.get(kind)
    if edit is not None:
        edit_videos(world, sandbox.settings, code, edit)
        return
    for video_id in picked:
        views = truth_view(sandbox, code, video_id)
        wanted = views * 2 if kind == "grow" else views // 2
        set_counters(world, code, video_id, {"view_count": wanted})


def truth_view(sandbox: SandboxState, code: str, video_id: str) -> int:
    """A public video's views now."""
    store = sandbox.world.store_of(code)
    video = sandbox.world.listing(store.number).by_id[video_id]
    return int(sandbox.world.video(store, video, sandbox.settings.today)["view_count"])
