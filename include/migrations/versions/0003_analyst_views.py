"""Views for analysts: growth by day, gains of videos, the leaderboard, and how fresh the data is.

A view is looked at with a date in its WHERE clause, which must reach the table and leave out its
other months. A window function (``lag``) would compute every day first, so the day before is looked
up row by row, by primary key: newest month first, and no further than the first hit.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

# {late} and {only_in_time} make the two siblings of a series: without and with late rows.
_GROWTH = """
CREATE VIEW account_growth_daily{suffix} AS
SELECT d.store_code, s.store_name, s.region, d.snapshot_date,
    d.follower_count, d.follower_count - before.follower_count AS follower_gain,
    d.following_count,
    d.likes_count, d.likes_count - before.likes_count AS likes_gain,
    d.video_count, d.video_count - before.video_count AS video_gain,
    before.snapshot_date AS previous_date,
    d.snapshot_date - before.snapshot_date AS days_since_previous,
    d.observed_at{late}
FROM user_daily_stats AS d
JOIN stores AS s USING (store_code)
LEFT JOIN LATERAL (
    SELECT p.snapshot_date, p.follower_count, p.likes_count, p.video_count
    FROM user_daily_stats AS p
    WHERE p.store_code = d.store_code AND p.snapshot_date < d.snapshot_date{only_before_in_time}
    ORDER BY p.snapshot_date DESC
    LIMIT 1
) AS before ON true
{only_in_time}
"""

# In time, no row of a video is older than its first sighting (a day is spared for the time zone):
# so the look-up for a new video does not go back through every month there is.
_GAINS = """
CREATE VIEW video_gains_daily{suffix} AS
SELECT d.video_id, d.snapshot_date, d.store_code, v.title, v.create_time,
    d.view_count, d.view_count - before.view_count AS view_gain,
    d.like_count, d.like_count - before.like_count AS like_gain,
    d.comment_count, d.comment_count - before.comment_count AS comment_gain,
    d.share_count, d.share_count - before.share_count AS share_gain,
    before.snapshot_date AS previous_date,
    d.snapshot_date - before.snapshot_date AS days_since_previous,
    v.removed_at, d.observed_at{late}
FROM video_daily_stats AS d
JOIN videos AS v USING (video_id)
LEFT JOIN LATERAL (
    SELECT p.snapshot_date, p.view_count, p.like_count, p.comment_count, p.share_count
    FROM video_daily_stats AS p
    WHERE p.video_id = d.video_id AND p.snapshot_date < d.snapshot_date{only_before_in_time}
    ORDER BY p.snapshot_date DESC
    LIMIT 1
) AS before ON true
{only_in_time}
"""

_IN_TIME = {"suffix": "", "late": "", "only_in_time": "WHERE NOT d.is_late"}
_WITH_LATE = {"suffix": "_with_late", "late": ", d.is_late", "only_in_time": ""}
_BEFORE_IN_TIME = " AND NOT p.is_late"
_BEFORE_SEEN = " AND p.snapshot_date >= (v.first_seen_at AT TIME ZONE 'UTC')::date - 1"

# A store that fell silent keeps its figures but has no gains: else an old jump would lead for ever.
_LEADERBOARD = """
CREATE VIEW store_leaderboard AS
SELECT s.store_code, s.store_name, s.region, latest.snapshot_date,
    latest.follower_count, latest.likes_count, latest.video_count,
    latest.follower_count - week.follower_count AS follower_gain_7d,
    latest.follower_count - month.follower_count AS follower_gain_30d,
    latest.likes_count - week.likes_count AS likes_gain_7d,
    latest.likes_count - month.likes_count AS likes_gain_30d,
    latest.video_count - week.video_count AS video_gain_7d,
    latest.video_count - month.video_count AS video_gain_30d,
    rank() OVER (ORDER BY latest.follower_count DESC NULLS LAST) AS follower_rank,
    rank() OVER (ORDER BY latest.follower_count - week.follower_count DESC NULLS LAST)
        AS follower_gain_7d_rank,
    rank() OVER (ORDER BY latest.follower_count - month.follower_count DESC NULLS LAST)
        AS follower_gain_30d_rank
FROM stores AS s
CROSS JOIN (
    SELECT max(snapshot_date) AS day FROM user_daily_stats WHERE NOT is_late
) AS newest
LEFT JOIN LATERAL (
    SELECT u.* FROM user_daily_stats AS u
    WHERE u.store_code = s.store_code AND NOT u.is_late
    ORDER BY u.snapshot_date DESC
    LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT u.* FROM user_daily_stats AS u
    WHERE u.store_code = s.store_code AND NOT u.is_late
        AND latest.snapshot_date >= newest.day - 3
        AND u.snapshot_date BETWEEN latest.snapshot_date - 10 AND latest.snapshot_date - 7
    ORDER BY u.snapshot_date DESC
    LIMIT 1
) AS week ON true
LEFT JOIN LATERAL (
    SELECT u.* FROM user_daily_stats AS u
    WHERE u.store_code = s.store_code AND NOT u.is_late
        AND latest.snapshot_date >= newest.day - 3
        AND u.snapshot_date BETWEEN latest.snapshot_date - 33 AND latest.snapshot_date - 30
    ORDER BY u.snapshot_date DESC
    LIMIT 1
) AS month ON true
WHERE s.is_active
"""

# A store without videos has no row to show for its day: there the log of the sync speaks.
_FRESHNESS = """
CREATE VIEW sync_freshness AS
SELECT s.store_code, s.store_name, s.region, s.is_active,
    last_user.snapshot_date AS last_user_date,
    last_video.snapshot_date AS last_video_date,
    user_success.run_time AS last_user_success_at,
    video_success.run_time AS last_video_success_at,
    gaps.user_days AS user_days_missing_30d,
    gaps.video_days AS video_days_missing_30d,
    t.status AS token_status, t.status_reason AS token_status_reason,
    t.status_since AS token_status_since, t.refresh_expires_at
FROM stores AS s
LEFT JOIN store_tokens AS t USING (store_code)
LEFT JOIN LATERAL (
    SELECT u.snapshot_date FROM user_daily_stats AS u
    WHERE u.store_code = s.store_code AND NOT u.is_late
    ORDER BY u.snapshot_date DESC
    LIMIT 1
) AS last_user ON true
LEFT JOIN LATERAL (
    SELECT v.snapshot_date FROM video_daily_stats AS v
    WHERE v.store_code = s.store_code AND NOT v.is_late
    ORDER BY v.snapshot_date DESC
    LIMIT 1
) AS last_video ON true
LEFT JOIN LATERAL (
    SELECT l.run_time FROM sync_logs AS l
    WHERE l.store_code = s.store_code AND l.job_name = 'sync_user_daily' AND l.status = 'success'
    ORDER BY l.run_time DESC
    LIMIT 1
) AS user_success ON true
LEFT JOIN LATERAL (
    SELECT l.run_time FROM sync_logs AS l
    WHERE l.store_code = s.store_code AND l.job_name = 'sync_video_daily' AND l.status = 'success'
    ORDER BY l.run_time DESC
    LIMIT 1
) AS video_success ON true
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE NOT EXISTS (
            SELECT FROM user_daily_stats AS u
            WHERE u.store_code = s.store_code AND u.snapshot_date = days.day AND NOT u.is_late
        ))::integer AS user_days,
        count(*) FILTER (WHERE NOT EXISTS (
            SELECT FROM video_daily_stats AS v
            WHERE v.store_code = s.store_code AND v.snapshot_date = days.day AND NOT v.is_late
        ) AND NOT EXISTS (
            SELECT FROM sync_logs AS l
            WHERE l.store_code = s.store_code AND l.job_name = 'sync_video_daily'
                AND l.status = 'success' AND l.snapshot_date = days.day
                AND l.run_time >= current_date - 32
                AND NOT coalesce((l.details ->> 'late')::boolean, false)
        ))::integer AS video_days
    FROM (
        SELECT current_date - ago AS day FROM generate_series(1, 30) AS ago
        WHERE current_date - ago > s.created_at::date
    ) AS days
) AS gaps
"""

_OF_THE_DAY_BEFORE = "since the previous observed day; NULL = unknown on either side"

_STORE = {"store_code": "Which store", "store_name": "Its name", "region": "Its region"}
_GROWTH_COLUMNS = {
    **_STORE,
    "snapshot_date": "The day the figures stand for, in the sync's time zone",
    "follower_count": "Followers",
    "follower_gain": f"Followers gained or lost {_OF_THE_DAY_BEFORE}",
    "following_count": "Accounts followed",
    "likes_count": "Likes of all videos together",
    "likes_gain": f"Likes gained or lost {_OF_THE_DAY_BEFORE}",
    "video_count": "Public videos",
    "video_gain": f"Public videos more or less {_OF_THE_DAY_BEFORE}",
    "previous_date": "The previous observed day; NULL on the first",
    "days_since_previous": "Days since then; 1 without a gap",
    "observed_at": "When TikTok answered",
}
_GAINS_COLUMNS = {
    "video_id": "Which video",
    "snapshot_date": "The day the figures stand for; put it in the WHERE clause",
    "store_code": "Whose video",
    "title": "Its title, as last seen",
    "create_time": "When it was posted",
    "view_count": "Views in all",
    "view_gain": f"Views gained (below 0: lost) {_OF_THE_DAY_BEFORE}",
    "like_count": "Likes in all",
    "like_gain": f"Likes gained (below 0: lost) {_OF_THE_DAY_BEFORE}",
    "comment_count": "Comments in all",
    "comment_gain": f"Comments gained (below 0: lost) {_OF_THE_DAY_BEFORE}",
    "share_count": "Shares in all",
    "share_gain": f"Shares gained (below 0: lost) {_OF_THE_DAY_BEFORE}",
    "previous_date": "The previous day the video was observed; NULL on its first",
    "days_since_previous": "Days since then; 1 without a gap",
    "removed_at": "When the video was found gone; NULL while it is public",
    "observed_at": "When TikTok answered",
}
_IS_LATE = {"is_late": "Observed after its day: it stands in for a missed one"}

_BACK = "; NULL without a row of that day or the 3 before it, or when the store fell silent"
_LEADERBOARD_GAINS = {
    "follower_gain": "Followers gained or lost",
    "likes_gain": "Likes gained or lost",
    "video_gain": "Public videos more or less",
}
_RANK = "1 is the highest; stores without the figure come last"

_COMMENTS: dict[str, dict[str, str]] = {
    "account_growth_daily": {
        "": "Each store's profile figures by day, with the gain since the previous observed day."
        " Rows observed late are left out: account_growth_daily_with_late has them",
        **_GROWTH_COLUMNS,
    },
    "account_growth_daily_with_late": {
        "": "As account_growth_daily, with the rows observed late: their gains mix two days",
        **_GROWTH_COLUMNS,
        **_IS_LATE,
    },
    "video_gains_daily": {
        "": "Each video's counters by day, with the gains since the previous observed day; removed"
        " videos keep their past. Rows observed late are left out: video_gains_daily_with_late has"
        " them",
        **_GAINS_COLUMNS,
    },
    "video_gains_daily_with_late": {
        "": "As video_gains_daily, with the rows observed late: their gains mix two days",
        **_GAINS_COLUMNS,
        **_IS_LATE,
    },
    "store_leaderboard": {
        "": "Each active store's latest figures (never late ones), gains over 7 and 30 days, ranks",
        **_STORE,
        "snapshot_date": "The day of the latest figures; more than 3 days behind the newest of any"
        " store, the store fell silent",
        "follower_count": "Followers",
        "likes_count": "Likes of all videos together",
        "video_count": "Public videos",
        **{
            f"{column}_{days}d": f"{what} over {days} days{_BACK}"
            for column, what in _LEADERBOARD_GAINS.items()
            for days in (7, 30)
        },
        "follower_rank": f"Rank by followers; {_RANK}",
        "follower_gain_7d_rank": f"Rank by followers gained over 7 days; {_RANK}",
        "follower_gain_30d_rank": f"Rank by followers gained over 30 days; {_RANK}",
    },
    "sync_freshness": {
        "": "How fresh each store's data is, what is missing, and whether its grant still works;"
        " never a token",
        **_STORE,
        "is_active": "Whether the nightly syncs include the store",
        "last_user_date": "Newest day with profile figures observed in time",
        "last_video_date": "Newest day with a video's figures observed in time",
        "last_user_success_at": "When sync_user_daily last succeeded for the store, late or not",
        "last_video_success_at": "When sync_video_daily last succeeded for the store, late or not",
        "user_days_missing_30d": "Days without profile figures observed in time, of the 30 before"
        " today and after the store was put in",
        "video_days_missing_30d": "Days on which its videos were not read in time, of the same",
        "token_status": "active, needs_consent or missing_scope; NULL = never connected",
        "token_status_reason": "Why it is not active",
        "token_status_since": "Since when",
        "refresh_expires_at": "End of the grant: connect the account again before it",
    },
}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def upgrade() -> None:
    """Create the views."""
    op.execute(_GROWTH.format(**_IN_TIME, only_before_in_time=_BEFORE_IN_TIME))
    op.execute(_GAINS.format(**_IN_TIME, only_before_in_time=_BEFORE_IN_TIME + _BEFORE_SEEN))
    for series in (_GROWTH, _GAINS):
        op.execute(series.format(**_WITH_LATE, only_before_in_time=""))
    op.execute(_LEADERBOARD)
    op.execute(_FRESHNESS)
    for view, columns in _COMMENTS.items():
        for column, comment in columns.items():
            target = f"COLUMN {view}.{column}" if column else f"VIEW {view}"
            op.execute(f"COMMENT ON {target} IS {_quoted(comment)}")


def downgrade() -> None:
    """Drop them; no data is lost."""
    op.execute(f"DROP VIEW {', '.join(_COMMENTS)}")
