"""What happens to stores' videos and counters by hand, seen through every endpoint."""

from __future__ import annotations

import datetime as dt
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from include.sandbox.world.changes import Changes, StoreChanges
from include.sandbox.world.state_file import StateFile
from tests.sandbox_server import running_sandbox
from tests.unit.sandbox.test_process import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox_server import SandboxServer

STORE = "S001"
EMPTY = "S003"


def edit(sandbox: SandboxServer, code: str = STORE, **body: Any) -> dict[str, Any]:
    shown: dict[str, Any] = sandbox.admin("POST", f"/stores/{code}/videos", json=body)
    return shown


def ids(shown: dict[str, Any]) -> list[str]:
    return [video["id"] for video in shown["videos"]]


def truth(sandbox: SandboxServer, code: str = STORE) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.admin("GET", "/truth", params={"store_code": code})[code]
    return found


def check_everywhere(sandbox: SandboxServer, shown: dict[str, Any], code: str = STORE) -> None:
    """Truth, count, listing and query say the same."""
    assert truth(sandbox, code) == shown
    row = next(row for row in sandbox.admin("GET", "/stores") if row["store_code"] == code)
    assert row["video_count"] == shown["user"]["video_count"] == len(shown["videos"])
    token = sandbox.row(code)["access_token"]
    data = sandbox.video_list(token, max_count=20).json()["data"]
    assert [video["id"] for video in data["videos"]] == ids(shown)[:20]
    user = sandbox.user_info(token, "video_count").json()["data"]["user"]
    assert user["video_count"] == len(shown["videos"])


def queried(sandbox: SandboxServer, *asked: str) -> set[str]:
    token = sandbox.row(STORE)["access_token"]
    data = sandbox.video_query(token, list(asked)).json()["data"]
    return {video["id"] for video in data["videos"]}


def test_deleted_and_private_videos_vanish_without_a_trace(sandbox: SandboxServer) -> None:
    before = truth(sandbox)
    first, second, third = ids(before)[:3]
    shown = edit(sandbox, delete=[first], privatize=[third])
    assert ids(shown) == [second, *ids(before)[3:]]
    check_everywhere(sandbox, shown)
    assert queried(sandbox, first, second, third) == {second}


def test_a_republished_video_is_back_at_its_place(sandbox: SandboxServer) -> None:
    before = truth(sandbox)
    away = ids(before)[1:4]
    edit(sandbox, privatize=away)
    shown = edit(sandbox, republish=away)
    assert shown == before
    check_everywhere(sandbox, shown)


def test_a_deleted_video_never_comes_back(sandbox: SandboxServer) -> None:
    gone, private = ids(truth(sandbox))[:2]
    edit(sandbox, delete=[gone], privatize=[private])
    edit(sandbox, delete=[private])
    for body in (
        {"republish": [gone]},
        {"privatize": [gone]},
        {"delete": [gone]},
        {"republish": [private]},
    ):
        response = requests.post(
            f"{sandbox.url}/admin/stores/{STORE}/videos", json=body, timeout=30
        )
        assert response.status_code == 400


def test_published_videos_are_the_newest(sandbox: SandboxServer) -> None:
    before = truth(sandbox)
    shown = edit(sandbox, publish=3)
    assert ids(shown)[3:] == ids(before)
    times = [video["create_time"] for video in shown["videos"][:4]]
    assert times == sorted(set(times), reverse=True)
    assert abs(times[2] - time.time()) < 60
    again = edit(sandbox, publish=1)
    assert ids(again)[1:] == ids(shown)
    assert again["videos"][0]["create_time"] > times[0]
    check_everywhere(sandbox, again)
    assert len({*ids(again)}) == len(ids(again))
    assert set(again["videos"][0]) == set(before["videos"][0])
    assert all(
        video[name] >= 0
        for video in again["videos"]
        for name in ("view_count", "like_count", "comment_count", "share_count")
    )


def test_an_empty_store_can_publish_its_first_video(sandbox: SandboxServer) -> None:
    shown = edit(sandbox, EMPTY, publish=1)
    check_everywhere(sandbox, shown, EMPTY)
    assert edit(sandbox, EMPTY, delete=ids(shown))["videos"] == []


def test_videos_of_one_second_only_where_ties_are_switched_on(sandbox: SandboxServer) -> None:
    sandbox.admin("PATCH", "/settings", json={"same_second_ties": True})
    shown = edit(sandbox, publish=3)
    assert len({video["create_time"] for video in shown["videos"][:3]}) == 1
    assert len(set(ids(shown))) == len(ids(shown))


def test_a_frozen_day_is_the_day_of_publishing() -> None:
    with running_sandbox(date=dt.date(2027, 5, 5)) as sandbox:
        newest = edit(sandbox, publish=1)["videos"][0]["create_time"]
        assert dt.datetime.fromtimestamp(newest, dt.timezone.utc).date() == dt.date(2027, 5, 5)
        # A day before it: no figure may turn negative.
        sandbox.admin("PATCH", "/settings", json={"date": "2026-02-01"})
        assert truth(sandbox)["videos"][0]["view_count"] >= 0


def test_counters_can_fall_and_go_back_to_their_course(sandbox: SandboxServer) -> None:
    path = f"/stores/{STORE}/counters"
    before = truth(sandbox)
    video = ids(before)[2]
    sandbox.admin("POST", path, json={"video_id": video, "set": {"view_count": 1}})
    shown = sandbox.admin("POST", path, json={"video_id": video, "set": {"like_count": 0}})
    assert (shown["videos"][2]["view_count"], shown["videos"][2]["like_count"]) == (1, 0)
    shown = sandbox.admin("POST", path, json={"set": {"follower_count": 2**40}})
    assert shown["user"]["follower_count"] == 2**40
    assert truth(sandbox) == shown
    token = sandbox.row(STORE)["access_token"]
    user = sandbox.user_info(token, "follower_count").json()["data"]["user"]
    assert user == {"follower_count": 2**40}
    item = sandbox.video_query(token, [video], "view_count").json()["data"]["videos"][0]
    assert item == {"view_count": 1}
    nothing = {"view_count": None, "like_count": None}
    sandbox.admin("POST", path, json={"video_id": video, "set": nothing})
    assert sandbox.admin("POST", path, json={"set": {"follower_count": None}}) == before


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("videos", {"delete": ["1"]}, "delete: 1 is no video of the store"),
        ("videos", {"privatize": ["1"]}, "privatize: 1 is no public video of the store"),
        ("videos", {"republish": ["1"]}, "republish: 1 is no private video of the store"),
        ("videos", {"delete": "1"}, "delete: must be a list of texts"),
        ("videos", {"delete": [1]}, "delete: must be a list of texts"),
        ("videos", {"delete": ["1"], "privatize": ["1"]}, "1: stands in the request twice"),
        ("videos", {"publish": -1}, "publish: must be a whole number from 0 to 1000"),
        ("videos", {"publish": True}, "publish: must be a whole number"),
        ("videos", {"hide": []}, "hide: unknown; only delete"),
        ("counters", {}, "set: must be an object"),
        ("counters", {"set": {}}, "set: must be an object"),
        ("counters", {"set": {"video_count": 1}}, "video_count: can not be set; only follower"),
        ("counters", {"set": {"view_count": 1}}, "view_count: can not be set"),
        ("counters", {"set": {"likes_count": -1}}, "likes_count: must be a whole number"),
        ("counters", {"set": {"likes_count": "1"}}, "likes_count: must be a whole number"),
        ("counters", {"video_id": "1", "set": {"view_count": 1}}, "1: no public video"),
        ("counters", {"video_id": 1, "set": {"view_count": 1}}, "video_id: must be a text"),
        ("counters", {"video": "1", "set": {"view_count": 1}}, "video: unknown"),
    ],
)
def test_bad_changes_are_refused_and_change_nothing(
    shared: SandboxServer, path: str, body: object, says: str
) -> None:
    before = truth(shared)
    url = f"{shared.url}/admin/stores/{STORE}/{path}"
    response = requests.post(url, json=body, timeout=30)
    assert response.status_code == 400
    assert response.json()["error"].startswith(says)
    assert truth(shared) == before


def test_unknown_stores_are_refused(shared: SandboxServer) -> None:
    for path in ("videos", "counters"):
        url = f"{shared.url}/admin/stores/S021/{path}"
        assert requests.post(url, json={}, timeout=30).status_code == 404


def test_one_bad_id_leaves_the_good_ones_alone(sandbox: SandboxServer) -> None:
    before = truth(sandbox)
    body = {"delete": [ids(before)[0]], "privatize": ["1"], "publish": 1}
    url = f"{sandbox.url}/admin/stores/{STORE}/videos"
    assert requests.post(url, json=body, timeout=30).status_code == 400
    assert truth(sandbox) == before


def test_other_settings_do_not_undo_changes(sandbox: SandboxServer) -> None:
    shown = edit(sandbox, delete=ids(truth(sandbox))[:2], publish=1)
    sandbox.admin("PATCH", "/settings", json={"nul_in_captions": True})
    assert ids(truth(sandbox)) == ids(shown)
    sandbox.admin("PATCH", "/settings", json={"nul_in_captions": False})
    assert truth(sandbox) == shown


def test_a_killed_sandbox_comes_back_with_the_same_truth(tmp_path: Path) -> None:
    variables = {
        "SANDBOX_STATE": str(tmp_path / "state.db"),
        "SANDBOX_STORES": "5",
        "SANDBOX_LATENCY": "0",
        "SANDBOX_DATE": "2026-12-01",
    }

    def get(url: str, path: str) -> Any:
        return requests.get(f"{url}/admin{path}", timeout=30).json()

    def post(url: str, path: str, body: object) -> None:
        requests.post(f"{url}/admin{path}", json=body, timeout=30).raise_for_status()

    with serving(**variables) as (process, url):
        found = ids(get(url, "/truth?store_code=S001")["S001"])
        post(
            url,
            "/stores/S001/videos",
            {"delete": found[:2], "privatize": found[3:5], "publish": 2},
        )
        post(url, "/stores/S001/counters", {"video_id": found[6], "set": {"view_count": 3}})
        post(url, "/stores/S002/counters", {"set": {"follower_count": 5}})
        post(url, "/faults", {"seed": 7, "rules": [{"fault": "short_page", "rate": 0.5}]})
        before = get(url, "/truth"), get(url, "/faults")
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with serving(**variables) as (_, url):
        assert (get(url, "/truth"), get(url, "/faults")) == before
        post(url, "/stores/S001/videos", {"republish": found[3:5]})
        assert set(found[3:5]) <= set(ids(get(url, "/truth?store_code=S001")["S001"]))


def test_every_kind_of_change_is_kept(tmp_path: Path) -> None:
    changes = StoreChanges(
        deleted=frozenset({"1", "2"}),
        private=frozenset({"3"}),
        published=(5, 5, 6),
        user={"likes_count": 2**62},
        videos={"4": {"view_count": 0}},
    )
    state = StateFile(tmp_path / "state.db", 1)
    Changes(state).put("S001", changes)
    state.close()
    again = StateFile(tmp_path / "state.db", 1)
    assert Changes(again).of("S001") == changes
    assert Changes(again).of("S002") == StoreChanges()
    again.close()
