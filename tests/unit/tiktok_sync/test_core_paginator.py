"""Does a listing end when TikTok says so, and only then?"""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from include.tiktok_sync import paginator
from include.tiktok_sync.errors import DataError
from include.tiktok_sync.models import Video, VideoPage
from include.tiktok_sync.paginator import all_pages

NOW = datetime(2026, 3, 10, tzinfo=timezone.utc)


def _page(cursor: int | None, *, ids: str = "", more: bool = True) -> VideoPage:
    videos = tuple(Video(video_id=video_id) for video_id in ids.split())
    return VideoPage(videos, (), cursor, more, NOW)


class Pages:
    """Gives pages in order, the last for ever, and keeps the cursors that were asked for."""

    def __init__(self, *pages: VideoPage) -> None:
        self.pages = list(pages)
        self.asked: list[int | None] = []

    def __call__(self, cursor: int | None) -> VideoPage:
        self.asked.append(cursor)
        return self.pages[min(len(self.asked), len(self.pages)) - 1]


def _listed(pages: Pages) -> list[str]:
    return [video.video_id for page in all_pages(pages) for video in page.videos]


def test_short_and_empty_pages_do_not_end_a_listing() -> None:
    pages = Pages(
        _page(900, ids="9 8"), _page(800), _page(700), _page(600, ids="1"), _page(0, more=False)
    )
    assert _listed(pages) == ["9", "8", "1"]
    assert pages.asked == [None, 900, 800, 700, 600]


def test_one_page_is_enough_and_its_cursor_does_not_matter() -> None:
    for cursor in (None, 0, -1, 5):
        pages = Pages(_page(cursor, ids="1", more=False))
        assert _listed(pages) == ["1"]
        assert pages.asked == [None]


@pytest.mark.parametrize("cursor", [None, 0, -5])
def test_more_without_a_usable_cursor_is_an_error(cursor: int | None) -> None:
    pages = Pages(_page(cursor, ids="1"))
    walk = all_pages(pages)
    assert next(walk).videos[0].video_id == "1"  # what was listed is good
    with pytest.raises(DataError, match="no usable cursor"):
        next(walk)
    assert len(pages.asked) == 1


def test_a_cursor_that_comes_back_at_once_is_an_error() -> None:
    pages = Pages(_page(900))
    with pytest.raises(DataError, match="cursor 900 came twice"):
        _listed(pages)
    assert pages.asked == [None, 900]


def test_a_circle_of_two_is_an_error() -> None:
    pages = Pages(_page(900), _page(800), _page(900), _page(800))
    with pytest.raises(DataError, match="circle"):
        _listed(pages)
    assert pages.asked == [None, 900, 800]


def test_a_listing_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paginator, "MAX_PAGES", 3)
    pages = Pages(*(_page(1000 - number, ids=str(number)) for number in range(10)))
    with pytest.raises(DataError, match="within 3 pages"):
        _listed(pages)
    assert len(pages.asked) == 3


def test_the_last_page_may_be_the_last_allowed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paginator, "MAX_PAGES", 2)
    assert _listed(Pages(_page(9, ids="1"), _page(0, ids="2", more=False))) == ["1", "2"]


def test_pages_are_fetched_one_at_a_time() -> None:
    pages = Pages(_page(900), _page(800))
    walk = all_pages(pages)
    next(walk)
    assert pages.asked == [None]
