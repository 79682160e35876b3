"""Does a listing end when TikTok says so, and only then?"""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.tiktok_sync.errors import ListingError
from include.tiktok_sync.tiktok import paginator
from include.tiktok_sync.tiktok.models import Video, VideoPage
from include.tiktok_sync.tiktok.paginator import STUCK_TRIES, all_pages
from tests.unit.tiktok_sync.scripted import examples

NOW = datetime(2026, 3, 10, tzinfo=timezone.utc)


def _page(cursor: int | None, *, ids: str = "", more: bool = True) -> VideoPage:
    """A page of videos whose id is the second they were posted in."""
    videos = tuple(
        Video(video_id=name, create_time=datetime.fromtimestamp(int(name), timezone.utc))
        for name in ids.split()
    )
    return VideoPage(videos, (), cursor, more, NOW)


class Pages:
    """Gives pages in order, the last one forever, and keeps the cursors that were asked for."""

    def __init__(self, *pages: VideoPage) -> None:
        self.pages = list(pages)
        self.asked: list[int | None] = []

    def __call__(self, cursor: int | None) -> VideoPage:
        self.asked.append(cursor)
        return self.pages[min(len(self.asked), len(self.pages)) - 1]


def _listed(pages: Pages, start: int | None = None) -> list[str]:
    return [video.video_id for page, _ in all_pages(pages, start) for video in page.videos]


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


def test_each_page_comes_with_the_cursor_behind_it() -> None:
    walk = all_pages(Pages(_page(9000, ids="9"), _page(0, ids="8", more=False)))
    assert [following for _, following in walk] == [9000, None]


def test_a_listing_goes_on_from_where_it_stopped() -> None:
    pages = Pages(_page(7000, ids="7"), _page(0, more=False))
    assert _listed(pages, start=8000) == ["7"]
    assert pages.asked == [8000, 7000]


@pytest.mark.parametrize("cursor", [None, 0, -5, 9000, 10_000])
def test_a_cursor_that_does_not_lead_on_gives_way_to_the_oldest_videos_time(
    cursor: int | None,
) -> None:
    pages = Pages(_page(9000, ids="10 9"), _page(cursor, ids="8 7"), _page(0, ids="6", more=False))
    assert _listed(pages) == ["10", "9", "8", "7", "6"]
    assert pages.asked == [None, 9000, 7000]


def test_a_circle_of_two_is_left_by_the_oldest_videos_time() -> None:
    pages = Pages(
        _page(9000, ids="9"), _page(8000, ids="8"), _page(9000, ids="7"), _page(0, more=False)
    )
    assert _listed(pages) == ["9", "8", "7"]
    assert pages.asked == [None, 9000, 8000, 7000]


@pytest.mark.parametrize("cursor", [None, 0, -5, 900])
def test_an_empty_page_that_leads_nowhere_is_asked_for_again_and_then_an_error(
    cursor: int | None,
) -> None:
    pages = Pages(_page(900, ids=""), _page(cursor))
    with pytest.raises(ListingError, match="does not say where"):
        _listed(pages)
    assert pages.asked == [None, *[900] * STUCK_TRIES]


def test_a_page_that_was_stuck_for_a_moment_goes_on() -> None:
    pages = Pages(_page(9000, ids="9"), _page(9000), _page(8000, ids="8"), _page(0, more=False))
    assert _listed(pages) == ["9", "8"]
    assert pages.asked == [None, 9000, 9000, 8000]


def test_a_listing_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paginator, "MAX_PAGES", 3)
    pages = Pages(*(_page(1000 - number, ids=str(number + 1)) for number in range(10)))
    with pytest.raises(ListingError, match="within 3 pages"):
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


@examples
@given(
    st.lists(
        st.tuples(st.none() | st.integers(-5, 99_000), st.sets(st.integers(1, 99)), st.booleans()),
        min_size=1,
    )
)
def test_no_sequence_of_answers_is_followed_forever_or_upwards(
    answers: list[tuple[int | None, set[int], bool]],
) -> None:
    pages = Pages(
        *(_page(cursor, ids=" ".join(map(str, ids)), more=more) for cursor, ids, more in answers)
    )
    try:
        _listed(pages)
        ended = pages.pages[min(len(pages.asked), len(answers)) - 1].has_more is False
    except ListingError:
        ended = True
    assert ended
    asked = [cursor for cursor in pages.asked if cursor is not None]
    assert all(later <= earlier for earlier, later in pairwise(asked))
    assert len(asked) <= STUCK_TRIES * (len(set(asked)) + 1)
