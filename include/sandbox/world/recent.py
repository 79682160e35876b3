"""What did the stores post lately, seen from the day the sandbox began?

The seed's videos are all older than 2026. The second API needs young ones too, whose figures are
late, and accounts that are too small for it; both are there on the Display side as well.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

from include.sandbox.world.content import drawn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from include.sandbox.world.world import World

DAYS = 30
_DAY = 86_400
_SMALL_EVERY, _SMALL_AT = 13, 6
_SMALLEST = 20


def is_small(number: int, seed: int) -> bool:
    """Whether a store's account has fewer than 100 followers."""
    return (number + seed) % _SMALL_EVERY == _SMALL_AT


def seed_recent(world: World, codes: Iterable[str], seed: int, anchor: dt.date) -> None:
    """Gives stores that nobody has changed yet one to three videos of the last month.

    Args:
        world: The stores.
        codes: Which ones.
        seed: Decides when the videos were posted, and which accounts are small.
        anchor: The day the sandbox began; nothing is posted on it or later.
    """
    end = int(dt.datetime.combine(anchor, dt.time(), dt.timezone.utc).timestamp())
    for code in codes:
        store, changes = world.store_of(code), world.changes.of(code)
        if changes.published or changes.user:
            continue
        count = 1 + drawn(3, seed, code, "recent") if store.video_count else 0
        moments = sorted(end - 1 - drawn(DAYS * _DAY, seed, code, index) for index in range(count))
        user = {}
        if is_small(store.number, seed):
            user = {"follower_count": _SMALLEST + drawn(60, seed, code, "small")}
        world.changes.put(code, dataclasses.replace(changes, published=tuple(moments), user=user))
        world.forget(code)
