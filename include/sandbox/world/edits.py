"""How do the stores' content and counters change while the sandbox runs?

A deleted or privatised video just disappears, without a tombstone; one that is made public again is
back at its old place (reference: video list). Counters may fall (spam removal, un-likes).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

from include.sandbox.setting_checks import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from include.sandbox.settings import SandboxSettings
    from include.sandbox.world.changes import StoreChanges
    from include.sandbox.world.world import World

USER_COUNTERS = ("follower_count", "following_count", "likes_count")
VIDEO_COUNTERS = ("view_count", "like_count", "comment_count", "share_count")

MAX_PUBLISHED = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class VideoEdit:
    """What happens to one store's videos, in this order.

    Attributes:
        delete: Ids that vanish permanently, public or private ones.
        privatize: Public ids that vanish until they are republished.
        republish: Private ids that come back.
        publish: How many new videos are posted: by now, on the sandbox's day, newer than all
            others; each in a second of its own, unless `same_second_ties` is on.
    """

    delete: tuple[str, ...] = ()
    privatize: tuple[str, ...] = ()
    republish: tuple[str, ...] = ()
    publish: int = 0


def edit_videos(world: World, settings: SandboxSettings, code: str, edit: VideoEdit) -> None:
    """Changes one store's videos, all or nothing.

    Args:
        world: The stores; their changes are kept in its `changes`.
        settings: The sandbox's day, and whether new videos share a second.
        code: The store.
        edit: What happens to its videos.

    Raises:
        SettingsError: An id is not what the edit needs it to be, or stands in it twice.
    """
    store = world.store_of(code)
    changes = world.changes.of(code)
    everything = {video.id for video in world.all_videos(store)}
    public = everything - changes.hidden
    named = [*edit.delete, *edit.privatize, *edit.republish]
    if len(set(named)) < len(named):
        repeated = next(video_id for video_id in named if named.count(video_id) > 1)
        raise SettingsError(repeated, "stands in the request twice")
    _need("delete", edit.delete, everything - changes.deleted, "no video of the store")
    _need("privatize", edit.privatize, public, "no public video of the store")
    _need("republish", edit.republish, changes.private, "no private video of the store")
    _put(
        world,
        code,
        dataclasses.replace(
            changes,
            deleted=changes.deleted.union(edit.delete),
            private=(changes.private.union(edit.privatize)).difference(edit.delete, edit.republish),
            published=changes.published + _moments(world, settings, code, edit.publish),
        ),
    )


def set_counters(
    world: World, code: str, video_id: str | None, counters: Mapping[str, int | None]
) -> None:
    """Sets counters to values that they keep; None gives one back to the seed's course.

    Args:
        world: The stores; their changes are kept in its `changes`.
        code: The store.
        video_id: Which video; None for the user object.
        counters: Name -> value.

    Raises:
        SettingsError: The video is not a public one of the store, or has no such counter.
    """
    known = USER_COUNTERS if video_id is None else VIDEO_COUNTERS
    for name in counters:
        if name not in known:
            raise SettingsError(name, f"can not be set; only {', '.join(known)}")
    changes = world.changes.of(code)
    if video_id is None:
        _put(world, code, dataclasses.replace(changes, user=_merged(changes.user, counters)))
        return
    if video_id not in world.listing(world.store_of(code).number).by_id:
        raise SettingsError(video_id, "no public video of the store")
    mine = _merged(changes.videos.get(video_id, {}), counters)
    _put(
        world,
        code,
        dataclasses.replace(changes, videos={**changes.videos, video_id: mine}),
    )


def _put(world: World, code: str, changes: StoreChanges) -> None:
    world.changes.put(code, changes)
    world.forget(code)


def _need(what: str, ids: Iterable[str], allowed: Iterable[str], reason: str) -> None:
    found = frozenset(allowed)
    for video_id in ids:
        if video_id not in found:
            raise SettingsError(what, f"{video_id} is {reason}")


def _merged(old: Mapping[str, int], new: Mapping[str, int | None]) -> dict[str, int]:
    merged = {**old, **new}
    return {name: value for name, value in merged.items() if value is not None}


def _moments(world: World, settings: SandboxSettings, code: str, count: int) -> tuple[int, ...]:
    clock = dt.datetime.now(dt.timezone.utc).timetz()
    now = int(dt.datetime.combine(settings.today, clock).timestamp())
    # Private ones count too: they come back at their old place.
    newest = max(
        (video.create_time for video in world.all_videos(world.store_of(code))),
        default=0,
    )
    step = 0 if settings.same_second_ties else 1
    # The last one now: a client that counts what was posted since would count the others twice.
    first = max(now - step * (count - 1), newest + 1)
    return tuple(first + step * index for index in range(count))
