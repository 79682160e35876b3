"""How is a good answer odd: figures left out, NULL or as text, NUL characters, unknown fields?

Sources: reference "quirks from the wild" (NUL in strings, numbers as strings, absent figures) and
"video object" (fields get added; captions longer than documented). Only the wire is odd:
`/admin/truth` keeps the true figures.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from include.sandbox.faults.fault import DISPLAY, LISTING, VIDEOS, Fault
from include.sandbox.world.content import MAX_CAPTION
from include.sandbox.world.edits import USER_COUNTERS, VIDEO_COUNTERS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from include.sandbox.faults.fault import Act, Hit
    from include.sandbox.wire.envelopes import SandboxAnswer

    #: Changes one object of the answer, if it can.
    Change = Callable[[random.Random, dict[str, Any]], bool]

COUNTERS = (*USER_COUNTERS, "video_count", *VIDEO_COUNTERS)
TEXTS = ("title", "video_description", "display_name", "bio_description")

#: A field that no page documents, with an object in it.
UNKNOWN_FIELD = "commerce_info"

#: Field -> a value that it cannot have.
IMPOSSIBLE: Mapping[str, Any] = {
    "id": None,
    "create_time": "yesterday",
    "view_count": ["many"],
    "like_count": {"about": 5},
}

_FILLER = "…und so weiter 🧡 "


def _some_items(change: Change, *, one: bool = False) -> Act:
    """Changes some of the videos, or only one, or the user; at least one object."""

    def act(hit: Hit) -> SandboxAnswer | None:
        data = hit.data()
        if data is None:
            return None
        if "user" in data:
            data["user"] = dict(data["user"])
            return hit.with_data(data) if change(hit.rng, data["user"]) else None
        items = [dict(item) if isinstance(item, dict) else item for item in data["videos"]]
        objects = [item for item in items if isinstance(item, dict)]
        if not objects:
            return None
        picked = hit.rng.sample(objects, 1 if one else hit.rng.randint(1, len(objects)))
        changed = [change(hit.rng, item) for item in picked]
        return hit.with_data(data | {"videos": items}) if any(changed) else None

    return act


def _counters(change: Callable[[dict[str, Any], str], Any]) -> Change:
    """Changes some of an object's counters, at least one."""

    def act(rng: random.Random, item: dict[str, Any]) -> bool:
        names = [name for name in COUNTERS if type(item.get(name)) is int]
        if not names:
            return False
        for name in rng.sample(names, rng.randint(1, len(names))):
            change(item, name)
        return True

    return act


def _set(item: dict[str, Any], name: str, value_of: Callable[[Any], Any]) -> None:
    item[name] = value_of(item[name])


def _nul(rng: random.Random, item: dict[str, Any]) -> bool:
    names = [name for name in TEXTS if isinstance(item.get(name), str)]
    if isinstance(item.get(UNKNOWN_FIELD), dict):
        item[UNKNOWN_FIELD] = item[UNKNOWN_FIELD] | {"note": "\x00"}
    if not names:
        return UNKNOWN_FIELD in item
    name = rng.choice(names)
    at = rng.randint(0, len(item[name]))
    item[name] = f"{item[name][:at]}\x00{item[name][at:]}"
    return True


def _unknown(rng: random.Random, item: dict[str, Any]) -> bool:
    item.setdefault("is_aigc", rng.random() < 0.5)  # noqa: PLR2004 (either is as good)
    item[UNKNOWN_FIELD] = {
        "is_ad": False,
        "products": [{"id": str(rng.getrandbits(63)), "price": None}],
        "note": "新しい ✨",
    }
    return True


def _long(_: random.Random, item: dict[str, Any]) -> bool:
    text = item.get("video_description")
    if not isinstance(text, str):
        return False
    item["video_description"] = (text + _FILLER * MAX_CAPTION)[:MAX_CAPTION]
    return True


def _unreadable(rng: random.Random, item: dict[str, Any]) -> bool:
    names = [name for name in IMPOSSIBLE if name in item]
    if not names:
        return False
    name = rng.choice(names)
    item[name] = IMPOSSIBLE[name]
    return True


def _not_object(hit: Hit) -> SandboxAnswer | None:
    data = hit.data()
    if data is None or not data["videos"]:
        return None
    items = list(data["videos"])
    items[hit.rng.randrange(len(items))] = hit.rng.choice((None, "video", 7, []))
    return hit.with_data(data | {"videos": items})


FAULTS: Mapping[str, Fault] = {
    "counter_absent": Fault(
        "some counters of some objects are left out",
        DISPLAY,
        _some_items(_counters(lambda item, name: item.pop(name))),
    ),
    "counter_null": Fault(
        "some counters of some objects are null",
        DISPLAY,
        _some_items(_counters(functools.partial(_set, value_of=lambda _: None))),
    ),
    "counter_string": Fault(
        'some counters of some objects are texts, "123"',
        DISPLAY,
        _some_items(_counters(functools.partial(_set, value_of=str))),
    ),
    "nul_in_text": Fault("U+0000 in a text of some objects", DISPLAY, _some_items(_nul)),
    "unknown_field": Fault(
        "is_aigc and a nested object that nobody asked for", DISPLAY, _some_items(_unknown)
    ),
    "long_caption": Fault(
        f"captions of some videos filled up to {MAX_CAPTION} characters",
        VIDEOS,
        _some_items(_long),
    ),
    "unreadable_video": Fault(
        "one video has a field of an impossible type", VIDEOS, _some_items(_unreadable, one=True)
    ),
    "item_not_object": Fault("one video is not an object", LISTING, _not_object),
}
