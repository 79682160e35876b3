"""A year of nights in the database, made by the database itself within a second or two."""

from __future__ import annotations

from datetime import date, timedelta

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.sync.repository import StoreRepository

STORES = 300
VIDEOS_EACH = 20
VIDEO_DAYS = 90

_STORES = """
INSERT INTO stores (store_code, store_name, region, created_at)
SELECT 'S' || lpad(n::text, 3, '0'), 'Store ' || n, (ARRAY['North', 'South', 'West'])[1 + n %% 3],
    %(today)s::timestamptz - %(days)s * interval '1 day' - interval '2 days'
FROM generate_series(1, %(stores)s) AS n;
"""

_TOKENS = """
INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,
    access_expires_at, refresh_expires_at, status, status_reason, status_since, refreshed_at,
    created_at)
SELECT store_code, 'open-' || store_code, 'user.info.basic,video.list', '', '',
    now() + interval '20 hours', now() + interval '100 days', 'active', NULL, created_at,
    now() - interval '4 hours', created_at
FROM stores;
"""

_FIGURES = """
INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, following_count,
    likes_count, video_count, observed_at)
SELECT store_code, day::date, 1000 + 13 * ord + 40 * (hashtext(store_code) %% 50) + (ord * 7) %% 23,
    50, 9000 + 170 * ord, 40, day + interval '2 hours'
FROM stores, generate_series(%(today)s::timestamptz - (%(days)s - 1) * interval '1 day',
    %(today)s::timestamptz, interval '1 day') WITH ORDINALITY AS d (day, ord);
"""

# As record_summary and the stores' tasks leave them: seconds by store, one in a hundred failed.
_LOGS = """
INSERT INTO sync_logs (job_name, store_code, status, message, duration_ms, run_time, run_id,
    snapshot_date, attempts, details)
SELECT job, store_code, CASE WHEN bad THEN 'failed' ELSE 'success' END,
    CASE WHEN bad THEN 'TikTok answered HTTP 500 four times. Clear the task when TikTok is well.'
        ELSE '40 videos, 40 rows' END,
    2000 + (hashtext(store_code || ord) %% 900), day + interval '2 hours 1 minute',
    'scheduled__' || to_char(day, 'YYYY-MM-DD') || 'T02:00:00+00:00', day::date,
    CASE WHEN bad THEN 4 ELSE 1 END,
    jsonb_build_object('calls', 7, 'repeats', 0, 'rate_limited', 0, 'waited_s', 0.4, 'rows', 40,
        'refreshes', 0)
FROM generate_series(%(today)s::timestamptz - (%(days)s - 1) * interval '1 day',
        %(today)s::timestamptz, interval '1 day') WITH ORDINALITY AS d (day, ord)
CROSS JOIN unnest(ARRAY['sync_user_daily', 'sync_video_daily']) AS job
CROSS JOIN stores
CROSS JOIN LATERAL (SELECT hashtext(job || store_code || ord) %% 100 = 0) AS f (bad)
ORDER BY day, job;
INSERT INTO sync_logs (job_name, status, message, duration_ms, run_time, run_id, snapshot_date,
    details)
SELECT job_name,
    CASE WHEN count(*) FILTER (WHERE status = 'failed') = 0 THEN 'success' ELSE 'partial' END,
    count(*) FILTER (WHERE status = 'success') || ' of ' || count(*) || ' stores synced',
    CASE job_name WHEN 'sync_user_daily' THEN 95000 ELSE 250000 END
        + (hashtext(run_id) %% 20000),
    max(run_time) + CASE job_name WHEN 'sync_user_daily' THEN interval '1 minute'
        ELSE interval '4 minutes' END,
    run_id, snapshot_date,
    jsonb_build_object('stores', count(*), 'success', count(*) FILTER (WHERE status = 'success'),
        'failed', count(*) FILTER (WHERE status = 'failed'), 'skipped', 0, 'rate_limited', 0)
FROM sync_logs WHERE store_code IS NOT NULL GROUP BY job_name, run_id, snapshot_date;
"""

_VIDEOS = """
INSERT INTO videos (video_id, store_code, title, first_seen_at, last_seen_at)
SELECT store_code || '-' || n, store_code, 'Video ' || n, created_at, now()
FROM stores, generate_series(1, %(videos)s) AS n;
INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count, like_count,
    comment_count, share_count, observed_at)
SELECT video_id, day::date, store_code, 500 + 11 * ord, 5 * ord, ord, 1, day + interval '2 hours'
FROM videos, generate_series(%(today)s::timestamptz - (%(video_days)s - 1) * interval '1 day',
    %(today)s::timestamptz, interval '1 day') WITH ORDINALITY AS d (day, ord)
WHERE store_code <= 'S010';
"""

_LIMIT = """
INSERT INTO rate_limits (endpoint, grants, refusals)
VALUES ('/v2/user/info/', 300, 0), ('/v2/video/list/', 2100, 3);
INSERT INTO rate_limit_grants (endpoint, place, granted_at)
SELECT endpoint, place, now() - interval '59 seconds' + place * interval '0.1 second'
FROM rate_limits, generate_series(0, 599) AS place;
"""


def seed_history(
    conn: Connection, today: date, *, days: int = 365, stores: int = STORES, videos: bool = True
) -> None:
    """Fill an empty database as these nights of these stores would have filled it, up to today.

    Videos are there for the first ten stores and :data:`VIDEO_DAYS` days.
    """
    # Each makes four months, and the videos' days lie in five at most: none is left out between.
    for day in (today - timedelta(days=VIDEO_DAYS), today):
        StoreRepository(conn).ensure_partitions(day)
    values = {
        "today": today,
        "days": days,
        "stores": stores,
        "videos": VIDEOS_EACH,
        "video_days": min(days, VIDEO_DAYS),
    }
    conn.execute("SET timezone = 'UTC'")
    texts = (_STORES, _TOKENS, _FIGURES, _LOGS, *((_VIDEOS,) if videos else ()), _LIMIT)
    for statement in ";".join(texts).split(";"):
        if statement.strip():
            wanted = {name: value for name, value in values.items() if f"%({name})s" in statement}
            conn.execute(statement.encode(), wanted)
    conn.execute("ANALYZE")
