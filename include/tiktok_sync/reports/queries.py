"""Which statements read a report's figures? Each takes the values of ``figures.py`` by name."""

# ruff: noqa: S608 - the queries are made of constants of this file
from __future__ import annotations

_IN_REGION = "(%(region)s = '' OR s.region = %(region)s)"

STORES = f"""
SELECT s.store_code, s.store_name, s.view_gain, s.view_gain_days, s.median_view_gain,
    s.weeks_view_gain, s.profile_days_missing, s.video_days_missing, t.is_active
FROM store_week AS s
JOIN stores AS t USING (store_code)
WHERE s.week_start = %(start)s AND {_IN_REGION}
ORDER BY s.store_code
"""

_ZONE = "coalesce((SELECT timezone FROM sync_calendar), 'UTC')"

# The sums of store_week over the stores. That view looks eight weeks back for each of its rows,
# which for nine weeks is nine times the work; a test compares the two.
_PROFILE = """
SELECT u.snapshot_date AS day, u.follower_count, u.likes_count FROM user_daily_stats AS u
WHERE u.store_code = s.store_code AND NOT u.is_late
    AND u.snapshot_date BETWEEN w.week - 7 * {ago} AND w.week - 7 * {ago} + 6
ORDER BY u.snapshot_date DESC LIMIT 1
"""
_READ = """
SELECT r.snapshot_date AS day FROM video_daily_stats AS r
WHERE r.store_code = s.store_code AND NOT r.is_late
    AND NOT EXISTS (
        SELECT FROM video_listings(r.store_code, r.snapshot_date, r.snapshot_date) AS l
        WHERE NOT l.in_time)
    AND r.snapshot_date BETWEEN w.week - 7 * {ago} AND w.week - 7 * {ago} + 6
ORDER BY r.snapshot_date DESC LIMIT 1
"""
# Row by row, and not flattened (OFFSET 0): planned as one join, it reads every month.
GAINS = f"""
WITH read AS MATERIALIZED (
    SELECT s.store_code, w.week, read.day, before.day AS before, c.zone
    FROM stores AS s
    CROSS JOIN (SELECT {_ZONE} AS zone) AS c
    CROSS JOIN (
        SELECT %(start)s::date - 7 * n AS week FROM generate_series(0, %(weeks)s) AS n) AS w
    CROSS JOIN LATERAL ({_READ.format(ago=0)}) AS read
    LEFT JOIN LATERAL ({_READ.format(ago=1)}) AS before ON true
    WHERE {_IN_REGION}
), gains AS (
    SELECT read.store_code, read.week, read.day, seen.video_id, seen.view_count, seen.gain
    FROM read
    CROSS JOIN LATERAL (
        SELECT d.video_id, d.view_count, CASE
            WHEN p.video_id IS NOT NULL THEN d.view_count - p.view_count
            WHEN (SELECT (v.create_time AT TIME ZONE read.zone)::date FROM videos AS v
                WHERE v.video_id = d.video_id) >= read.before THEN d.view_count
            END AS gain
        FROM video_daily_stats AS d
        LEFT JOIN video_daily_stats AS p
            ON p.video_id = d.video_id AND p.store_code = read.store_code
            AND p.snapshot_date = read.before AND NOT p.is_late
        WHERE d.store_code = read.store_code AND d.snapshot_date = read.day AND NOT d.is_late
        OFFSET 0
    ) AS seen
)
"""

CHAIN = f"""{GAINS}, read_weeks AS (
    SELECT DISTINCT d.store_code, date_trunc('week', d.day)::date AS week
    FROM store_days(
        ARRAY(SELECT store_code FROM stores), %(first)s, %(end)s, {_ZONE}) AS d
    WHERE d.videos IS NOT NULL
), views AS (
    SELECT store_code, week, sum(gain)::bigint AS gain FROM gains GROUP BY store_code, week
)
SELECT s.store_code, w.week AS week_start, at_end.follower_count,
    at_end.follower_count - before.follower_count AS follower_gain,
    at_end.likes_count - before.likes_count AS likes_gain, views.gain AS view_gain,
    at_end.day - before.day AS profile_gain_days, read.day - read.before AS view_gain_days,
    CASE WHEN read_weeks.week IS NOT NULL THEN videos.posted END AS videos_new,
    CASE WHEN read_weeks.week IS NOT NULL THEN videos.removed END AS videos_removed
FROM stores AS s
CROSS JOIN (SELECT {_ZONE} AS zone) AS c
CROSS JOIN (SELECT %(start)s::date - 7 * n AS week FROM generate_series(0, %(weeks)s) AS n) AS w
LEFT JOIN LATERAL ({_PROFILE.format(ago=0)}) AS at_end ON true
LEFT JOIN LATERAL ({_PROFILE.format(ago=1)}) AS before ON true
LEFT JOIN read ON read.store_code = s.store_code AND read.week = w.week
LEFT JOIN views ON views.store_code = s.store_code AND views.week = w.week
LEFT JOIN read_weeks ON read_weeks.store_code = s.store_code AND read_weeks.week = w.week
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (
            WHERE (v.create_time AT TIME ZONE c.zone)::date - w.week BETWEEN 0 AND 6)::integer
            AS posted,
        count(*) FILTER (
            WHERE (v.removed_at AT TIME ZONE c.zone)::date - w.week BETWEEN 0 AND 6)::integer
            AS removed
    FROM videos AS v WHERE v.store_code = s.store_code
) AS videos
WHERE (s.created_at AT TIME ZONE c.zone)::date <= w.week + 6
    AND (s.removed_at IS NULL OR (s.removed_at AT TIME ZONE c.zone)::date >= w.week)
    AND {_IN_REGION}
"""

DAYS = f"""
SELECT s.snapshot_date AS day, sum(s.follower_gain)::bigint AS gain
FROM account_growth_daily AS s
WHERE s.snapshot_date BETWEEN %(before)s AND %(end)s AND {_IN_REGION}
GROUP BY s.snapshot_date ORDER BY s.snapshot_date
"""

VIDEOS = f"""{GAINS}
SELECT g.video_id, g.store_code, s.store_name, v.title, v.share_url AS link,
    v.create_time AS posted, coalesce(s.timezone, {_ZONE}) AS zone,
    g.view_count AS views, g.gain, e.engagement_rate_by_views AS engagement
FROM (
    SELECT gains.* FROM gains JOIN videos AS v USING (video_id)
    WHERE gains.week = %(start)s AND gains.gain > 0
        AND (v.title IS NOT NULL OR v.share_url IS NOT NULL)
    ORDER BY gains.gain DESC, gains.video_id LIMIT %(videos)s
) AS g
JOIN stores AS s USING (store_code)
JOIN videos AS v USING (video_id)
LEFT JOIN LATERAL (
    SELECT n.engagement_rate_by_views FROM video_engagement AS n
    WHERE n.video_id = g.video_id AND n.snapshot_date = g.day
        AND n.snapshot_date BETWEEN %(start)s AND %(end)s
    LIMIT 1
) AS e ON true
ORDER BY g.gain DESC, g.video_id
"""

_POSTED = f"""
FROM videos AS v
JOIN stores AS s USING (store_code)
CROSS JOIN (SELECT {_ZONE} AS zone) AS c
WHERE (v.create_time AT TIME ZONE c.zone)::date BETWEEN %(start)s AND %(end)s AND {_IN_REGION}
"""

HOURS = f"""
SELECT extract(isodow FROM v.create_time AT TIME ZONE coalesce(s.timezone, c.zone))::integer
        AS weekday,
    extract(hour FROM v.create_time AT TIME ZONE coalesce(s.timezone, c.zone))::integer AS hour,
    count(*)::integer AS videos
{_POSTED} GROUP BY 1, 2 ORDER BY 1, 2
"""

# Of one store alone it would be a text of that store.
HASHTAGS = f"""
SELECT p.hashtag, count(*)::integer AS videos, count(DISTINCT p.store_code)::integer AS stores,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY newest.view_count) AS median_views
FROM (
    SELECT tag.hashtag, v.video_id, v.store_code, c.zone {
    _POSTED.replace(
        "WHERE", "CROSS JOIN LATERAL hashtags(v.video_description) AS tag (hashtag) WHERE"
    )
}
) AS p
LEFT JOIN LATERAL (
    SELECT d.view_count FROM video_daily_stats AS d
    WHERE d.video_id = p.video_id AND d.snapshot_date BETWEEN %(start)s AND %(end)s
        AND NOT d.is_late
    ORDER BY d.snapshot_date DESC LIMIT 1
) AS newest ON true
GROUP BY p.hashtag HAVING count(DISTINCT p.store_code) > 1
ORDER BY videos DESC, p.hashtag LIMIT %(hashtags)s
"""

CONSENT = f"""
SELECT s.store_code, s.store_name, coalesce(t.status, 'not_connected') AS status
FROM stores AS s LEFT JOIN store_tokens AS t USING (store_code)
WHERE s.is_active AND t.status IS DISTINCT FROM 'active' AND {_IN_REGION}
ORDER BY s.store_code
"""
