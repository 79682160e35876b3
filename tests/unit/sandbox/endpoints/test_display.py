"""The Display endpoints on the wire: envelope, fields, scopes, paging, ids, content."""

from __future__ import annotations

import itertools
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from include.sandbox.endpoints.display import USER_FIELDS, VIDEO_FIELDS
from tests.sandbox_server import running_sandbox

if TYPE_CHECKING:
    from tests.sandbox_server import SandboxServer

ALL_USER = ",".join(USER_FIELDS)
ALL_VIDEO = ",".join(VIDEO_FIELDS)
# With seed 1: S001 has some videos, S002 more and a hyphen, S003 none, S007 hundreds.
PLAIN, HYPHEN, EMPTY, BIG = "S001", "S002", "S003", "S007"


def access(sandbox: SandboxServer, code: str = PLAIN) -> str:
    return sandbox.row(code)["access_token"]


def error_of(response: requests.Response) -> tuple[int, str]:
    body = response.json()
    assert len(body["error"]["log_id"]) == 34
    assert body["error"]["message"]
    return response.status_code, body["error"]["code"]


def pages(
    sandbox: SandboxServer, code: str, *, size: int = 20, fields: str = "id,create_time"
) -> list[dict[str, Any]]:
    token, cursor, found = access(sandbox, code), 0, []
    while True:
        body = {"cursor": cursor} if cursor else {}
        data = sandbox.video_list(token, fields, max_count=size, **body).json()["data"]
        found.append(data)
        if not data["has_more"]:
            return found
        cursor = data["cursor"]


def test_success_has_an_envelope_with_error_ok(shared: SandboxServer) -> None:
    body = shared.user_info(access(shared), "open_id,display_name").json()
    assert set(body) == {"data", "error"}
    assert set(body["data"]) == {"user"}
    assert set(body["data"]["user"]) == {"open_id", "display_name"}
    assert body["error"]["code"] == "ok"
    assert body["error"]["message"] == ""
    assert re.fullmatch(r"20\d{12}[0-9A-F]{20}", body["error"]["log_id"])
    assert set(body["error"]) == {"code", "message", "log_id"}


def test_log_ids_differ(shared: SandboxServer) -> None:
    token = access(shared)
    found = {shared.user_info(token).json()["error"]["log_id"] for _ in range(5)}
    assert len(found) == 5


def test_every_user_field_has_its_documented_type(shared: SandboxServer) -> None:
    user = shared.user_info(access(shared), ALL_USER).json()["data"]["user"]
    assert set(user) == set(USER_FIELDS)
    counts = {"follower_count", "following_count", "likes_count", "video_count"}
    assert all(type(user[name]) is int for name in counts)
    assert type(user["is_verified"]) is bool
    assert all(isinstance(user[name], str) for name in set(user) - counts - {"is_verified"})
    assert user["profile_deep_link"].startswith("https://vm.tiktok.com/")


def test_every_video_field_has_its_documented_type(shared: SandboxServer) -> None:
    video = shared.video_list(access(shared), ALL_VIDEO).json()["data"]["videos"][0]
    assert set(video) == set(VIDEO_FIELDS)
    texts = {name for name, value in video.items() if isinstance(value, str)}
    assert texts == {
        "id",
        "cover_image_url",
        "share_url",
        "video_description",
        "title",
        "embed_html",
        "embed_link",
    }
    assert type(video["is_aigc"]) is bool
    assert shared.client_key in video["share_url"]


def test_key_order_differs_between_calls(shared: SandboxServer) -> None:
    token = access(shared)
    users = {tuple(shared.user_info(token, ALL_USER).json()["data"]["user"]) for _ in range(4)}
    assert len(users) > 1
    videos = shared.video_list(token, ALL_VIDEO).json()["data"]["videos"]
    assert len({tuple(video) for video in videos}) > 1


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer act.unknown", "act.unknown"])
def test_a_missing_or_unknown_token_is_invalid(shared: SandboxServer, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = requests.get(
        f"{shared.url}/v2/user/info/?fields=open_id", headers=headers, timeout=60
    )
    assert error_of(response) == (401, "access_token_invalid")
    assert response.json()["error"]["message"].startswith("The access token is invalid")


def test_only_an_access_token_opens_the_endpoints(shared: SandboxServer) -> None:
    client = shared.oauth("client_credentials").json()["access_token"]
    refresh = shared.row(PLAIN)["refresh_token"]
    basic = requests.get(
        f"{shared.url}/v2/user/info/?fields=open_id",
        headers={"Authorization": f"Basic {access(shared)}"},
        timeout=60,
    )
    for response in (shared.user_info(client), shared.user_info(refresh), basic):
        assert error_of(response) == (401, "access_token_invalid")


@pytest.mark.parametrize(
    "fields", [None, "", "open_id,avatar_url_200", "fps", "open_id,", "open_id, username"]
)
def test_missing_or_unknown_fields_are_refused(shared: SandboxServer, fields: str | None) -> None:
    token = access(shared)
    for response in (
        shared.user_info(token, fields),
        shared.video_list(token, fields),
        shared.video_query(token, ["1"], fields),
    ):
        assert error_of(response) == (400, "invalid_params")


def test_the_texts_of_refused_fields(shared: SandboxServer) -> None:
    token = access(shared)
    none = shared.user_info(token, None).json()["error"]["message"]
    assert none == "Fields is required, please provide fields in the request"
    unknown = shared.user_info(token, "open_id,fps").json()["error"]["message"]
    assert unknown == "Invalid field(s): fps"


def test_fields_in_the_body_do_not_count(shared: SandboxServer) -> None:
    headers = {"Authorization": f"Bearer {access(shared)}"}
    url = f"{shared.url}/v2/video/list/"
    response = requests.post(url, json={"fields": "id"}, headers=headers, timeout=60)
    assert error_of(response) == (400, "invalid_params")


def test_each_field_needs_its_scope(sandbox: SandboxServer) -> None:
    token = access(sandbox)
    every = set(USER_FIELDS.values()) | {"video.list"}
    for scope in set(USER_FIELDS.values()):
        opened = [field for field in USER_FIELDS if USER_FIELDS[field] == scope]
        others = ",".join(sorted(every - {scope}))
        sandbox.admin("POST", f"/stores/{PLAIN}/grant", json={"scope": others})
        for field in opened:
            assert error_of(sandbox.user_info(token, field)) == (401, "scope_not_authorized")
        sandbox.admin("POST", f"/stores/{PLAIN}/grant", json={"scope": scope})
        assert sandbox.user_info(token, ",".join(opened)).status_code == 200


def test_one_field_outside_the_grant_fails_the_whole_call(sandbox: SandboxServer) -> None:
    token = access(sandbox)
    sandbox.admin("POST", f"/stores/{PLAIN}/grant", json={"scope": "user.info.basic"})
    response = sandbox.user_info(token, "open_id,follower_count")
    assert error_of(response) == (401, "scope_not_authorized")
    assert response.json()["data"] == {}
    for video_call in (sandbox.video_list(token), sandbox.video_query(token, ["1"])):
        assert error_of(video_call) == (401, "scope_not_authorized")


def test_listing_defaults_to_ten_and_allows_twenty(shared: SandboxServer) -> None:
    token = access(shared, BIG)
    assert len(shared.video_list(token).json()["data"]["videos"]) == 10
    assert len(shared.video_list(token, max_count=20).json()["data"]["videos"]) == 20
    assert error_of(shared.video_list(token, max_count=21)) == (400, "invalid_params")


@pytest.mark.parametrize(
    "body",
    [
        {"max_count": 0},
        {"max_count": -1},
        {"max_count": "10"},
        {"max_count": True},
        {"cursor": -1},
        {"cursor": "1700000000000"},
        {"cursor": 1.5},
        {"cursor": None},
        {"cursor": 2**63},
    ],
)
def test_bad_paging_is_refused(shared: SandboxServer, body: dict[str, Any]) -> None:
    assert error_of(shared.video_list(access(shared), **body)) == (400, "invalid_params")


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_malformed_body_is_refused(shared: SandboxServer, raw: bytes) -> None:
    headers = {"Authorization": f"Bearer {access(shared)}", "Content-Type": "application/json"}
    for path in ("list", "query"):
        url = f"{shared.url}/v2/video/{path}/?fields=id"
        response = requests.post(url, data=raw, headers=headers, timeout=60)
        assert error_of(response) == (400, "invalid_params")


def test_a_body_that_is_not_declared_as_json_is_refused(shared: SandboxServer) -> None:
    headers = {"Authorization": f"Bearer {access(shared)}"}
    url = f"{shared.url}/v2/video/list/?fields=id"
    response = requests.post(url, data={"max_count": "5"}, headers=headers, timeout=60)
    assert error_of(response) == (400, "invalid_params")


def test_listing_without_a_body_gives_the_first_page(shared: SandboxServer) -> None:
    headers = {"Authorization": f"Bearer {access(shared)}"}
    url = f"{shared.url}/v2/video/list/?fields=id"
    response = requests.post(url, headers=headers, timeout=60)
    assert len(response.json()["data"]["videos"]) == 10


def test_cursor_and_count_in_the_query_are_ignored(shared: SandboxServer) -> None:
    token = access(shared, BIG)
    first = shared.video_list(token).json()["data"]
    url = f"{shared.url}/v2/video/list/"
    again = requests.post(
        url,
        params={"fields": "id,create_time", "cursor": first["cursor"], "max_count": 3},
        headers={"Authorization": f"Bearer {token}"},
        json={},
        timeout=60,
    ).json()["data"]
    assert [v["id"] for v in again["videos"]] == [v["id"] for v in first["videos"]]


def test_pages_are_newest_first_and_complete(shared: SandboxServer) -> None:
    truth = shared.admin("GET", "/truth", params={"store_code": BIG})[BIG]
    assert 300 <= len(truth["videos"]) <= 450
    found = pages(shared, BIG)
    videos = list(itertools.chain.from_iterable(page["videos"] for page in found))
    assert [v["id"] for v in videos] == [v["id"] for v in truth["videos"]]
    times = [v["create_time"] for v in videos]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == len(times)
    assert truth["user"]["video_count"] == len(videos)


def test_the_cursor_is_the_last_second_in_milliseconds(shared: SandboxServer) -> None:
    for page in pages(shared, BIG):
        assert page["cursor"] == page["videos"][-1]["create_time"] * 1000
    last = pages(shared, BIG)[-1]
    assert last["has_more"] is False
    assert last["cursor"] > 0


def test_a_page_lies_strictly_before_any_cursor(shared: SandboxServer) -> None:
    token = access(shared)
    second = shared.video_list(token).json()["data"]["videos"][1]

    def newest(cursor: int) -> str:
        data = shared.video_list(token, cursor=cursor).json()["data"]
        return str(data["videos"][0]["id"])

    edge = second["create_time"] * 1000
    assert newest(edge) != second["id"]
    assert newest(edge + 1) == second["id"]
    assert newest(edge + 1000) == second["id"]


def test_before_the_first_video_there_is_nothing(shared: SandboxServer) -> None:
    data = shared.video_list(access(shared), cursor=1000).json()["data"]
    assert data == {"videos": [], "cursor": 0, "has_more": False}


def test_an_empty_account(shared: SandboxServer) -> None:
    response = shared.video_list(access(shared, EMPTY))
    assert response.status_code == 200
    assert response.json()["data"] == {"videos": [], "cursor": 0, "has_more": False}
    assert response.json()["error"]["code"] == "ok"


def test_ids_are_nineteen_digits_and_hold_the_time(shared: SandboxServer) -> None:
    for page in pages(shared, BIG):
        for video in page["videos"]:
            assert re.fullmatch(r"\d{19}", video["id"])
            assert 0 <= video["create_time"] - (int(video["id"]) >> 32) <= 60


def test_query_gives_own_videos_and_drops_the_rest(shared: SandboxServer) -> None:
    own = [v["id"] for v in shared.video_list(access(shared)).json()["data"]["videos"]]
    foreign = shared.video_list(access(shared, HYPHEN)).json()["data"]["videos"][0]["id"]
    ids = [own[2], foreign, "1", own[0], own[2]]
    response = shared.video_query(access(shared), ids)
    data = response.json()["data"]
    assert response.status_code == 200
    assert sorted(v["id"] for v in data["videos"]) == sorted([own[0], own[2]])
    assert data["cursor"] == 0
    assert data["has_more"] is False
    nothing = shared.video_query(access(shared), ["7000000000000000000"]).json()
    assert nothing["data"] == {"videos": [], "cursor": 0, "has_more": False}
    assert nothing["error"]["code"] == "ok"


@pytest.mark.parametrize("ids", [[], ["1"] * 21, "1", [1], None, {"a": "1"}])
def test_query_refuses_bad_ids(shared: SandboxServer, ids: object) -> None:
    assert error_of(shared.video_query(access(shared), ids)) == (400, "invalid_params")


def test_query_takes_twenty_ids(shared: SandboxServer) -> None:
    assert shared.video_query(access(shared), ["1"] * 20).status_code == 200


def test_query_needs_filters(shared: SandboxServer) -> None:
    headers = {"Authorization": f"Bearer {access(shared)}"}
    url = f"{shared.url}/v2/video/query/?fields=id"
    bodies: list[dict[str, Any]] = [{}, {"filters": []}, {"video_ids": ["1"]}]
    for body in bodies:
        response = requests.post(url, json=body, headers=headers, timeout=60)
        assert error_of(response) == (400, "invalid_params")


def test_signed_urls_expire_and_differ_per_call(shared: SandboxServer) -> None:
    token = access(shared)
    names = ("avatar_url", "avatar_url_100", "avatar_large_url")
    users = [shared.user_info(token, ",".join(names)).json()["data"]["user"] for _ in range(2)]
    covers = [
        shared.video_list(token, "cover_image_url", max_count=1).json()["data"]["videos"][0]
        for _ in range(2)
    ]
    pairs = [(users[0][name], users[1][name], 48) for name in names]
    pairs.append((covers[0]["cover_image_url"], covers[1]["cover_image_url"], 6))
    for first, second, hours in pairs:
        assert first != second
        assert urlsplit(first).path == urlsplit(second).path
        expires = int(parse_qs(urlsplit(first).query)["x-expires"][0])
        assert expires - time.time() == pytest.approx(hours * 3600, abs=60)


def test_paths_and_methods_are_exact(shared: SandboxServer) -> None:
    headers = {"Authorization": f"Bearer {access(shared)}"}
    for method, path, status in (
        ("GET", "/v2/user/info?fields=open_id", 404),
        ("POST", "/v2/user/info/?fields=open_id", 405),
        ("GET", "/v2/video/list/?fields=id", 405),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
    ):
        response = requests.request(
            method, shared.url + path, headers=headers, timeout=60, allow_redirects=False
        )
        assert response.status_code == status


def test_captions_hold_nul_only_when_switched_on(sandbox: SandboxServer) -> None:
    def descriptions() -> list[str]:
        found = pages(sandbox, BIG, fields="video_description")
        return [v["video_description"] for page in found for v in page["videos"]]

    plain = descriptions()
    sandbox.admin("PATCH", "/settings", json={"nul_in_captions": True})
    with_nul = descriptions()
    assert not any("\x00" in text for text in plain)
    changed = [b for a, b in zip(plain, with_nul, strict=True) if a != b]
    assert changed
    assert all("\x00" in text for text in changed)


@pytest.mark.parametrize("size", [10, 20])
def test_same_second_ties_lie_on_the_first_edge_when_switched_on(size: int) -> None:
    with running_sandbox(same_second_ties=True) as sandbox:
        truth = sandbox.admin("GET", "/truth", params={"store_code": BIG})[BIG]["videos"]
        assert truth[size - 1]["create_time"] == truth[size]["create_time"]
        first, second = pages(sandbox, BIG, size=size)[:2]
        assert first["videos"][-1]["id"] == truth[size - 1]["id"]
        # The strict cursor loses the other one: what a client has to cope with.
        assert second["videos"][0]["id"] == truth[size + 1]["id"]
