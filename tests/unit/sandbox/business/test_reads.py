"""Accounts, posts and benchmarks: shapes, defaults, refusals, and the figures of every rule."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from include.sandbox.business.fields import DAILY_FIELDS, GET_FIELDS, VIDEO_FIELDS
from include.sandbox.business.posts import BUSINESS_FIELDS, QUIET_FIELDS, WATCH_FIELDS

if TYPE_CHECKING:
    from tests.sandbox_server import SandboxServer

SIGNED = {"profile_image", "thumbnail_url"}
DAY = dt.timedelta(days=1)


def _data(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["code"], body["message"]) == (0, "OK"), body
    assert body["request_id"] == response.headers["X-Tt-Logid"]
    data: dict[str, Any] = body["data"]
    return data


def _code(response: requests.Response) -> int:
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["message"] != "OK"
    assert body.get("data", {}) == {}
    return int(body["code"])


def _truth(sandbox: SandboxServer, code: str | None = None) -> dict[str, Any]:
    picked = {} if code is None else {"store_code": code}
    found: dict[str, Any] = sandbox.admin("GET", "/business/truth", params=picked)
    return found


@pytest.fixture(scope="module")
def truth(unchanged: SandboxServer) -> dict[str, Any]:
    """The truth of all stores, made once."""
    return _truth(unchanged)


def _window(sandbox: SandboxServer) -> dict[str, str]:
    today = sandbox.sandbox.settings.today
    return {"start_date": str(today - 60 * DAY), "end_date": str(today - DAY)}


def _all_posts(sandbox: SandboxServer, code: str, **query: Any) -> list[dict[str, Any]]:
    posts: list[dict[str, Any]] = []
    position: dict[str, Any] = {"cursor": None, "has_more": True}
    while position["has_more"]:
        position = _data(
            sandbox.business("video/list/", code, cursor=position["cursor"], max_count=20, **query)
        )
        posts += position["videos"]
    return posts


def test_the_api_says_what_the_truth_says(unchanged: SandboxServer, truth: dict[str, Any]) -> None:
    for code, one in list(truth.items())[:12]:
        data = _data(
            unchanged.business("get/", code, fields=list(GET_FIELDS), **_window(unchanged))
        )
        days = {day.pop("date"): day for day in data.pop("metrics")}
        assert list(days) == sorted(days)
        expected = {
            day: {name: figures[name] for name in DAILY_FIELDS}
            for day, figures in one["days"].items()
        }
        assert days == expected
        data.pop("profile_image")
        assert data == one["profile"] | one["audience"]
        posts = _all_posts(unchanged, code, fields=list(VIDEO_FIELDS))
        extra = {"on_profile", "quiet", "hidden", "counted_through"}
        assert [{n: v for n, v in post.items() if n not in SIGNED} for post in posts] == [
            {name: value for name, value in post.items() if name not in extra}
            for post in one["posts"]
            if not post["hidden"]
        ]


def test_the_display_side_has_the_same_figures_where_it_must(
    unchanged: SandboxServer, truth: dict[str, Any]
) -> None:
    display = unchanged.admin("GET", "/truth")
    for code, one in truth.items():
        user = display[code]["user"]
        assert one["profile"]["followers_count"] == user["follower_count"]
        assert one["profile"]["username"] == user["username"]
        assert one["profile"]["videos_count"] == user["video_count"]
        listed = [post for post in one["posts"] if post["on_profile"]]
        videos = display[code]["videos"]
        assert [post["item_id"] for post in listed] == [video["id"] for video in videos]
        for post, video in zip(listed, videos, strict=True):
            assert post["create_time"] == str(video["create_time"])
            if post["video_views"] is not None and not post["is_ad"]:
                assert post["video_views"] <= video["view_count"]
                assert post["likes"] <= video["like_count"]


def test_every_kind_of_account_and_post_is_there(
    unchanged: SandboxServer, truth: dict[str, Any]
) -> None:
    stores = truth.values()
    today = unchanged.sandbox.settings.today.isoformat()
    assert {one["account"]["kind"] for one in stores} == {"personal", "business", "registered"}
    assert any(one["profile"]["followers_count"] < 100 for one in stores)
    assert any(not one["account"]["analytics"] and not one["days"] for one in stores)
    assert any(1 < len(one["days"]) < 50 for one in stores)
    assert any("2026" < one["account"]["business_since"] < today for one in stores)
    assert any(not one["posts"] and not one["days"] for one in stores)
    posts = [post for one in stores for post in one["posts"]]
    assert {post["media_type"] for post in posts} == {"VIDEO", "PHOTO"}
    assert any(post["is_ad"] and not post["on_profile"] for post in posts)
    assert any(post["is_ad"] and post["on_profile"] for post in posts)
    assert any(post["hidden"] and post["on_profile"] for post in posts)
    ids = [one["business_id"] for one in stores]
    assert len(set(ids)) == len(ids)
    assert any(one.startswith("-") for one in ids)


def test_what_an_account_does_not_have_is_absent(truth: dict[str, Any]) -> None:
    business = {"unique_video_views", "engaged_audience", "daily_new_followers"}
    for one in truth.values():
        kind, since = one["account"]["kind"], one["account"]["business_since"]
        small = one["profile"]["followers_count"] < 100
        assert (one["audience"]["audience_ages"] is None) == (small or not one["days"])
        for day, figures in one["days"].items():
            absent = kind == "personal" or day < since
            assert all((figures[name] is None) == absent for name in business)
            assert (figures["bio_link_clicks"] is None) == (kind != "registered")
            assert (figures["audience_activity"] is None) == (absent or small)
            assert day >= one["account"]["since"]
        for post in one["posts"]:
            if kind == "personal":
                assert not any(post[name] for name in BUSINESS_FIELDS)
            if post["counted_through"] is None:
                assert post["video_views"] is post["reach"] is None
            if post["media_type"] == "PHOTO":
                assert all(post[name] is None for name in WATCH_FIELDS)


def test_days_come_late_and_are_put_right_within_a_week(business: SandboxServer) -> None:
    first = business.sandbox.settings.today
    yesterday = (first - DAY).isoformat()
    seen: dict[str, list[Any]] = {}
    final: dict[str, Any] = {}
    for later in (0, 1, 6, 8):
        business.admin("PATCH", "/settings", json={"date": str(first + later * DAY)})
        for code, one in _truth(business).items():
            seen.setdefault(code, []).append(one["days"].get(yesterday))
            final[code] = one["final_days"].get(yesterday)
    counted = {code: days for code, days in seen.items() if final[code] is not None}
    assert any(days[0] is None for days in counted.values())
    assert any(days[0] is not None for days in counted.values())
    wrong = 0
    for code, days in counted.items():
        assert days[1] is not None
        assert days[2] == days[3] == final[code]
        wrong += any(day not in (None, final[code]) for day in days)
    assert 0 < wrong < len(counted)


def test_the_net_gain_adds_up_to_the_display_sides_followers(truth: dict[str, Any]) -> None:
    for one in truth.values():
        days = one["final_days"]
        for before, day in zip(days, list(days)[1:], strict=False):
            gain = days[day]["total_followers"] - days[before]["total_followers"]
            assert days[day]["followers_count"] == gain
            if days[day]["daily_new_followers"] is not None:
                new, lost = days[day]["daily_new_followers"], days[day]["daily_lost_followers"]
                assert new - lost == days[day]["daily_total_followers"] == gain
    assert any(day["comments"] < 0 for one in truth.values() for day in one["days"].values())


def test_six_fields_go_while_a_video_is_quiet_and_come_back(business: SandboxServer) -> None:
    first = business.sandbox.settings.today
    quiet: dict[str, list[bool]] = {}
    for later in range(0, 40, 4):
        business.admin("PATCH", "/settings", json={"date": str(first + later * DAY)})
        one = _truth(business, "S011")["S011"]
        for post in one["posts"]:
            quiet.setdefault(post["item_id"], []).append(post["quiet"])
            assert not post["quiet"] or all(post[name] is None for name in QUIET_FIELDS)
            if post["counted_through"]:
                assert post["video_views"] is not None
    assert any(
        states.index(True) < len(states) - 1 - states[::-1].index(False)
        for states in quiet.values()
        if True in states and False in states
    )


def test_nothing_changes_after_365_days(business: SandboxServer) -> None:
    def views(day: dt.date) -> dict[str, int]:
        business.admin("PATCH", "/settings", json={"date": str(day)})
        one = _truth(business, "S002")["S002"]
        return {post["item_id"]: post["video_views"] for post in one["posts"]}

    young = business.sandbox.settings.today
    soon, later, latest = (views(young + days * DAY) for days in (10, 400, 500))
    assert later == latest
    assert any(soon[item] < later[item] for item in soon)


def test_defaults_of_get(unchanged: SandboxServer) -> None:
    assert _data(unchanged.business("get/")).keys() == {"display_name", "profile_image"}
    data = _data(unchanged.business("get/", fields=["followers_count"]))
    assert isinstance(data["followers_count"], int)
    days = [one["date"] for one in data["metrics"]]
    today = unchanged.sandbox.settings.today
    assert days[0] == str(today - 7 * DAY)
    assert 6 <= len(days) <= 7
    assert all(one.keys() == {"date", "followers_count"} for one in data["metrics"])


def test_the_followers_of_a_day_can_be_the_total(business: SandboxServer) -> None:
    business.admin("PATCH", "/settings", json={"business": {"daily_followers": "total"}})
    data = _data(business.business("get/", "S002", fields=["followers_count"]))
    assert data["metrics"][-1]["followers_count"] > data["followers_count"] * 0.9


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("get/", {"fields": "display_name"}, 40002),
        ("get/", {"fields": ["nonsense"]}, 40002),
        ("get/", {"start_date": "2026-1"}, 40002),
        ("get/", {"start_date": "2026-12-31", "end_date": "2026-12-30"}, 40002),
        ("get/", {"start_date": "2020-01-01"}, 40002),
        ("get/", {"business_id": None}, 40002),
        ("get/", {"business_id": "somebody-else"}, 40001),
        ("get/", {"token": ""}, 40104),
        ("get/", {"token": "act.nonsense"}, 40105),
        ("video/list/", {"max_count": 21}, 40002),
        ("video/list/", {"cursor": "now"}, 40002),
        ("video/list/", {"fields": ["caption"]}, 40002),
        ("video/list/", {"filters": ["1"]}, 40002),
        ("video/list/", {"filters": {"video_ids": [str(n) for n in range(21)]}}, 40002),
        ("benchmark/", {}, 40002),
        ("benchmark/", {"business_category": "SHOES"}, 40002),
    ],
)
def test_refusals(unchanged: SandboxServer, path: str, query: dict[str, Any], code: int) -> None:
    assert _code(unchanged.business(path, **query)) == code


def test_what_is_not_documented_can_be_switched(business: SandboxServer) -> None:
    switches = {"look_back": "clamp", "wrong_business_id": "40105", "missing_scope": "omit"}
    business.admin("PATCH", "/settings", json={"business": switches})
    data = _data(business.business("get/", "S002", fields=["likes"], start_date="2020-01-01"))
    assert 58 <= len(data["metrics"]) <= 60
    assert _code(business.business("get/", business_id="somebody-else")) == 40105
    grant = {"scope": "user.info.basic,video.list"}
    business.admin("POST", "/stores/S002/grant?api=business", json=grant)
    fields = ["display_name", "username", "likes"]
    assert _data(business.business("get/", "S002", fields=fields)).keys() == {"display_name"}
    switched = {"business": {"missing_scope": "refuse"}}
    business.admin("PATCH", "/settings", json=switched)
    assert _code(business.business("get/", "S002", fields=fields)) == 40001
    assert _code(business.business("video/list/", "S002", fields=["item_id", "new_followers"])) == (
        40001
    )


@pytest.mark.parametrize("look", ["null", "omit", "empty", "mixed"])
def test_what_is_absent_can_look_like_anything(business: SandboxServer, look: str) -> None:
    business.admin("PATCH", "/settings", json={"business": {"absent_as": look}})
    truth = _truth(business, "S011")["S011"]["posts"]
    found = {p["item_id"]: p for p in _all_posts(business, "S011", fields=list(VIDEO_FIELDS))}
    looks = set()
    for post in truth:
        shown = found.get(post["item_id"], post)
        for name in VIDEO_FIELDS.keys() - SIGNED:
            if post[name] is None and shown is not post:
                looks.add("omit" if name not in shown else "empty" if shown[name] == [] else "null")
            else:
                assert shown[name] == post[name]
    assert (
        looks
        == {
            "null": {"null"},
            "omit": {"omit"},
            "empty": {"empty", "null"},
            "mixed": {"null", "omit", "empty"},
        }[look]
    )


def test_tokens_that_do_not_work(business: SandboxServer) -> None:
    row = business.row("S001")
    assert _code(business.business("get/", token=row["access_token"])) == 40105
    assert business.user_info(row["business_access_token"]).status_code == 401
    business.admin("POST", "/stores/S001/grant?api=business", json={"expire_access": True})
    assert _code(business.business("get/")) == 40102
    business.admin("POST", "/stores/S002/grant?api=business", json={"revoke": True})
    assert _code(business.business("get/", "S002")) == 40105
    assert business.user_info(business.row("S002")["access_token"]).status_code == 200


def test_paths_without_a_slash_or_with_another_method(unchanged: SandboxServer) -> None:
    url = f"{unchanged.url}/open_api/v1.3/"
    for path in ("business/get", "tt_user/info/", "business/video/list"):
        answer = requests.get(url + path, timeout=60)
        assert (answer.status_code, answer.text) == (404, "404 page not found")
    posted = requests.post(f"{url}business/video/list/", json={"business_id": "x"}, timeout=60)
    assert _data(posted) == {}


def test_pages_of_posts(unchanged: SandboxServer) -> None:
    first = _data(unchanged.business("video/list/", "S007"))
    assert len(first["videos"]) <= 10
    assert first["videos"][0].keys() == {"item_id"}
    assert first["has_more"]
    posts = _all_posts(unchanged, "S007", fields=["item_id", "create_time"])
    times = [int(post["create_time"]) for post in posts]
    assert times == sorted(times, reverse=True)
    last = _data(unchanged.business("video/list/", "S007", cursor=times[-2] * 1_000))
    assert (last["has_more"], last["cursor"]) == (False, times[-1] * 1_000)


def test_posts_by_id_come_in_the_order_asked(unchanged: SandboxServer) -> None:
    posts = _all_posts(unchanged, "S007", fields=["item_id", "is_ad"])[:8]
    ids = [post["item_id"] for post in reversed(posts)]
    data = _data(unchanged.business("video/list/", "S007", filters={"video_ids": [*ids, "1"]}))
    assert [post["item_id"] for post in data["videos"]] == ids
    assert (data["cursor"], data["has_more"]) == (0, False)
    ads = {"video_ids": ids, "ad_post_only": True}
    shown = _data(unchanged.business("video/list/", "S007", filters=ads))["videos"]
    assert {post["item_id"] for post in shown} == {p["item_id"] for p in posts if p["is_ad"]}


def test_posts_kept_back_leave_short_pages(unchanged: SandboxServer, truth: dict[str, Any]) -> None:
    code, posts = next(
        (code, one["posts"])
        for code, one in truth.items()
        if len(one["posts"]) > 40 and any(post["hidden"] for post in one["posts"][:20])
    )
    page = _data(unchanged.business("video/list/", code, max_count=20))
    assert len(page["videos"]) == sum(not post["hidden"] for post in posts[:20]) < 20
    assert page["has_more"]


def test_odd_lists_are_among_the_good_ones(truth: dict[str, Any]) -> None:
    posts = [post for one in truth.values() for post in one["posts"]]
    sources = [post["impression_sources"] for post in posts if post["impression_sources"]]
    names = {one["impression_source"] for listed in sources for one in listed}
    assert {"other_profile_vv", "For You"} <= names
    cities = [post["audience_cities"] for post in posts if post["audience_cities"]]
    totals = [sum(one["percentage"] for one in listed) for listed in cities]
    assert min(totals) < 1
    assert max(totals) > 50
    shares = [[one["percentage"] for one in listed] for listed in sources]
    assert any(listed != sorted(listed, reverse=True) for listed in shares)
    hours = next(
        day["audience_activity"]
        for one in truth.values()
        for day in one["days"].values()
        if day["audience_activity"]
    )
    assert [one["hour"] for one in hours] == [str(hour) for hour in range(24)]


def test_a_benchmark(unchanged: SandboxServer) -> None:
    data = _data(unchanged.business("benchmark/", business_category="ART_AND_CRAFTS"))
    assert data == unchanged.admin("GET", "/business/benchmarks")["ART_AND_CRAFTS"]
    assert data["business_category"] == "Art & Crafts"


def test_a_private_video_is_on_neither_side(business: SandboxServer) -> None:
    gone = business.sandbox.world.listing(1).videos[0].id
    business.admin("POST", "/stores/S001/videos", json={"privatize": [gone], "publish": 1})
    posts = _truth(business, "S001")["S001"]["posts"]
    assert gone not in json.dumps(posts)
    assert posts[0]["counted_through"] is None
    assert posts[0]["video_views"] is None


def test_without_its_app_the_second_api_is_not_there(sandbox: SandboxServer) -> None:
    url = f"{sandbox.url}/open_api/v1.3/business/get/"
    assert requests.get(url, timeout=60).status_code == 404
    assert "business_open_id" not in sandbox.row("S001")
    with pytest.raises(requests.HTTPError, match="404"):
        sandbox.admin("GET", "/business/truth", params={"store_code": "S001"})
