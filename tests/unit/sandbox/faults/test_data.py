"""Odd figures and texts on the wire, while the truth stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from include.sandbox.endpoints.display import USER_FIELDS, VIDEO_FIELDS
from include.sandbox.faults.data import IMPOSSIBLE, UNKNOWN_FIELD
from include.sandbox.world.edits import USER_COUNTERS, VIDEO_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_server import SandboxServer

STORE = "S001"
USER_FIGURES = (*USER_COUNTERS, "video_count")
VIDEO_ASKED = ",".join(name for name in VIDEO_FIELDS if name != "is_aigc")


def switch(sandbox: SandboxServer, *faults: str) -> None:
    rules = [{"fault": fault} for fault in faults]
    sandbox.admin("POST", "/faults", json={"rules": rules})


def user(sandbox: SandboxServer) -> dict[str, Any]:
    token = sandbox.row(STORE)["access_token"]
    found: dict[str, Any] = sandbox.user_info(token, ",".join(USER_FIELDS)).json()["data"]["user"]
    return found


def videos(sandbox: SandboxServer) -> list[Any]:
    token = sandbox.row(STORE)["access_token"]
    found: list[Any] = sandbox.video_list(token, VIDEO_ASKED).json()["data"]["videos"]
    return found


def truth(sandbox: SandboxServer) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.admin("GET", "/truth", params={"store_code": STORE})[STORE]
    return found


@pytest.mark.parametrize(
    ("fault", "is_odd"),
    [
        ("counter_absent", lambda item, name, _true: name not in item),
        ("counter_null", lambda item, name, _true: name in item and item[name] is None),
        ("counter_string", lambda item, name, true: item.get(name) == str(true[name])),
    ],
)
def test_some_counters_are_odd_and_the_rest_is_true(
    sandbox: SandboxServer, fault: str, is_odd: Callable[..., bool]
) -> None:
    before = truth(sandbox)
    switch(sandbox, fault)
    for _ in range(5):
        true_user = before["user"]
        found = user(sandbox)
        odd = [name for name in USER_FIGURES if is_odd(found, name, true_user)]
        assert odd
        assert all(found[n] == true_user[n] for n in set(true_user) - set(odd))
        odd_videos = 0
        for item, true in zip(videos(sandbox), before["videos"], strict=False):
            odd = [name for name in VIDEO_COUNTERS if is_odd(item, name, true)]
            odd_videos += bool(odd)
            assert all(item[n] == true[n] for n in set(true) - set(odd) - {"is_aigc"})
        assert odd_videos
    assert truth(sandbox) == before


def test_not_every_object_is_struck(sandbox: SandboxServer) -> None:
    switch(sandbox, "counter_absent")
    whole = [
        sum(all(name in item for name in VIDEO_COUNTERS) for item in videos(sandbox))
        for _ in range(10)
    ]
    assert max(whole) > 0
    assert all(count < 10 for count in whole)


def test_an_object_without_counters_is_left_alone(sandbox: SandboxServer) -> None:
    switch(sandbox, "counter_absent")
    token = sandbox.row(STORE)["access_token"]
    assert set(sandbox.user_info(token, "open_id").json()["data"]["user"]) == {"open_id"}
    assert sandbox.admin("GET", "/faults")["rules"][0]["hits"] == 0


def test_nul_in_texts(sandbox: SandboxServer) -> None:
    before = truth(sandbox)
    switch(sandbox, "nul_in_text")
    found = user(sandbox)
    texts = [found["display_name"], found["bio_description"]]
    assert "".join(texts).count("\x00") == 1
    struck = [v for v in videos(sandbox) if "\x00" in v["title"] + v["video_description"]]
    assert struck
    true = {video["id"]: video for video in before["videos"]}
    for video in struck:
        for name in ("title", "video_description"):
            assert video[name].replace("\x00", "") == true[video["id"]][name]
    assert truth(sandbox) == before


def test_fields_that_nobody_asked_for(sandbox: SandboxServer) -> None:
    switch(sandbox, "unknown_field")
    assert set(user(sandbox)) == {*USER_FIELDS, UNKNOWN_FIELD, "is_aigc"}
    struck = [video for video in videos(sandbox) if UNKNOWN_FIELD in video]
    assert struck
    assert all(isinstance(video["is_aigc"], bool) for video in struck)
    assert isinstance(struck[0][UNKNOWN_FIELD]["products"][0]["id"], str)


def test_nul_reaches_into_unknown_fields(sandbox: SandboxServer) -> None:
    switch(sandbox, "unknown_field", "nul_in_text")
    assert user(sandbox)[UNKNOWN_FIELD]["note"] == "\x00"


def test_long_captions(sandbox: SandboxServer) -> None:
    true = {video["id"]: video["video_description"] for video in truth(sandbox)["videos"]}
    switch(sandbox, "long_caption")
    changed = [v for v in videos(sandbox) if v["video_description"] != true[v["id"]]]
    assert changed
    for video in changed:
        assert len(video["video_description"]) == 2_200
        assert video["video_description"].startswith(true[video["id"]])


def test_one_video_is_unreadable(sandbox: SandboxServer) -> None:
    true = {video["id"] for video in truth(sandbox)["videos"]}
    switch(sandbox, "unreadable_video")
    struck: set[str] = set()
    for _ in range(30):
        odd = [
            name
            for video in videos(sandbox)
            for name, value in IMPOSSIBLE.items()
            if video[name] == value
        ]
        assert len(odd) == 1
        struck |= set(odd)
    assert struck == set(IMPOSSIBLE)
    token = sandbox.row(STORE)["access_token"]
    asked = sandbox.video_query(token, sorted(true)[:3], "id").json()["data"]["videos"]
    assert [video["id"] for video in asked].count(None) == 1


def test_one_item_is_no_object(sandbox: SandboxServer) -> None:
    switch(sandbox, "item_not_object")
    for _ in range(5):
        found = videos(sandbox)
        assert len(found) == 10
        assert sum(not isinstance(video, dict) for video in found) == 1


def test_data_faults_can_be_combined(sandbox: SandboxServer) -> None:
    switch(sandbox, "item_not_object", "counter_null", "nul_in_text", "short_page")
    for _ in range(10):
        found = videos(sandbox)
        assert 1 <= len(found) < 10
    assert all(rule["hits"] for rule in sandbox.admin("GET", "/faults")["rules"])
