"""Which moments do the pages of a listing cover?"""

from __future__ import annotations

from datetime import datetime, timezone

from include.tiktok_sync.sync.videos.coverage import Coverage


def _at(second: int) -> datetime:
    return datetime.fromtimestamp(second, timezone.utc)


def test_an_edge_is_on_neither_page_until_one_begins_above_it() -> None:
    coverage = Coverage([50_000, 30_000])
    assert [second for second in (60, 51, 50, 49, 31, 30, 29) if coverage.covers(_at(second))] == [
        60,
        51,
        49,
        31,
    ]
    coverage.add(51_000, 40_000)
    assert coverage.covers(_at(50))


def test_pages_are_whole_when_they_lead_to_the_end_without_a_gap() -> None:
    coverage = Coverage([50_000])
    assert not coverage.is_whole()
    coverage.add(40_000, None)
    assert not coverage.is_whole()
    coverage.add(50_000, 40_000)
    assert coverage.is_whole()
    assert Coverage([50_000], ended=True).is_whole()
