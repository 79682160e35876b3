"""Which difference of two readings cannot be growth?"""

from __future__ import annotations

import pytest

from include.tiktok_sync.sync.videos.readings import differ

FIRST = (1_000, 100, 10, 5)


@pytest.mark.parametrize(
    ("second", "is_difference"),
    [
        (FIRST, False),
        ((1_001, 100, 10, 5), False),
        ((2_000, 100, 10, 5), False),  # one counter alone may double
        ((999, 100, 10, 5), True),
        ((1_000, 100, 10, 4), True),
        ((11_001, 100, 10, 5), True),
        ((2_000, 200, 20, 10), True),  # all of them together do not
        ((None, 100, 10, 5), False),
        ((None, None, None, None), False),
    ],
)
def test_what_growth_can_explain_is_no_difference(
    second: tuple[int | None, ...], *, is_difference: bool
) -> None:
    assert differ(FIRST, second) is is_difference


def test_small_figures_may_grow_together() -> None:
    assert not differ((2, 1, 1, 1), (4, 2, 2, 2))
