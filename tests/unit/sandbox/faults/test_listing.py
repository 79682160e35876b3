"""How the listing misleads, and that an honest cursor still gets everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox_server import running_sandbox

if TYPE_CHECKING:
    from tests.sandbox_server import SandboxServer

# With seed 1, S007 has hundreds of videos.
BIG = "S007"
MOVING = (
    "video_deleted_between_pages",
    "video_privatized_between_pages",
    "video_published_between_pages",
)


def switch(sandbox: SandboxServer, fault: str, **rule: Any) -> None:
    sandbox.admin("POST", "/faults", json={"rules": [{"fault": fault, **rule}]})


def hit_count(sandbox: SandboxServer) -> int:
    return int(sandbox.admin("GET", "/faults")["rules"][0]["hits"])


def truth(sandbox: SandboxServer, code: str = BIG) -> list[str]:
    found = sandbox.admin("GET", "/truth", params={"store_code": code})[code]
    assert found["user"]["video_count"] == len(found["videos"])
    return [video["id"] for video in found["videos"]]


def page(sandbox: SandboxServer, cursor: int = 0) -> dict[str, Any]:
    body: dict[str, Any] = {"cursor": cursor} if cursor else {}
    token = sandbox.row(BIG)["access_token"]
    data: dict[str, Any] = sandbox.video_list(token, max_count=20, **body).json()["data"]
    return data


def ids(data: dict[str, Any]) -> list[str]:
    return [video["id"] for video in data["videos"]]


def follow(sandbox: SandboxServer, most: int = 2_000) -> tuple[list[str], list[int]]:
    """Ids and page sizes of the whole listing, as a client finds it that believes everything."""
    found: list[str] = []
    sizes: list[int] = []
    cursor = 0
    for _ in range(most):
        data = page(sandbox, cursor)
        found += ids(data)
        sizes.append(len(data["videos"]))
        if not data["has_more"]:
            return found, sizes
        cursor = data["cursor"]
    message = "the listing does not end"
    raise AssertionError(message)


def test_short_pages_lose_nothing(sandbox: SandboxServer) -> None:
    switch(sandbox, "short_page", rate=0.7)
    found, sizes = follow(sandbox)
    assert found == truth(sandbox)
    assert len(set(sizes)) > 5
    assert 0 not in sizes


def test_a_short_page_never_cuts_between_two_videos_of_one_second() -> None:
    with running_sandbox(rate_limit_per_minute=0) as sandbox:
        sandbox.admin("PATCH", "/settings", json={"same_second_ties": True})
        sandbox.admin("POST", f"/stores/{BIG}/videos", json={"publish": 19})
        switch(sandbox, "short_page")
        first = page(sandbox)
        # The newest 19 share a second, so the only cut lies behind them.
        assert len(first["videos"]) == 19


def test_empty_pages_lose_nothing(sandbox: SandboxServer) -> None:
    switch(sandbox, "empty_page", rate=0.5)
    found, sizes = follow(sandbox)
    assert found == truth(sandbox)
    assert sizes.count(0) == hit_count(sandbox) > 3


def test_an_empty_page_gives_a_cursor_that_leads_on(sandbox: SandboxServer) -> None:
    first = page(sandbox)
    rest = page(sandbox, first["cursor"])
    switch(sandbox, "empty_page", times=3)
    cursors = [first["cursor"]]
    for _ in range(3):
        empty = page(sandbox, cursors[-1])
        assert (empty["videos"], empty["has_more"]) == ([], True)
        cursors.append(empty["cursor"])
    assert cursors == sorted(set(cursors), reverse=True)
    assert ids(page(sandbox, cursors[-1])) == ids(rest)


def test_the_end_of_a_listing_is_never_empty_with_more(sandbox: SandboxServer) -> None:
    switch(sandbox, "empty_page")
    assert page(sandbox, 1_000) == {"videos": [], "cursor": 0, "has_more": False}
    assert hit_count(sandbox) == 0


def test_a_stuck_empty_page(sandbox: SandboxServer) -> None:
    second = page(sandbox)["cursor"]
    switch(sandbox, "empty_page_stuck", times=2)
    for _ in range(2):
        assert page(sandbox, second) == {"videos": [], "cursor": second, "has_more": True}
    assert len(page(sandbox, second)["videos"]) == 20


def test_a_stuck_cursor_leads_to_the_same_page_again(sandbox: SandboxServer) -> None:
    first = page(sandbox)
    second = page(sandbox, first["cursor"])
    switch(sandbox, "cursor_stuck")
    stuck = page(sandbox, first["cursor"])
    assert (stuck["cursor"], ids(stuck)) == (first["cursor"], ids(second))
    start = page(sandbox)
    assert ids(start) == ids(first)
    assert ids(page(sandbox, start["cursor"])) == ids(first)


def test_a_cursor_cycle_goes_back_and_forth(sandbox: SandboxServer) -> None:
    switch(sandbox, "cursor_cycle")
    a = page(sandbox)["cursor"]
    b = page(sandbox, a)["cursor"]
    assert a > b
    assert page(sandbox, b)["cursor"] == a
    assert page(sandbox, a)["cursor"] == b
    assert hit_count(sandbox) == 1


def test_cursors_that_are_none(sandbox: SandboxServer) -> None:
    true = page(sandbox)
    for fault in ("cursor_zero", "cursor_null", "cursor_missing"):
        switch(sandbox, fault, times=1)
        lie = page(sandbox)
        assert (ids(lie), lie["has_more"]) == (ids(true), True)
        assert (
            lie.get("cursor", "missing")
            == {
                "cursor_zero": 0,
                "cursor_null": None,
                "cursor_missing": "missing",
            }[fault]
        )
        assert page(sandbox)["cursor"] == true["cursor"]


def test_a_rising_cursor_never_repeats(sandbox: SandboxServer) -> None:
    switch(sandbox, "cursor_rising")
    first = page(sandbox)
    cursors = [first["videos"][0]["create_time"] * 1_000, first["cursor"]]
    for _ in range(3):
        again = page(sandbox, cursors[-1])
        assert ids(again) == ids(first)
        cursors.append(again["cursor"])
    assert cursors == sorted(set(cursors))


@pytest.mark.parametrize(
    "fault",
    [
        "cursor_stuck",
        "cursor_cycle",
        "cursor_zero",
        "cursor_null",
        "cursor_missing",
        "cursor_rising",
    ],
)
def test_lies_about_cursors_deliver_the_page_and_spare_the_last(
    sandbox: SandboxServer, fault: str
) -> None:
    everything = truth(sandbox)
    times = [v["create_time"] for v in page_of_truth(sandbox)]
    switch(sandbox, fault)
    found: list[str] = []
    while True:
        # The client works the cursor out from the videos and never believes the answer.
        data = page(sandbox, times[len(found) - 1] * 1_000 if found else 0)
        found += ids(data)
        if not data["has_more"]:
            break
    assert found == everything
    assert data["cursor"] == times[-1] * 1_000


def page_of_truth(sandbox: SandboxServer) -> list[dict[str, Any]]:
    videos: list[dict[str, Any]] = sandbox.admin("GET", "/truth", params={"store_code": BIG})[BIG][
        "videos"
    ]
    return videos


def test_duplicates_within_a_page_and_across_pages(sandbox: SandboxServer) -> None:
    true = [page(sandbox)]
    true.append(page(sandbox, true[0]["cursor"]))
    switch(sandbox, "duplicate_video")
    first = page(sandbox)
    assert len(first["videos"]) == 21
    assert set(ids(first)) == set(ids(true[0]))
    assert first["cursor"] == true[0]["cursor"]
    second = page(sandbox, first["cursor"])
    assert len(second["videos"]) == 21
    assert len(set(ids(second)) & set(ids(true[0]))) == 1
    assert set(ids(true[1])) < set(ids(second))
    assert second["cursor"] == true[1]["cursor"]
    found, _ = follow(sandbox)
    assert set(found) == set(truth(sandbox))


def test_a_rejected_cursor_is_one_that_was_given(sandbox: SandboxServer) -> None:
    switch(sandbox, "cursor_rejected", times=1)
    first = page(sandbox)  # no cursor was sent
    token = sandbox.row(BIG)["access_token"]
    response = sandbox.video_list(token, max_count=20, cursor=first["cursor"])
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "invalid_params")
    assert error["message"] == "Invalid count or cursor"
    assert sandbox.admin("GET", "/requests")[-1]["cursor"] == first["cursor"]
    assert len(page(sandbox, first["cursor"])["videos"]) == 20


@pytest.mark.parametrize("fault", MOVING)
def test_the_world_moves_between_two_pages(sandbox: SandboxServer, fault: str) -> None:
    before = truth(sandbox)
    switch(sandbox, fault, times=1)
    first = page(sandbox)
    assert ids(first) == before[:20]
    after = truth(sandbox)
    if fault == "video_published_between_pages":
        assert after[1:] == before
        assert after[0] not in before
    else:
        assert len(after) == len(before) - 1
        assert set(after) < set(before)
    second = page(sandbox, first["cursor"])
    assert set(ids(second)) <= set(after)


def test_a_privatised_video_can_come_back_between_pages(sandbox: SandboxServer) -> None:
    before = truth(sandbox)
    switch(sandbox, "video_republished_between_pages", times=1)
    page(sandbox)
    assert hit_count(sandbox) == 0
    sandbox.admin("POST", f"/stores/{BIG}/videos", json={"privatize": [before[30]]})
    first = page(sandbox)
    assert hit_count(sandbox) == 1
    assert before[30] in ids(page(sandbox, first["cursor"]))
    assert truth(sandbox) == before


def test_the_world_stays_when_a_listing_has_no_next_page(sandbox: SandboxServer) -> None:
    before = truth(sandbox)
    switch(sandbox, "video_deleted_between_pages")
    page(sandbox, 1_000)
    assert truth(sandbox) == before


@pytest.mark.parametrize("add_ms", [1, 1_000])
def test_a_cursor_just_above_a_second_gives_the_whole_second_again(add_ms: int) -> None:
    with running_sandbox(same_second_ties=True, rate_limit_per_minute=0) as sandbox:
        videos = page_of_truth(sandbox)
        edge = videos[19]["create_time"]
        assert videos[20]["create_time"] == edge
        assert page(sandbox)["cursor"] == edge * 1_000
        again = page(sandbox, edge * 1_000 + add_ms)
        assert ids(again) == [video["id"] for video in videos[19:39]]
        strict = page(sandbox, edge * 1_000)
        assert ids(strict) == [video["id"] for video in videos[21:41]]
