"""Is an answer read as it was meant: absent is None, wrong is named, new is kept?"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.tiktok_sync.errors import DataError
from include.tiktok_sync.tiktok.models import (
    KNOWN_SCOPES,
    USER_FIELD_SCOPES,
    VIDEO_FIELDS,
    UserProfile,
    Video,
    VideoPage,
    parse_videos,
)
from tests.unit.tiktok_sync.scripted import examples

UTC = timezone.utc
NOW = datetime(2026, 3, 10, tzinfo=UTC)
COUNTS = ("follower_count", "following_count", "likes_count", "video_count")
MAX = 2**63 - 1

counts = st.integers(0, MAX)
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


def test_what_is_absent_is_none_and_never_zero() -> None:
    for source in ({}, dict.fromkeys(USER_FIELD_SCOPES)):
        profile = UserProfile.from_api(source)
        assert {value for name, value in vars(profile).items() if name != "extra"} == {None}
        assert profile.extra == {}
    video = Video.from_api({"id": "1", "view_count": None})
    assert {value for name, value in vars(video).items() if name not in {"video_id", "extra"}} == {
        None
    }


def test_zero_is_zero_and_empty_text_is_empty() -> None:
    profile = UserProfile.from_api({"follower_count": 0, "bio_description": ""})
    assert (profile.follower_count, profile.bio_description) == (0, "")


@pytest.mark.parametrize(
    ("value", "count"), [("12", 12), (12.0, 12), (2**40, 2**40), ("0", 0), (-1, -1), (MAX, MAX)]
)
def test_numbers_come_in_several_shapes(value: Any, count: int) -> None:
    profile = UserProfile.from_api({"likes_count": value})
    assert profile.likes_count == count
    assert type(profile.likes_count) is int


@pytest.mark.parametrize("value", [True, False, "1,2", "", 1.5, [], {}, 1e300, 2**63, float("nan")])
@pytest.mark.parametrize("name", COUNTS)
def test_what_is_no_count_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"`{name}`"):
        UserProfile.from_api({name: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("display_name", 5), ("display_name", ["x"]), ("is_verified", "true"), ("is_verified", 1)],
)
def test_other_types_are_refused_by_name_too(field: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"`{field}`"):
        UserProfile.from_api({field: value})


def test_a_message_about_a_wrong_value_stays_short() -> None:
    with pytest.raises(DataError) as caught:
        UserProfile.from_api({"display_name": ["x" * 10_000]})
    assert len(caught.value.message) < 200


def test_fields_of_tomorrow_are_kept_and_cleaned() -> None:
    profile = UserProfile.from_api({"username": "u", "badge\x00": {"a\ud800": ["\x00b", 1, None]}})
    assert profile.extra == {"badge": {"a?": ["b", 1, None]}}
    video = Video.from_api({"id": "1", "is_aigc": True, "title": "t"})
    assert video.extra == {"is_aigc": True}
    # Numbers that JSON can write and Postgres cannot keep.
    odd = Video.from_api({"id": "1", "score": float("inf"), "list": [float("nan"), 1.5]})
    assert odd.extra == {"score": None, "list": [None, 1.5]}


def test_text_that_postgres_refuses_is_cleaned() -> None:
    profile = UserProfile.from_api({"display_name": "a\x00\ud83c\udf00b\udfff"})
    cleaned = profile.display_name
    assert cleaned is not None
    assert "\x00" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert cleaned.startswith("a")


@examples
@given(
    numbers=st.fixed_dictionaries({}, optional=dict.fromkeys(COUNTS, counts)),
    words=st.fixed_dictionaries({}, optional=dict.fromkeys(("display_name", "username"), texts)),
    verified=st.none() | st.booleans(),
)
def test_a_profile_survives_the_wire(
    numbers: dict[str, int], words: dict[str, str], *, verified: bool | None
) -> None:
    sent = {**numbers, **words, "is_verified": verified}
    profile = UserProfile.from_api(json.loads(json.dumps(sent)))
    for name in (*COUNTS, "display_name", "username", "is_verified"):
        assert getattr(profile, name) == sent.get(name)


@examples
@given(
    video_id=st.integers(1, MAX).map(str),
    posted=st.datetimes(datetime(2016, 1, 1), datetime(2099, 1, 1)),  # noqa: DTZ001 - the strategy adds the zone
    views=st.none() | counts,
    title=texts,
)
def test_a_video_survives_the_wire(
    video_id: str, posted: datetime, views: int | None, title: str
) -> None:
    posted = posted.replace(microsecond=0, tzinfo=UTC)
    sent = {"id": video_id, "create_time": int(posted.timestamp()), "title": title}
    if views is not None:
        sent["view_count"] = views
    video = Video.from_api(json.loads(json.dumps(sent)))
    assert (video.video_id, video.create_time, video.view_count) == (video_id, posted, views)
    assert video.title == title


@examples
@given(
    st.dictionaries(
        st.sampled_from(("id", "create_time", "title", "view_count", "new")),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_no_answer_whatsoever_breaks_the_reader(item: dict[str, Any]) -> None:
    videos, problems = parse_videos([item])
    assert len(videos) + len(problems) == 1
    for video in videos:
        assert "\x00" not in json.dumps(video.extra, ensure_ascii=False)
        assert video.view_count is None or abs(video.view_count) <= MAX


def test_an_id_is_text_and_keeps_every_digit() -> None:
    assert Video.from_api({"id": 7290000000000000001}).video_id == "7290000000000000001"


@pytest.mark.parametrize("value", [None, "", True, 1.5, []])
def test_a_video_without_an_id_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match="without an id"):
        Video.from_api({"id": value, "title": "t"})


@pytest.mark.parametrize("value", [10**17, -(10**17), "soon"])
def test_an_impossible_time_is_refused_with_the_id(value: Any) -> None:
    with pytest.raises(DataError, match="Video 5: `create_time`"):
        Video.from_api({"id": "5", "create_time": value})


def test_a_page_is_read_and_its_unreadable_elements_are_named() -> None:
    items = [{"id": "1"}, {"id": "2", "view_count": True}, "x", {"title": "t"}, {"id": "3"}]
    page = VideoPage.from_api({"videos": items, "cursor": "17", "has_more": True}, NOW)
    assert [video.video_id for video in page.videos] == ["1", "3"]
    assert (page.cursor, page.has_more, page.observed_at) == (17, True, NOW)
    assert len(page.problems) == 3
    assert "Video 2" in page.problems[0]
    assert "str" in page.problems[1]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"videos": [], "has_more": None},
        {"videos": None, "has_more": False},
        {"has_more": False},
        {"videos": {}, "has_more": False},
        {"videos": [], "has_more": 0},
        {"videos": [], "has_more": True, "cursor": "x"},
    ],
)
def test_a_page_of_another_shape_does_not_pass_for_an_empty_one(data: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        VideoPage.from_api(data, NOW)


def test_the_scopes_are_those_that_the_fields_need() -> None:
    assert {*USER_FIELD_SCOPES.values(), "video.list"} == KNOWN_SCOPES
    assert len(set(VIDEO_FIELDS)) == len(VIDEO_FIELDS) == 14


@pytest.mark.parametrize("name", ["title", "video_description", "share_url", "cover_image_url"])
def test_a_text_of_the_wrong_type_is_named_without_what_it_says(name: str) -> None:
    """The message ends in logs, in ``sync_logs`` and in a task's name in Airflow."""
    with pytest.raises(DataError) as caught:
        Video.from_api({"id": "7", name: ["Anna's day off"]})
    assert str(caught.value) == f"Video 7: `{name}` should be text and is list."
    with pytest.raises(DataError) as caught:
        UserProfile.from_api({"display_name": {"de": "Anna"}})
    assert str(caught.value) == "`display_name` should be text and is dict."
    with pytest.raises(DataError) as caught:
        UserProfile.from_api({"follower_count": "Anna's"})
    assert (
        str(caught.value)
        == "`follower_count` should be a whole number that fits 64 bits and is str."
    )
