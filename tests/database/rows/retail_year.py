"""A retailer's year in the database: stores of several sizes, videos, growth, gaps.

Made by the database itself, and the same each time (``hashtext`` stands for chance). Also what the
pictures in the documentation are drawn from.
"""

from __future__ import annotations

from include.tiktok_sync.store_db.database import Connection

REGIONS = ("North", "South", "East", "West")

_STORES = """
INSERT INTO stores (store_code, store_name, region, created_at)
SELECT 'S' || lpad(n::text, 3, '0'),
    city || CASE WHEN n > 20 THEN ' ' || 1 + (n - 1) / 20 ELSE '' END,
    (ARRAY['North', 'South', 'East', 'West'])[1 + n %% 4],
    now() - make_interval(days => %(days)s + 2)
FROM generate_series(1, %(stores)s) AS n, LATERAL (SELECT (ARRAY['Aldersey', 'Brookfield',
    'Castleton', 'Dunmore', 'Eastgate', 'Fairhaven', 'Glenwood', 'Harbour Street', 'Islington',
    'Jubilee Square', 'Kingsway', 'Lakeside', 'Market Hall', 'Northgate', 'Old Town', 'Parkside',
    'Queens Road', 'Riverside', 'Station Road', 'Templeton'])[1 + (n - 1) %% 20] AS city) AS c;
INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token, created_at,
    status)
SELECT store_code, 'o-' || store_code, 'user.info.stats,video.list', '', '', created_at,
    CASE WHEN right(store_code, 2) = '07' THEN 'needs_consent' ELSE 'active' END
FROM stores;
"""

# S013 has no Tuesday and Wednesday in any week; S007 needs consent since ten days.
_PROFILES = """
INSERT INTO user_daily_stats (store_code, snapshot_date, follower_count, likes_count, video_count,
    observed_at)
SELECT s.store_code, day, 800 + size * 90 + (age * (4 + size)) / 3
        + abs(hashtext(s.store_code || age)) %% 9,
    9000 + age * (30 + size), 40 + age / 4, day + time '02:20'
FROM stores AS s, generate_series(0, %(days)s) AS age,
    LATERAL (SELECT current_date - %(days)s + age AS day,
        abs(hashtext(s.store_code)) %% 40 AS size) AS d
WHERE NOT (right(s.store_code, 2) = '13' AND extract(isodow FROM day) IN (2, 3))
    AND NOT (right(s.store_code, 2) = '07' AND day > current_date - 10);
"""

# In the mornings more than in the evenings; every fourth store posts half as much.
_VIDEOS = """
INSERT INTO videos (video_id, store_code, title, video_description, create_time, share_url,
    first_seen_at, last_seen_at)
SELECT (7400000000000000000 + abs(hashtext(s.store_code)) * 1000::bigint + n)::text, s.store_code,
    (ARRAY['New in this week', 'Behind the counter', 'Three looks under 50', 'Ask our team',
        'How we pack your order', 'Spring is here', 'Sale: last day', 'Unboxing'])[1 + pick %% 8],
    (ARRAY['Come by! #newin', 'Our team #behindthescenes #storelife', '#outfit #newin', '#askus',
        '#packing #storelife', '#spring #outfit', '#sale', '#unboxing'])[1 + pick %% 8],
    posted, 'https://www.tiktok.com/@' || lower(s.store_code) || '/video/' || n, posted, now()
FROM stores AS s, generate_series(1, %(days)s / 7 * %(per_week)s) AS n,
    LATERAL (SELECT abs(hashtext(s.store_code || '/' || n)) AS pick) AS c,
    LATERAL (SELECT date_trunc('day', now()) - make_interval(
        days => 1 + (n * 7) / %(per_week)s + pick %% 3,
        hours => -(8 + least(pick %% 13, pick / 64 %% 13)), mins => pick %% 60) AS posted) AS p
WHERE n %% 2 = 0 OR abs(hashtext(s.store_code)) %% 4 > 0;
"""

_VIDEO_DAYS = """
INSERT INTO video_daily_stats (video_id, snapshot_date, store_code, view_count, like_count,
    comment_count, share_count, observed_at)
SELECT v.video_id, day, v.store_code, views, views * (2 + pick %% 9) / 100,
    views * (pick %% 5) / 400, CASE WHEN pick %% 11 > 0 THEN views / 150 END, day + time '02:20'
FROM videos AS v,
    LATERAL (SELECT abs(hashtext(v.video_id)) AS pick,
        abs(hashtext(v.store_code)) %% 40 AS size) AS c,
    generate_series(greatest((create_time AT TIME ZONE 'UTC')::date + 1,
        current_date - %(days)s), current_date, interval '1 day') AS d (at),
    LATERAL (SELECT at::date AS day, at::date - (create_time AT TIME ZONE 'UTC')::date AS age) AS a,
    LATERAL (SELECT ((120 + 25 * size) * (1 + (pick / 7 %% 100) ^ 4 / 4e6)
        * (1 - exp(-age / 4.0)) + age / 2)::bigint AS views) AS w
WHERE NOT (right(v.store_code, 2) = '13' AND extract(isodow FROM day) IN (2, 3))
    AND NOT (right(v.store_code, 2) = '07' AND day > current_date - 10);
ANALYZE;
"""


def write_year(conn: Connection, *, stores: int, days: int = 366, per_week: int = 2) -> None:
    """Write it, up to today.

    Args:
        conn: An autocommit connection to a migrated, empty database.
        stores: How many.
        days: How far it goes back; every video has a row for each day since it was posted.
        per_week: Videos that a store posts in a week.
    """
    conn.execute(
        "SELECT ensure_video_daily_stats_partitions(current_date - %s::int, %s)",
        [days, days // 28 + 2],
    )
    values = {"stores": stores, "days": days, "per_week": per_week}
    for statements in (_STORES, _PROFILES, _VIDEOS, _VIDEO_DAYS):
        for statement in statements.split(";\n"):
            if statement.strip():
                conn.execute(statement.encode(), values if "%(" in statement else None)
