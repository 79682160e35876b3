"""How does the listing mislead: short and empty pages, cursors that lead nowhere, a moving world?

Sources: reference "video list" (short pages while `has_more` is true), "quirks from the wild" (a
cursor rejected that the API itself gave) and "only inferred" (duplicates, cursors that do not
advance). The true page's videos are always delivered, on this answer or a later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.sandbox.endpoints.display import video_items
from include.sandbox.faults.fault import LISTING, Fault
from include.sandbox.faults.http import refused
from include.sandbox.world.edits import VideoEdit, edit_videos

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from include.sandbox.faults.fault import Act, Hit, Page
    from include.sandbox.wire.envelopes import SandboxAnswer

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000


def _short_page(hit: Hit) -> SandboxAnswer | None:
    data, page = hit.data(), hit.page
    if data is None or page is None or len(data["videos"]) != len(page.videos):
        return None
    videos = page.videos
    # A cut between two videos of one second would lose the second one for good.
    cuts = [n for n in range(1, len(videos)) if videos[n - 1].create_time != videos[n].create_time]
    if not cuts:
        return None
    cut = hit.rng.choice(cuts)
    cursor = videos[cut - 1].create_time * 1_000
    return hit.with_data(
        data | {"videos": data["videos"][:cut], "cursor": cursor, "has_more": True}
    )


def _empty_page(cursor_of: Callable[[Page], int | None]) -> Act:
    def act(hit: Hit) -> SandboxAnswer | None:
        data, page = hit.data(), hit.page
        if data is None or page is None or not page.videos:
            return None
        cursor = cursor_of(page)
        if cursor is None:
            return None
        return hit.with_data(data | {"videos": [], "cursor": cursor, "has_more": True})

    return act


def _next_ms(page: Page) -> int:
    """The lowest cursor that still leads to the page's first video."""
    return page.videos[0].create_time * 1_000 + 1


def _same(page: Page) -> int:
    return page.sent or _next_ms(page) + 999


def _closer(page: Page) -> int | None:
    """A cursor between the one that was sent and the page's first video: it consumes nothing."""
    least = _next_ms(page)
    sent = page.sent or least + _HOUR_MS
    closer = least + (sent - least) // 2
    return closer if closer < sent else None


def _lying_cursor(lie: Callable[[Page], int | None]) -> Act:
    def act(hit: Hit) -> SandboxAnswer | None:
        data, page = hit.data(), hit.page
        if data is None or page is None or not page.has_more:
            return None
        cursor = lie(page)
        return None if cursor is None else hit.with_data(data | {"cursor": cursor})

    return act


def _former(page: Page) -> int | None:
    """The cursor that led to the page before this one, if pages were full."""
    last = page.start - page.size - 1
    return page.everything[last].create_time * 1_000 if last >= 0 else None


def _rising(page: Page) -> int:
    return (page.sent or page.videos[0].create_time * 1_000) + _DAY_MS


def _no_cursor(change: Callable[[dict[str, Any]], Any]) -> Act:
    def act(hit: Hit) -> SandboxAnswer | None:
        data, page = hit.data(), hit.page
        if data is None or page is None or not page.has_more:
            return None
        change(data)
        return hit.with_data(data)

    return act


def _duplicate(hit: Hit) -> SandboxAnswer | None:
    data, page = hit.data(), hit.page
    if data is None or page is None or not page.videos:
        return None
    before = page.everything[max(0, page.start - page.size) : page.start]
    video = hit.rng.choice(before or page.videos)
    items = list(data["videos"])
    again = video_items(hit.sandbox, hit.call, page.store, [video])
    items.insert(hit.rng.randint(0, len(items)), again[0])
    return hit.with_data(data | {"videos": items})


def _rejected(hit: Hit) -> SandboxAnswer | None:
    if hit.page is None or not hit.page.sent:
        return None
    return refused("invalid_params", "Invalid count or cursor")(hit)


def _meanwhile(edit_of: Callable[[Hit, Page], VideoEdit | None]) -> Act:
    """The answer is true; the world is another one when the next page is asked for."""

    def act(hit: Hit) -> SandboxAnswer | None:
        if hit.data() is None or hit.page is None or not hit.page.has_more:
            return None
        edit = edit_of(hit, hit.page)
        if edit is None:
            return None
        edit_videos(hit.sandbox.world, hit.sandbox.settings, hit.page.store.code, edit)
        return hit.answer()

    return act


def _any_public(hit: Hit, page: Page) -> tuple[str, ...]:
    public = hit.sandbox.world.listing(page.store.number).videos
    return (hit.rng.choice(public).id,) if public else ()


def _delete(hit: Hit, page: Page) -> VideoEdit | None:
    ids = _any_public(hit, page)
    return VideoEdit(delete=ids) if ids else None


def _privatize(hit: Hit, page: Page) -> VideoEdit | None:
    ids = _any_public(hit, page)
    return VideoEdit(privatize=ids) if ids else None


def _republish(hit: Hit, page: Page) -> VideoEdit | None:
    private = sorted(hit.sandbox.changes.of(page.store.code).private)
    return VideoEdit(republish=(hit.rng.choice(private),)) if private else None


def _fault(text: str, act: Act) -> Fault:
    return Fault(text, LISTING, act)


FAULTS: Mapping[str, Fault] = {
    "short_page": _fault("fewer videos than there are, has_more true", _short_page),
    "empty_page": _fault(
        "no videos, has_more true, and a cursor that leads on", _empty_page(_closer)
    ),
    "empty_page_stuck": _fault(
        "no videos, has_more true, and the cursor that was sent", _empty_page(_same)
    ),
    "cursor_stuck": _fault(
        "the page, but with a cursor that leads to it again", _lying_cursor(_same)
    ),
    "cursor_cycle": _fault(
        "from the third page: the cursor that led to the page before", _lying_cursor(_former)
    ),
    "cursor_zero": _fault("has_more true, cursor 0", _lying_cursor(lambda _: 0)),
    "cursor_missing": _fault(
        "has_more true, no cursor", _no_cursor(lambda data: data.pop("cursor"))
    ),
    "cursor_null": _fault(
        "has_more true, cursor null", _no_cursor(lambda data: data.update(cursor=None))
    ),
    "cursor_rising": _fault("a cursor a day later than the one sent", _lying_cursor(_rising)),
    "duplicate_video": _fault(
        "a video of the page before once more; on the first page, one of its own", _duplicate
    ),
    "cursor_rejected": Fault(
        "400 invalid_params for a cursor that TikTok gave", LISTING, _rejected, replaces=True
    ),
    "video_deleted_between_pages": _fault(
        "after a page, one of the store's videos is deleted", _meanwhile(_delete)
    ),
    "video_privatized_between_pages": _fault(
        "after a page, one of the store's videos is made private", _meanwhile(_privatize)
    ),
    "video_republished_between_pages": _fault(
        "after a page, a private video is public again", _meanwhile(_republish)
    ),
    "video_published_between_pages": _fault(
        "after a page, a new video is posted", _meanwhile(lambda _hit, _page: VideoEdit(publish=1))
    ),
}
