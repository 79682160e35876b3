"""Endpoints that disagree on the wire, while the truth stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from include.sandbox.world.edits import VIDEO_COUNTERS

if TYPE_CHECKING:
    from tests.sandbox_server import SandboxServer

STORE = "S001"
ASKED = ",".join(("id", "create_time", *VIDEO_COUNTERS))


def switch(sandbox: SandboxServer, **rule: Any) -> None:
    sandbox.admin("POST", "/faults", json={"rules": [rule]})


def truth(sandbox: SandboxServer) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.admin("GET", "/truth", params={"store_code": STORE})[STORE]
    return found


def listed(sandbox: SandboxServer) -> list[dict[str, Any]]:
    token = sandbox.row(STORE)["access_token"]
    data = sandbox.video_list(token, ASKED, max_count=20).json()["data"]
    return list(data["videos"])


def queried(sandbox: SandboxServer) -> list[dict[str, Any]]:
    token = sandbox.row(STORE)["access_token"]
    ids = [video["id"] for video in truth(sandbox)["videos"][:20]]
    return list(sandbox.video_query(token, ids, ASKED).json()["data"]["videos"])


def count(sandbox: SandboxServer) -> int | None:
    token = sandbox.row(STORE)["access_token"]
    user = sandbox.user_info(token, "open_id,video_count").json()["data"]["user"]
    found: int | None = user.get("video_count")
    return found


@pytest.mark.parametrize("fault", ["query_lower", "query_older"])
def test_the_query_says_less_than_the_listing(sandbox: SandboxServer, fault: str) -> None:
    before = truth(sandbox)
    switch(sandbox, fault=fault)
    right, other = listed(sandbox), queried(sandbox)
    assert [video["id"] for video in other] == [video["id"] for video in right]
    views = [
        (mine["view_count"], yours["view_count"]) for mine, yours in zip(right, other, strict=True)
    ]
    assert all(less < more for more, less in views)
    if fault == "query_lower":
        assert all(less == more // 2 for more, less in views)
    assert truth(sandbox) == before


def test_older_figures_are_those_of_yesterday(sandbox: SandboxServer) -> None:
    sandbox.admin("PATCH", "/settings", json={"date": "2026-05-01"})
    yesterday = {video["id"]: video["view_count"] for video in truth(sandbox)["videos"]}
    sandbox.admin("PATCH", "/settings", json={"date": "2026-05-02"})
    switch(sandbox, fault="query_older")
    assert {v["id"]: v["view_count"] for v in queried(sandbox)}.items() <= yesterday.items()


def test_a_public_video_is_hidden_from_one_query(sandbox: SandboxServer) -> None:
    switch(sandbox, fault="query_hides", times_per_store=1)
    everything = {video["id"] for video in listed(sandbox)}
    assert len(everything - {video["id"] for video in queried(sandbox)}) == 1
    assert {video["id"] for video in queried(sandbox)} == everything


@pytest.mark.parametrize(
    ("rule", "off"),
    [
        ({"fault": "count_high"}, 1),
        ({"fault": "count_high", "by": 3}, 3),
        ({"fault": "count_low", "by": 2}, -2),
        ({"fault": "count_absent"}, None),
    ],
)
def test_the_profile_counts_too_many_too_few_or_not_at_all(
    sandbox: SandboxServer, rule: dict[str, Any], off: int | None
) -> None:
    right = len(truth(sandbox)["videos"])
    switch(sandbox, **rule)
    assert count(sandbox) == (None if off is None else right + off)


def test_a_count_is_never_below_nothing(sandbox: SandboxServer) -> None:
    switch(sandbox, fault="count_low", by=10_000)
    assert count(sandbox) == 0


def test_some_videos_come_without_their_time(sandbox: SandboxServer) -> None:
    switch(sandbox, fault="create_time_absent")
    for videos in (listed(sandbox), queried(sandbox)):
        without = [video for video in videos if "create_time" not in video]
        assert without
        assert all(video.keys() == {"id", *VIDEO_COUNTERS} for video in without)


def test_one_endpoint_alone_can_be_out_of_places(sandbox: SandboxServer) -> None:
    switch(sandbox, fault="rate_limited", endpoints=["video_query"])
    token = sandbox.row(STORE)["access_token"]
    assert sandbox.video_query(token, ["1"]).status_code == 429
    assert sandbox.video_list(token).status_code == 200


def test_the_log_says_how_many_ids_were_asked_for_and_how_many_videos_shown(
    sandbox: SandboxServer,
) -> None:
    token = sandbox.row(STORE)["access_token"]
    known = [video["id"] for video in truth(sandbox)["videos"][:2]]
    sandbox.video_query(token, [*known, "1"])
    sandbox.video_list(token, max_count=5)
    sandbox.user_info(token)
    log = sandbox.admin("GET", "/requests")
    assert [(entry["asked"], entry["shown"]) for entry in log] == [(3, 2), (None, 5), (None, None)]
