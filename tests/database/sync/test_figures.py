"""Does each day get its own figures, whatever stays the same, changes, or is left out?"""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.tiktok_sync.days import SnapshotDay
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from tests.database.bench import Bench, today

pytestmark = pytest.mark.usefixtures("no_waits")


def test_the_next_day_has_new_figures_of_every_video_also_of_the_oldest(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=41)
    bench.import_stores(code)
    days = [today(), SnapshotDay(today().date + timedelta(days=1), today().timezone)]
    told = []
    for day in days:
        bench.sandbox.admin("PATCH", "/settings", json={"date": day.date.isoformat()})
        bench.sync(VIDEO_JOB, code, run_id=str(day.date), day=day)
        told.append({v["id"]: v["view_count"] for v in bench.truth(code)["videos"]})
        found = bench.rows(
            "SELECT video_id, view_count FROM video_daily_stats WHERE snapshot_date = %s", day.date
        )
        assert {line["video_id"]: line["view_count"] for line in found} == told[-1]
    assert told[0] != told[1]
    assert bench.row("SELECT count(*) FROM videos") == {"count": len(told[1])}


def test_image_links_are_replaced_and_are_no_sign_of_anything(bench: Bench) -> None:
    code = bench.code_with_videos()
    bench.import_stores(code)
    links, others = [], []
    for run_id in ("first", "second"):
        bench.sync(VIDEO_JOB, code, run_id=run_id)
        bench.sync(USER_JOB, code, run_id=run_id)
        found = bench.rows(
            "SELECT * FROM videos JOIN video_daily_stats USING (video_id) ORDER BY video_id"
        )
        found += bench.rows("SELECT * FROM user_daily_stats")
        links.append([line.pop("cover_image_url", line.pop("avatar_url", "")) for line in found])
        for line in found:
            for name in ("observed_at", "last_seen_at"):
                line.pop(name, None)
        others.append(found)
    assert all(one != two for one, two in zip(*links, strict=True))  # every answer signs them again
    assert others[0] == others[1]


def test_a_success_tells_what_it_went_through_and_what_it_did_not_get(bench: Bench) -> None:
    code = bench.code_with_videos(at_least=21)
    bench.import_stores(code)
    rules = [
        {"fault": "internal_error", "times_per_store": 2, "endpoints": ["video_list"]},
        {"fault": "counter_absent", "endpoints": ["video_list", "user_info"]},
    ]
    bench.sandbox.admin("POST", "/faults", json={"rules": rules})
    bench.sync(USER_JOB, code, run_id="u")
    outcome = bench.sync(VIDEO_JOB, code, run_id="v")
    blanks = bench.row(
        "SELECT sum(num_nulls(view_count, like_count, comment_count, share_count)) AS of_videos,"
        " (SELECT num_nulls(follower_count, following_count, likes_count, video_count)"
        " FROM user_daily_stats) AS of_profile FROM video_daily_stats"
    )
    assert blanks["of_videos"] > 0
    assert blanks["of_profile"] > 0
    assert outcome.details["figures_missing"] == blanks["of_videos"]
    found = bench.rows("SELECT details FROM sync_logs ORDER BY run_id")
    user, video = (line["details"] for line in found)
    assert (user["figures_missing"], user["repeats"]) == (blanks["of_profile"], 0)
    assert (video["figures_missing"], video["repeats"]) == (blanks["of_videos"], 2)


def test_a_figure_that_was_not_granted_is_not_a_missing_one(bench: Bench) -> None:
    bench.grant("S001", scope="user.info.basic,video.list")
    bench.import_stores("S001")
    assert "figures_missing" not in bench.sync(USER_JOB, "S001").details
    assert "figures_missing" not in bench.sync(VIDEO_JOB, "S001").details
