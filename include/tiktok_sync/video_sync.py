"""Do one store: all its videos and their counters of the day."""

from __future__ import annotations

from itertools import islice

from include.tiktok_sync.client import PAGE_SIZE, TikTokClient
from include.tiktok_sync.errors import DataError, MissingScopeError
from include.tiktok_sync.models import VIDEO_SCOPE
from include.tiktok_sync.outcome import StoreOutcome
from include.tiktok_sync.paginator import all_pages
from include.tiktok_sync.repository import StoreRepository
from include.tiktok_sync.snapshot import SnapshotDay
from include.tiktok_sync.tokens import utc_now


def sync_videos(
    store_code: str, day: SnapshotDay, *, client: TikTokClient, repository: StoreRepository
) -> StoreOutcome:
    """List every video, write page by page, then settle which ones are gone.

    Memory holds one page and the ids seen. A video is marked removed only after a complete
    listing, and only if ``video/query`` does not show it either.

    Raises:
        MissingScopeError: ``video.list`` was not granted.
        DataError: Some videos could not be read, or the listing did not end; every readable
            video that was listed is written.
        SyncError: See :mod:`include.tiktok_sync.meanings`.
    """
    if VIDEO_SCOPE not in client.tokens.scopes:
        message = (
            "The store's grant does not include video.list; its manager must connect the account"
            " again and allow it."
        )
        raise MissingScopeError(message)
    seen: set[str] = set()
    problems: list[str] = []
    rows = pages = 0
    late = False
    for page in all_pages(client.list_videos):
        pages += 1
        fresh = {video.video_id: video for video in page.videos if video.video_id not in seen}
        rows += repository.save_videos(store_code, day, list(fresh.values()), page.observed_at)
        seen.update(fresh)
        problems.extend(page.problems)
        late = late or day.is_late(page.observed_at)
    if problems:
        message = (
            f"{len(problems)} of {len(seen) + len(problems)} videos could not be read, the others"
            f" are written. First: {problems[0]}"
        )
        raise DataError(message, detail="; ".join(problems[:20]))
    removed = _settle_missing(store_code, seen, client=client, repository=repository)
    return StoreOutcome(
        message=f"{len(seen)} videos on {pages} pages" + (f", {removed} gone" if removed else ""),
        details={
            "videos": len(seen),
            "pages": pages,
            "rows": rows,
            "removed": removed,
            "late": late,
        },
    )


def _settle_missing(
    store_code: str, seen: set[str], *, client: TikTokClient, repository: StoreRepository
) -> int:
    missing = iter(repository.videos_not_among(store_code, seen))
    removed = 0
    while chunk := list(islice(missing, PAGE_SIZE)):
        still_there = {video.video_id for video in client.query_videos(chunk)}
        gone = [video_id for video_id in chunk if video_id not in still_there]
        removed += repository.mark_removed(gone, utc_now())
    return removed
