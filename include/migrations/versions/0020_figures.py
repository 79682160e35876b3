"""Views of figures that people look at, and the time zone of a store.

Engagement, the curve after posting, times of posting, hashtags, stores' weeks and the chain's days.
Every figure was observed on time; what is not known is NULL. As in migration 0003, rows are looked
up one by one through an index, so that a filter on store, day or week leaves the other months out.
"""

# ruff: noqa: S608 - the queries are made of constants of this file
from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"

# A zone that Postgres does not know would break every view that counts in it; converting raises.
_COLUMN = """
ALTER TABLE stores ADD COLUMN timezone text
    CONSTRAINT stores_timezone_is_known
    CHECK (timezone IS NULL
        OR (timestamptz '2000-01-01 00:00 UTC' AT TIME ZONE timezone) IS NOT NULL)
"""

_SYNC_ZONE = "coalesce((SELECT timezone FROM sync_calendar), 'UTC')"

_RATE = "(d.like_count + d.comment_count + d.share_count)::double precision"

_ENGAGEMENT = f"""
CREATE VIEW video_engagement AS
SELECT d.video_id, d.snapshot_date, d.store_code, s.store_name, s.region, v.title, v.create_time,
    d.view_count, d.like_count, d.comment_count, d.share_count, u.follower_count,
    d.like_count + d.comment_count + d.share_count AS engagement_count,
    {_RATE} / nullif(d.view_count, 0) AS engagement_rate_by_views,
    {_RATE} / nullif(u.follower_count, 0) AS engagement_rate_by_followers,
    v.removed_at
FROM video_daily_stats AS d
JOIN videos AS v ON v.video_id = d.video_id
JOIN stores AS s ON s.store_code = d.store_code
LEFT JOIN user_daily_stats AS u
    ON u.store_code = d.store_code AND u.snapshot_date = d.snapshot_date AND NOT u.is_late
WHERE NOT d.is_late
"""

# Hours, not days: a day of the session's time zone may have 23. A snapshot_date is the day of its
# observation in the sync's zone, at most one away from the UTC day: that is what prunes months.
_AT_AGE = """
LEFT JOIN LATERAL (
    SELECT p.snapshot_date, p.observed_at, p.view_count, p.like_count, p.comment_count,
        p.share_count
    FROM video_daily_stats AS p
    WHERE p.video_id = v.video_id AND NOT p.is_late
        AND p.snapshot_date >= (v.create_time AT TIME ZONE 'UTC')::date + {days} - 1
        AND p.snapshot_date <= (v.create_time AT TIME ZONE 'UTC')::date + {days} + 2
        AND p.observed_at >= v.create_time + {days} * interval '24 hours'
        AND p.observed_at < v.create_time + ({days} + 1) * interval '24 hours'
    ORDER BY p.observed_at
    LIMIT 1
) AS {name} ON true
"""

_AGE_CURVE = f"""
CREATE VIEW video_age_curve AS
SELECT v.video_id, v.store_code, s.store_name, s.region, v.title, v.create_time,
    age.days AS days_after_posting, seen.snapshot_date, seen.observed_at,
    seen.view_count, seen.like_count, seen.comment_count, seen.share_count, v.removed_at
FROM videos AS v
JOIN stores AS s ON s.store_code = v.store_code
CROSS JOIN (VALUES (1), (2), (3), (7), (28)) AS age (days)
{_AT_AGE.format(days="age.days", name="seen")}
WHERE v.create_time IS NOT NULL
"""

# A year, so that the answer is about today's audience and the time it takes has a bound.
_POSTED_THIS_YEAR = f"""
LEFT JOIN LATERAL (
    SELECT p.view_count FROM video_daily_stats AS p
    WHERE p.video_id = v.video_id AND NOT p.is_late
        AND p.snapshot_date >= (v.first_seen_at AT TIME ZONE 'UTC')::date - 1
        AND p.snapshot_date <= (v.last_seen_at AT TIME ZONE 'UTC')::date + 1
    ORDER BY p.snapshot_date DESC
    LIMIT 1
) AS newest ON true
{_AT_AGE.format(days="7", name="week")}
WHERE v.create_time >= now() - 365 * interval '24 hours'
"""

_COUNTED = """
    count(*)::integer AS videos,
    count(newest.view_count)::integer AS videos_with_views,
    {sum}percentile_cont(0.5) WITHIN GROUP (ORDER BY newest.view_count) AS median_views,
    count(week.view_count)::integer AS videos_with_views_7d,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY week.view_count) AS median_views_7d
"""

_TOTAL = "sum(newest.view_count)::bigint AS total_views, "

_POSTING_TIMES = f"""
CREATE VIEW posting_times AS
SELECT s.store_code, s.store_name, s.region, place.zone AS timezone,
    extract(isodow FROM v.create_time AT TIME ZONE place.zone)::integer AS weekday,
    extract(hour FROM v.create_time AT TIME ZONE place.zone)::integer AS hour,
    {_COUNTED.format(sum="")}
FROM stores AS s
CROSS JOIN LATERAL (SELECT coalesce(s.timezone, {_SYNC_ZONE})) AS place (zone)
JOIN videos AS v ON v.store_code = s.store_code
{_POSTED_THIS_YEAR}
GROUP BY s.store_code, s.store_name, s.region, place.zone, 5, 6
"""

# What ends a hashtag is listed, because the classes of regular expressions follow the database's
# locale and know ASCII alone in "C": white space, and punctuation other than the low line. Letters
# and digits of every script, joiners and emoji belong to it.
_TAG = (
    r"[#\uFF03]([^\u0001-/:-@\[-^`{-\u00A9\u00AB-\u00B4\u00B6-\u00B9\u00BB-\u00BF\u00D7\u00F7"
    r"\u060C\u061B\u061F\u06D4\u0964\u0965\u1680\u2000-\u200B\u200E-\u206F\u3000-\u3004"
    r"\u3008-\u3020\u3030\uFEFF\uFF00-\uFF0F\uFF1A-\uFF20\uFF3B-\uFF3E\uFF40\uFF5B-\uFF65]+)"
)

# To upper case first: ß and ss, and the two small sigmas of Greek, become one.
_HASHTAGS = """
CREATE FUNCTION hashtags(p_text text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT DISTINCT lower(upper(normalize(found[1], NFC){collation}){collation})
    FROM regexp_matches(p_text, '{tag}', 'g') AS found
$$
"""

# lower() of the database's own locale may know ASCII alone. The first is in Postgres 18, the second
# in every build with ICU, the third in Postgres 17.
_COLLATIONS = """
SELECT collname FROM pg_collation
WHERE collname IN ('pg_unicode_fast', 'und-x-icu', 'pg_c_utf8')
ORDER BY array_position(ARRAY['pg_unicode_fast', 'und-x-icu', 'pg_c_utf8']::name[], collname)
LIMIT 1
"""

_HASHTAG_PERFORMANCE = f"""
CREATE VIEW hashtag_performance AS
SELECT s.store_code, s.store_name, s.region, tag.hashtag,
    {_COUNTED.format(sum=_TOTAL)}
FROM stores AS s
JOIN videos AS v ON v.store_code = s.store_code
CROSS JOIN LATERAL hashtags(v.video_description) AS tag (hashtag)
{_POSTED_THIS_YEAR}
GROUP BY s.store_code, s.store_name, s.region, tag.hashtag
"""

# From one day on which the videos of a store were read to a later one. A video that was posted
# since then began at 0; of one that is missing on either day nothing is known.
_VIEW_GAIN = """
SELECT sum(CASE
        WHEN p.video_id IS NOT NULL THEN d.view_count - p.view_count
        WHEN (SELECT (v.create_time AT TIME ZONE {zone})::date FROM videos AS v
            WHERE v.video_id = d.video_id) >= {before} THEN d.view_count
    END)::bigint AS gain
FROM video_daily_stats AS d
LEFT JOIN video_daily_stats AS p
    ON p.video_id = d.video_id AND p.store_code = s.store_code AND p.snapshot_date = {before}
    AND NOT p.is_late
WHERE d.store_code = s.store_code AND d.snapshot_date = {day} AND NOT d.is_late
"""

_VIDEO_DAY = """
SELECT r.snapshot_date AS day FROM video_daily_stats AS r
WHERE r.store_code = s.store_code AND NOT r.is_late AND {days}
ORDER BY r.snapshot_date DESC
LIMIT 1
"""

_PROFILE = """
SELECT u.snapshot_date AS day, u.follower_count, u.likes_count FROM user_daily_stats AS u
WHERE u.store_code = s.store_code AND NOT u.is_late
    AND u.snapshot_date BETWEEN {first} AND {last}
ORDER BY u.snapshot_date DESC
LIMIT 1
"""

_THIS_WEEK = {"first": "of.week", "last": "of.week + 6"}
_WEEK_BEFORE = {"first": "of.week - 7", "last": "of.week - 1"}
_BETWEEN = "r.snapshot_date BETWEEN {first} AND {last}"

_GAINS = ("follower_gain", "likes_gain", "view_gain")
_OF_THE_WEEK = ("follower_count", *_GAINS, "profile_days", "video_days")

_STORE_WEEK = f"""
CREATE VIEW store_week AS
SELECT s.store_code, s.store_name, s.region, weeks.week_start,
    w.follower_count, w.follower_gain, w.likes_gain, w.view_gain,
    w.profile_days AS profile_gain_days, w.video_days AS view_gain_days,
    {", ".join(f"w.median_{gain}" for gain in _GAINS)},
    {", ".join(f"w.{gain} - w.median_{gain} AS {gain}_vs_median" for gain in _GAINS)},
    {", ".join(f"w.weeks_{gain}" for gain in _GAINS)},
    CASE WHEN gaps.is_read THEN videos.posted END AS videos_new,
    CASE WHEN gaps.is_read THEN videos.removed END AS videos_removed,
    gaps.profile_days_missing, gaps.video_days_missing
FROM stores AS s
CROSS JOIN LATERAL (
    SELECT zone, date_trunc('week', now() AT TIME ZONE zone)::date AS monday
    FROM (SELECT {_SYNC_ZONE}) AS calendar (zone)
) AS today
CROSS JOIN LATERAL (
    SELECT today.monday - 7 * n AS week_start FROM generate_series(1, 53) AS n
) AS weeks
CROSS JOIN LATERAL (
    SELECT {", ".join(f"max(g.{name}) FILTER (WHERE ago = 0) AS {name}" for name in _OF_THE_WEEK)},
        {
    ", ".join(
        f"percentile_cont(0.5) WITHIN GROUP (ORDER BY g.{gain}) FILTER (WHERE ago > 0)"
        f" AS median_{gain}, count(g.{gain}) FILTER (WHERE ago > 0)::integer AS weeks_{gain}"
        for gain in _GAINS
    )
}
    FROM generate_series(0, 8) AS ago
    CROSS JOIN LATERAL (
        SELECT at_end.follower_count,
            at_end.follower_count - before.follower_count AS follower_gain,
            at_end.likes_count - before.likes_count AS likes_gain,
            at_end.day - before.day AS profile_days,
            views.gain AS view_gain, read.day - read_before.day AS video_days
        FROM (SELECT weeks.week_start - 7 * ago) AS of (week)
        LEFT JOIN LATERAL ({_PROFILE.format(**_THIS_WEEK)}) AS at_end ON true
        LEFT JOIN LATERAL ({_PROFILE.format(**_WEEK_BEFORE)}) AS before ON true
        LEFT JOIN LATERAL (
            {_VIDEO_DAY.format(days=_BETWEEN.format(**_THIS_WEEK))}) AS read ON true
        LEFT JOIN LATERAL (
            {_VIDEO_DAY.format(days=_BETWEEN.format(**_WEEK_BEFORE))}) AS read_before ON true
        LEFT JOIN LATERAL (
            {_VIEW_GAIN.format(zone="today.zone", before="read_before.day", day="read.day")}
        ) AS views ON true
    ) AS g
) AS w
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (
            WHERE (v.create_time AT TIME ZONE today.zone)::date - weeks.week_start BETWEEN 0 AND 6
        )::integer AS posted,
        count(*) FILTER (
            WHERE (v.removed_at AT TIME ZONE today.zone)::date - weeks.week_start BETWEEN 0 AND 6
        )::integer AS removed
    FROM videos AS v WHERE v.store_code = s.store_code
) AS videos
CROSS JOIN LATERAL (
    SELECT count(d.videos) > 0 AS is_read,
        {
    ", ".join(
        f"coalesce(array_agg(d.day ORDER BY d.day) FILTER (WHERE d.is_expected"
        f" AND d.{kind} IS DISTINCT FROM 'in_time'),"
        f" CASE WHEN count(*) > 0 THEN '{{}}' END::date[]) AS {name}_days_missing"
        for kind, name in (("profile", "profile"), ("videos", "video"))
    )
}
    FROM store_days(
        ARRAY[s.store_code], weeks.week_start, weeks.week_start + 6, today.zone) AS d
) AS gaps
WHERE (s.created_at AT TIME ZONE today.zone)::date <= weeks.week_start + 6
    AND (s.removed_at IS NULL
        OR (s.removed_at AT TIME ZONE today.zone)::date >= weeks.week_start)
"""

_MISSING = f"""
ARRAY(
    SELECT m.store_code FROM store_days(
        ARRAY(SELECT store_code FROM stores WHERE is_active), days.day, days.day, {_SYNC_ZONE}) AS m
    WHERE m.is_expected AND m.{{kind}} IS DISTINCT FROM 'in_time' ORDER BY m.store_code)
"""

# What reads videos or the log is a column's own query: it runs only if the column is asked for.
_CHAIN_DAY = f"""
CREATE VIEW chain_day AS
SELECT days.day AS snapshot_date,
    p.stores, p.follower_count, p.follower_gain, p.stores_with_follower_gain,
    p.likes_count, p.likes_gain, p.video_count,
    (
        SELECT sum(views.gain)::bigint FROM stores AS s
        CROSS JOIN LATERAL (
            {_VIDEO_DAY.format(days="r.snapshot_date = days.day")}) AS read
        CROSS JOIN LATERAL (
            {_VIDEO_DAY.format(days="r.snapshot_date < days.day")}) AS read_before
        CROSS JOIN LATERAL (
            {_VIEW_GAIN.format(zone=_SYNC_ZONE, before="read_before.day", day="days.day")}
        ) AS views
    ) AS view_gain,
    {_MISSING.format(kind="profile")} AS stores_without_profile,
    {_MISSING.format(kind="videos")} AS stores_without_videos
FROM (
    SELECT ends.first + n AS day FROM (
        SELECT min(snapshot_date) AS first, max(snapshot_date) AS last
        FROM user_daily_stats WHERE NOT is_late
    ) AS ends CROSS JOIN LATERAL generate_series(0, ends.last - ends.first) AS n
) AS days
CROSS JOIN LATERAL (
    SELECT count(u.store_code)::integer AS stores,
        sum(u.follower_count)::bigint AS follower_count,
        sum(u.follower_count - before.follower_count)::bigint AS follower_gain,
        count(u.follower_count - before.follower_count)::integer AS stores_with_follower_gain,
        sum(u.likes_count)::bigint AS likes_count,
        sum(u.likes_count - before.likes_count)::bigint AS likes_gain,
        sum(u.video_count)::bigint AS video_count
    FROM user_daily_stats AS u
    LEFT JOIN LATERAL (
        SELECT b.follower_count, b.likes_count FROM user_daily_stats AS b
        WHERE b.store_code = u.store_code AND b.snapshot_date < u.snapshot_date AND NOT b.is_late
        ORDER BY b.snapshot_date DESC
        LIMIT 1
    ) AS before ON true
    WHERE u.snapshot_date = days.day AND NOT u.is_late
) AS p
"""

_STORE = {"store_code": "Which store", "store_name": "Its name", "region": "Its region"}
_VIDEO = {
    "video_id": "Which video",
    "title": "Its title, as last seen",
    "create_time": "When it was posted",
    "removed_at": "When the video was found gone; NULL while it is public",
}
_UNKNOWN = "NULL = TikTok left it out"
_OLD = "NULL = not observed on time at that age, or left out by TikTok"
_PER_GROUP = {
    "videos": "How many such videos were posted, removed ones included",
    "videos_with_views": "How many of them have a known number of views: median_views counts these",
    "median_views": (
        "Median of their newest number of views observed on time; older videos have had more time;"
        " NULL = none is known"
    ),
    "videos_with_views_7d": "How many of them have a known number of views at the age of 7 days",
    "median_views_7d": (
        "Median of their views 7 days after posting, as in video_age_curve: compares videos of"
        " equal age; NULL = none is known"
    ),
}
_GAINED = {
    "follower_gain": ("followers", "Followers gained or lost", "profile_gain_days"),
    "likes_gain": ("likes", "Likes gained or lost", "profile_gain_days"),
    "view_gain": ("views", "Views gained (below 0: lost)", "view_gain_days"),
}
_VIEWS_OF = (
    "a video posted since then counts in full, and a video without a figure on either day is left"
    " out"
)

_COMMENTS: dict[str, dict[str, str]] = {
    "video_engagement": {
        "": "How much viewers engage with each video, by day: likes, comments and shares together,"
        " divided by views or by followers. Rows observed late are left out",
        **_STORE,
        **_VIDEO,
        "snapshot_date": "The day the figures stand for; filter on it in the WHERE clause, so that"
        " other months are not read",
        **{
            f"{name}_count": f"{name.capitalize()}s in total"
            for name in ("view", "like", "comment", "share")
        },
        "follower_count": "Followers of the account on the same day; NULL = not observed on time",
        "engagement_count": "like_count + comment_count + share_count; NULL if one is unknown",
        "engagement_rate_by_views": "engagement_count / view_count, all since posting; 0.05 is five"
        " percent; NULL if there are no views or one of the figures is unknown",
        "engagement_rate_by_followers": "engagement_count / follower_count, all since posting by"
        " the followers of the day; 0.05 is five percent; NULL if there are no followers or one"
        " of the figures is unknown",
    },
    "video_age_curve": {
        "": "Each video''s figures 1, 2, 3, 7 and 28 days after it was posted, five rows per video:"
        " the first observation at least that many times 24 hours and less than 24 hours more"
        " after posting. Observations made late are left out; days that retention thinned out are"
        " unknown",
        **_STORE,
        **_VIDEO,
        "days_after_posting": "1, 2, 3, 7 or 28",
        "snapshot_date": f"The day the figures stand for; {_OLD}",
        "observed_at": f"When TikTok answered; {_OLD}",
        **{
            f"{name}_count": f"{name.capitalize()}s in total at that age; {_OLD}"
            for name in ("view", "like", "comment", "share")
        },
    },
    "posting_times": {
        "": "When each store posts, by weekday and hour, and how those videos did: videos posted in"
        " the last 365 days. An hour in which nothing was posted has no row",
        **_STORE,
        "timezone": "In which time zone weekday and hour are: the store''s own or, without one,"
        " SYNC_TIMEZONE",
        "weekday": "1 = Monday to 7 = Sunday",
        "hour": "0 to 23: posted from that hour to the next",
        **_PER_GROUP,
    },
    "hashtag_performance": {
        "": "How the videos with each hashtag did, by store: videos posted in the last 365 days."
        " Hashtags are read from the descriptions; once the text of a removed video is cleared,"
        " the video no longer counts",
        **_STORE,
        "hashtag": "Without its sign and in lower case; ß and ss are the same",
        **_PER_GROUP,
        "total_views": "Sum of the newest numbers of views that median_views counts; NULL = none"
        " is known",
    },
    "store_week": {
        "": "Each store''s last 53 complete weeks (Monday to Sunday in SYNC_TIMEZONE), compared"
        " with its own median of the 8 weeks before. Figures observed late are left out. Filter on"
        " week_start: all weeks of all stores take long",
        **_STORE,
        "week_start": "The Monday",
        "follower_count": f"Followers on the last observed day of the week; {_UNKNOWN}, or not"
        " observed in the week",
        **{
            gain: f"{what} from the last observed day of the week before to that of this week"
            + (f"; {_VIEWS_OF}" if gain == "view_gain" else "")
            + "; NULL = unknown on either side"
            for gain, (_, what, _) in _GAINED.items()
        },
        "profile_gain_days": "Days between the two observed days of follower_gain and likes_gain; 7"
        " without a gap",
        "view_gain_days": "Days between the two observed days of view_gain; 7 without a gap",
        **{
            f"median_{gain}": f"Median gain of {name} in the 8 weeks before, of those where it is"
            " known; NULL = in none"
            for gain, (name, *_) in _GAINED.items()
        },
        **{
            f"{gain}_vs_median": f"{gain} - median_{gain}: above 0, a better week than usual"
            for gain in _GAINED
        },
        **{
            f"weeks_{gain}": f"Of how many weeks median_{gain} is the median, 0 to 8"
            for gain in _GAINED
        },
        "videos_new": "Videos posted in the week; NULL = its videos were not read in the week",
        "videos_removed": "Videos found gone in the week; NULL = as videos_new",
        "profile_days_missing": "Days of the week without profile figures observed on time, though"
        " the store was connected; empty = none; NULL = the store has no grant",
        "video_days_missing": "Days of the week on which its videos were not read on time, counted"
        " in the same way",
    },
    "chain_day": {
        "": "All stores together, one row per day from the first to the last with profile figures."
        " Figures observed late are left out. A sum covers only the stores that have the figure."
        " Filter on snapshot_date when reading view_gain or the missing stores",
        "snapshot_date": "The day the figures stand for, in SYNC_TIMEZONE",
        "stores": "Stores with profile figures of that day",
        "follower_count": "Their followers; NULL = none is known",
        "follower_gain": "Followers gained or lost, each store since its previous observed day;"
        " NULL = none is known",
        "stores_with_follower_gain": "Stores whose gain is in follower_gain",
        "likes_count": "Total likes of all their videos; NULL = none is known",
        "likes_gain": "Likes gained or lost, each store since its previous observed day; NULL ="
        " none is known",
        "video_count": "Their public videos; NULL = none is known",
        "view_gain": "Views gained (below 0: lost), each store since the previous day on which its"
        f" videos were read on time; {_VIEWS_OF}; NULL = none is known",
        "stores_without_profile": "Codes of active, connected stores without profile figures"
        " observed on time; empty = none",
        "stores_without_videos": "Codes of active, connected stores whose videos were not read on"
        " time; empty = none",
    },
}

_COLUMN_COMMENT = (
    "The store''s time zone, such as Europe/Berlin, in which posting_times counts weekdays and"
    " hours; NULL = SYNC_TIMEZONE"
)


def upgrade() -> None:
    """Add them. The table of stores is small, so that checking its rows takes no time."""
    bind = op.get_bind()
    collation = bind.exec_driver_sql(_COLLATIONS).scalar()
    op.execute(_COLUMN)
    op.execute(f"COMMENT ON COLUMN stores.timezone IS '{_COLUMN_COMMENT}'")
    bind.exec_driver_sql(
        _HASHTAGS.format(tag=_TAG, collation=f' COLLATE "{collation}"' if collation else "")
    )
    op.execute("REVOKE ALL ON FUNCTION hashtags(text) FROM PUBLIC")
    op.execute(
        "COMMENT ON FUNCTION hashtags(text) IS 'The hashtags in a text, each once, without the"
        " sign and in lower case'"
    )
    for view in (
        _ENGAGEMENT,
        _AGE_CURVE,
        _POSTING_TIMES,
        _HASHTAG_PERFORMANCE,
        _STORE_WEEK,
        _CHAIN_DAY,
    ):
        bind.exec_driver_sql(view)
    for view, columns in _COMMENTS.items():
        for column, comment in columns.items():
            target = f"COLUMN {view}.{column}" if column else f"VIEW {view}"
            bind.exec_driver_sql(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Drop them; the stores' time zones are lost, no figure is."""
    op.execute(f"DROP VIEW {', '.join(_COMMENTS)}")
    op.execute("DROP FUNCTION hashtags(text)")
    op.execute("ALTER TABLE stores DROP COLUMN timezone")
