"""How do endpoints disagree: `video/query` with `video/list`, the profile's count with both?

Sources: reference "only inferred" (no recording shows that both video endpoints always agree, and
TikTok counts videos that it does not list). Only the wire is odd: `/admin/truth` keeps the truth.
A 429 of one endpoint alone is the fault `rate_limited` with `endpoints`.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from include.sandbox.faults.fault import QUERY, USER, VIDEOS, Fault
from include.sandbox.world.edits import VIDEO_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from include.sandbox.faults.fault import Act, Hit
    from include.sandbox.wire.envelopes import SandboxAnswer

#: How far the profile's count is off unless the rule says `by`.
OFF_BY = 1


def _figures(figures_of: Callable[[Hit, dict[str, Any]], Mapping[str, int]]) -> Act:
    """Other counters for every video of an answer; those that were left out stay out."""

    def act(hit: Hit) -> SandboxAnswer | None:
        data = hit.data()
        if data is None or not data["videos"]:
            return None
        items = []
        for item in data["videos"]:
            other = figures_of(hit, item)
            items.append(item | {name: other[name] for name in VIDEO_COUNTERS if name in item})
        return hit.with_data(data | {"videos": items})

    return act


def _lower(_: Hit, item: dict[str, Any]) -> Mapping[str, int]:
    return {name: item[name] // 2 for name in VIDEO_COUNTERS if type(item.get(name)) is int}


def _older(hit: Hit, item: dict[str, Any]) -> Mapping[str, int]:
    world = hit.sandbox.world
    store = world.store_of(str(hit.store_code))
    video = world.listing(store.number).by_id[item["id"]]
    return world.video(store, video, hit.sandbox.settings.today - dt.timedelta(days=1))


def _hides(hit: Hit) -> SandboxAnswer | None:
    data = hit.data()
    if data is None or not data["videos"]:
        return None
    hidden = hit.rng.choice(data["videos"])
    return hit.with_data(data | {"videos": [item for item in data["videos"] if item is not hidden]})


def _profile(change: Callable[[Hit, dict[str, Any]], object]) -> Act:
    def act(hit: Hit) -> SandboxAnswer | None:
        data = hit.data()
        if data is None or type(data["user"].get("video_count")) is not int:
            return None
        user = dict(data["user"])
        change(hit, user)
        return hit.with_data(data | {"user": user})

    return act


def _shift(sign: int) -> Callable[[Hit, dict[str, Any]], object]:
    def change(hit: Hit, user: dict[str, Any]) -> None:
        off = OFF_BY if hit.by is None else hit.by
        user["video_count"] = max(0, user["video_count"] + sign * off)

    return change


def _no_create_time(hit: Hit) -> SandboxAnswer | None:
    data = hit.data()
    with_time = [item for item in data["videos"] if "create_time" in item] if data else []
    if data is None or not with_time:
        return None
    picked = hit.rng.sample(with_time, hit.rng.randint(1, len(with_time)))
    items = [
        {name: value for name, value in item.items() if name != "create_time"}
        if any(item is one for one in picked)
        else item
        for item in data["videos"]
    ]
    return hit.with_data(data | {"videos": items})


FAULTS: Mapping[str, Fault] = {
    "query_lower": Fault(
        "video/query says half of every counter that video/list says", QUERY, _figures(_lower)
    ),
    "query_older": Fault("video/query says yesterday's counters", QUERY, _figures(_older)),
    "query_hides": Fault(
        "video/query leaves out a video that is public (`times_per_store`: for how many calls)",
        QUERY,
        _hides,
    ),
    "count_high": Fault(
        f"the profile counts `by` videos more than are public ({OFF_BY})", USER, _profile(_shift(1))
    ),
    "count_low": Fault(
        f"the profile counts `by` videos fewer than are public ({OFF_BY})",
        USER,
        _profile(_shift(-1)),
    ),
    "count_absent": Fault(
        "the profile leaves out its number of videos",
        USER,
        _profile(lambda _, user: user.pop("video_count")),
    ),
    "create_time_absent": Fault("some videos come without create_time", VIDEOS, _no_create_time),
}
