"""Figures of TikTok's Accounts API: account days, audience, posts, the category's averages.

Columns bear the API's names. The figures mix paid and organic views and come a day or two late, so
none of them shares a column with one of the Display API. What joins both is a view.
"""

# ruff: noqa: S608 - the queries are made of constants of this file
from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"

_STUDIO = ("video_views", "profile_views", "likes", "comments", "shares", "followers_count")
_BUSINESS = (
    "unique_video_views",
    "engaged_audience",
    "daily_total_followers",
    "daily_new_followers",
    "daily_lost_followers",
)
_REGISTERED = (
    "phone_number_clicks",
    "lead_submissions",
    "app_download_clicks",
    "bio_link_clicks",
    "email_clicks",
    "address_clicks",
)
_DAY_FIGURES = (*_STUDIO, *_BUSINESS, *_REGISTERED)
_AUDIENCE = ("audience_ages", "audience_genders", "audience_countries", "audience_cities")

_POST_COUNTS = (
    "video_views",
    "likes",
    "comments",
    "shares",
    "favorites",
    "reach",
    "new_followers",
    "profile_views",
    "website_clicks",
    "phone_number_clicks",
    "lead_submissions",
    "app_download_clicks",
    "email_clicks",
    "address_clicks",
)
_POST_MEASURES = (
    "video_duration",
    "total_time_watched",
    "average_time_watched",
    "full_video_watched_rate",
)
_POST_LISTS = (
    "impression_sources",
    "audience_countries",
    "audience_cities",
    "audience_genders",
    "audience_types",
    "video_view_retention",
    "engagement_likes",
)
_AVERAGES = (
    "average_likes",
    "average_comments",
    "average_shares",
    "average_video_count",
    "average_follower_count",
    "average_follower_growth",
    "average_engagement_rate",
    "average_video_views",
)


def _columns(names: tuple[str, ...], kind: str) -> str:
    return "".join(f"    {name} {kind},\n" for name in names)


# A day is final once it was fetched when it was 7 days old: TikTok corrects days that long.
_TABLES = f"""
CREATE TABLE account_daily (
    store_code text NOT NULL REFERENCES stores ON DELETE CASCADE,
    metric_date date NOT NULL,
{_columns(_DAY_FIGURES, "bigint")}    audience_activity jsonb,
    fetched_at timestamptz NOT NULL,
    is_final boolean NOT NULL GENERATED ALWAYS AS (
        fetched_at >= (metric_date + 7)::timestamp AT TIME ZONE 'UTC') STORED,
    PRIMARY KEY (store_code, metric_date)
);
CREATE INDEX account_daily_metric_date ON account_daily (metric_date);

CREATE TABLE account_audience (
    store_code text NOT NULL REFERENCES stores ON DELETE CASCADE,
    snapshot_date date NOT NULL,
    is_business_account boolean,
    followers_count bigint,
    following_count bigint,
    total_likes bigint,
    videos_count bigint,
{_columns(_AUDIENCE, "jsonb")}    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (store_code, snapshot_date)
);
CREATE INDEX account_audience_snapshot_date ON account_audience (snapshot_date);

CREATE TABLE video_insights_daily (
    store_code text NOT NULL REFERENCES stores ON DELETE CASCADE,
    video_id text NOT NULL CHECK (video_id <> ''),
    snapshot_date date NOT NULL,
    create_time timestamptz,
    media_type text,
    is_ad boolean,
{_columns(_POST_COUNTS, "bigint")}{_columns(_POST_MEASURES, "double precision")}{
    _columns(_POST_LISTS, "jsonb")
}    lists_kept_for smallint,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (store_code, video_id, snapshot_date)
) PARTITION BY RANGE (snapshot_date);
CREATE INDEX video_insights_daily_snapshot_date
    ON video_insights_daily (snapshot_date, store_code);

CREATE TABLE benchmarks (
    snapshot_date date NOT NULL,
    business_category text NOT NULL,
{_columns(_AVERAGES, "double precision")}    asked_at timestamptz NOT NULL,
    fetched_at timestamptz,
    PRIMARY KEY (snapshot_date, business_category)
);

CREATE TABLE insight_listings (
    store_code text PRIMARY KEY REFERENCES stores ON DELETE CASCADE,
    run_id text NOT NULL,
    snapshot_date date NOT NULL,
    next_cursor bigint NOT NULL,
    pages integer NOT NULL,
    posts integer NOT NULL,
    updated_at timestamptz NOT NULL
);
"""

# As for video_daily_stats (migration 0001): ATTACH lets others go on writing, and the referenced
# table is locked first, lest a page that is being written and a new partition wait for each other.
_PARTITIONS = """
CREATE FUNCTION ensure_video_insights_partitions(first_day date, months integer DEFAULT 3)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    month date;
    partition text;
    made integer := 0;
BEGIN
    FOR i IN 0 .. months LOOP
        month := date_trunc('month', first_day)::date + make_interval(months => i);
        partition := format('video_insights_daily_%s', to_char(month, 'YYYY_MM'));
        IF to_regclass(partition) IS NULL THEN
            LOCK TABLE stores IN SHARE ROW EXCLUSIVE MODE;
            IF to_regclass(partition) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE %I (LIKE video_insights_daily INCLUDING ALL)', partition);
                EXECUTE format(
                    'ALTER TABLE video_insights_daily ATTACH PARTITION %I'
                    ' FOR VALUES FROM (%L) TO (%L)',
                    partition, month, (month + interval '1 month')::date);
                EXECUTE format(
                    'COMMENT ON TABLE %I IS %L', partition,
                    'Rows of video_insights_daily of ' || to_char(month, 'YYYY-MM'));
                made := made + 1;
            END IF;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ensure_video_insights_partitions IS
    'Creates the monthly partitions of video_insights_daily from the month of first_day, for the'
    ' given number of months ahead; returns how many were missing.';
"""

# Each row looks its partner up by primary key (LIMIT keeps the planner to that), so that a filter
# on store and day leaves all other rows and months alone.
_PROFILE = ("follower_count", "following_count", "likes_count", "video_count")
_FROM_ACCOUNTS_API = (*_DAY_FIGURES, "audience_activity", "is_final", "fetched_at")

_ACCOUNT_HISTORY = f"""
CREATE VIEW account_history_daily AS
SELECT u.store_code, s.store_name, s.region, u.snapshot_date AS day,
    {", ".join(f"u.{name}" for name in _PROFILE)},
    {", ".join(f"a.{name}" for name in _FROM_ACCOUNTS_API)}
FROM user_daily_stats AS u
JOIN stores AS s ON s.store_code = u.store_code
LEFT JOIN LATERAL (
    SELECT * FROM account_daily AS d
    WHERE d.store_code = u.store_code AND d.metric_date = u.snapshot_date
    LIMIT 1
) AS a ON true
WHERE NOT u.is_late
UNION ALL
SELECT a.store_code, s.store_name, s.region, a.metric_date,
    {", ".join("NULL::bigint" for _ in _PROFILE)},
    {", ".join(f"a.{name}" for name in _FROM_ACCOUNTS_API)}
FROM account_daily AS a
JOIN stores AS s ON s.store_code = a.store_code
LEFT JOIN LATERAL (
    SELECT true AS has_profile FROM user_daily_stats AS u
    WHERE u.store_code = a.store_code AND u.snapshot_date = a.metric_date AND NOT u.is_late
    LIMIT 1
) AS display ON true
WHERE display.has_profile IS NULL
"""

_COUNTERS = ("view_count", "like_count", "comment_count", "share_count")
_SHOWN = (
    *("media_type", "is_ad", "video_views", "likes", "comments", "shares", "favorites", "reach"),
    *("total_time_watched", "average_time_watched", "full_video_watched_rate", "new_followers"),
    *("profile_views", "impression_sources", "fetched_at"),
)
_KNOWN = (
    "reach",
    "total_time_watched",
    "average_time_watched",
    "full_video_watched_rate",
)

# TikTok leaves reach and watch figures out of a post that was quiet for more than 7 days.
_NEWEST_KNOWN = f"""
LEFT JOIN LATERAL (
    SELECT k.snapshot_date, {", ".join(f"k.{name}" for name in _KNOWN)}
    FROM video_insights_daily AS k
    WHERE k.store_code = i.store_code AND k.video_id = i.video_id
        AND k.snapshot_date <= i.snapshot_date AND k.reach IS NOT NULL
    ORDER BY k.snapshot_date DESC
    LIMIT 1
) AS known ON true
"""
_KNOWN_COLUMNS = (
    ", ".join(f"known.{name} AS last_{name}" for name in _KNOWN)
    + ", known.snapshot_date AS last_known_on"
)

_VIDEO_PERFORMANCE = f"""
CREATE VIEW video_performance AS
SELECT d.store_code, s.store_name, s.region, d.video_id, d.snapshot_date, true AS on_profile,
    {", ".join(f"d.{name}" for name in _COUNTERS)},
    {", ".join(f"i.{name}" for name in _SHOWN)},
    {_KNOWN_COLUMNS}
FROM video_daily_stats AS d
JOIN stores AS s ON s.store_code = d.store_code
LEFT JOIN LATERAL (
    SELECT * FROM video_insights_daily AS p
    WHERE p.store_code = d.store_code AND p.video_id = d.video_id
        AND p.snapshot_date = d.snapshot_date
    LIMIT 1
) AS i ON true
{_NEWEST_KNOWN}
WHERE NOT d.is_late
UNION ALL
SELECT i.store_code, s.store_name, s.region, i.video_id, i.snapshot_date,
    CASE
        WHEN EXISTS (SELECT FROM videos AS v WHERE v.video_id = i.video_id) THEN true
        WHEN EXISTS (SELECT FROM videos AS v WHERE v.store_code = i.store_code) THEN false
    END,
    {", ".join("NULL::bigint" for _ in _COUNTERS)},
    {", ".join(f"i.{name}" for name in _SHOWN)},
    {_KNOWN_COLUMNS}
FROM video_insights_daily AS i
JOIN stores AS s ON s.store_code = i.store_code
LEFT JOIN LATERAL (
    SELECT true AS has_counters FROM video_daily_stats AS d
    WHERE d.video_id = i.video_id AND d.snapshot_date = i.snapshot_date AND NOT d.is_late
    LIMIT 1
) AS display ON true
{_NEWEST_KNOWN}
WHERE display.has_counters IS NULL
"""


def _missing(alias: str, names: tuple[str, ...]) -> str:
    values = ", ".join(f"('{name}', {alias}.{name} IS NULL)" for name in names)
    return f"ARRAY(SELECT f.name FROM (VALUES {values}) AS f (name, is_missing) WHERE f.is_missing)"


def _not_granted(scope: str) -> str:
    return (
        f"WHEN NOT '{scope}' = ANY (string_to_array(t.scope, ','))"
        f" THEN 'permission {scope} not granted'"
    )


_PERSONAL_ACCOUNT = "WHEN kind.is_business_account = false THEN 'personal account'"
_FEW_FOLLOWERS = "WHEN kind.followers_count < 100 THEN 'under 100 followers'"
_REGISTERED_ONLY = "WHEN kind.is_business_account THEN 'only for a registered business account'"
_KIND = """
LEFT JOIN LATERAL (
    SELECT k.is_business_account, k.followers_count, k.fetched_at FROM account_audience AS k
    WHERE k.store_code = {of}.store_code
    ORDER BY k.snapshot_date DESC
    LIMIT 1
) AS kind ON true
"""

_ABSENT = f"""
CREATE VIEW insights_absent AS
SELECT t.store_code, NULL::text AS video_id, days.day, 'account_daily' AS table_name,
    absent.fields, absent.reason
FROM business_tokens AS t
CROSS JOIN LATERAL (
    SELECT (now() AT TIME ZONE 'UTC')::date - n AS day FROM generate_series(1, 60) AS n
) AS days
LEFT JOIN LATERAL (
    SELECT * FROM account_daily AS d
    WHERE d.store_code = t.store_code AND d.metric_date = days.day
    LIMIT 1
) AS a ON true
{_KIND.format(of="t")}
CROSS JOIN LATERAL (
    SELECT ARRAY['*'] AS fields, CASE
        {_not_granted("user.insights")}
        WHEN kind.fetched_at IS NULL OR kind.fetched_at < days.day::timestamp AT TIME ZONE 'UTC'
            THEN 'not read yet'
        WHEN days.day > (kind.fetched_at AT TIME ZONE 'UTC')::date - 3
            THEN 'too fresh: a day comes after 24 to 48 hours'
        ELSE 'not in TikTok: before the account existed, or before its Analytics was turned on'
    END AS reason
    WHERE a.store_code IS NULL
    UNION ALL
    SELECT {_missing("a", _STUDIO)}, 'left out by TikTok'
    WHERE a.store_code IS NOT NULL
    UNION ALL
    SELECT {_missing("a", ("audience_activity",))},
        CASE {_FEW_FOLLOWERS} {_PERSONAL_ACCOUNT} ELSE 'left out by TikTok' END
    WHERE a.store_code IS NOT NULL
    UNION ALL
    SELECT {_missing("a", _BUSINESS)},
        CASE {_PERSONAL_ACCOUNT} ELSE 'left out by TikTok' END
    WHERE a.store_code IS NOT NULL
    UNION ALL
    SELECT {_missing("a", _REGISTERED)},
        CASE {_PERSONAL_ACCOUNT} {_REGISTERED_ONLY} ELSE 'left out by TikTok' END
    WHERE a.store_code IS NOT NULL
) AS absent
WHERE cardinality(absent.fields) > 0
UNION ALL
SELECT kind.store_code, NULL, kind.snapshot_date, 'account_audience', {_missing("kind", _AUDIENCE)},
    CASE {_not_granted("user.insights")} {_FEW_FOLLOWERS} ELSE 'left out by TikTok' END
FROM account_audience AS kind
JOIN business_tokens AS t ON t.store_code = kind.store_code
WHERE {" OR ".join(f"kind.{name} IS NULL" for name in _AUDIENCE)}
UNION ALL
SELECT v.store_code, v.video_id, v.snapshot_date, 'video_insights_daily', absent.fields,
    absent.reason
FROM video_insights_daily AS v
LEFT JOIN business_tokens AS t ON t.store_code = v.store_code
{_KIND.format(of="v")}
CROSS JOIN LATERAL (
    SELECT v.fetched_at - v.create_time AS age
) AS post
CROSS JOIN LATERAL (
    SELECT ARRAY['reach'] AS fields, CASE
        {_not_granted("video.list")}
        WHEN post.age < interval '3 days' THEN 'too fresh: figures come after 24 to 48 hours'
        WHEN post.age > interval '365 days' THEN 'no longer updated 365 days after posting'
        WHEN post.age > interval '7 days' THEN 'quiet for more than 7 days'
        ELSE 'left out by TikTok' END AS reason
    WHERE v.reach IS NULL
    UNION ALL
    SELECT {_missing("v", _KNOWN[1:])}, CASE
        {_not_granted("video.insights")}
        WHEN v.media_type = 'PHOTO' THEN 'a photo or text post has no watch time'
        WHEN post.age < interval '3 days' THEN 'too fresh: figures come after 24 to 48 hours'
        WHEN post.age > interval '365 days' THEN 'no longer updated 365 days after posting'
        WHEN post.age > interval '7 days' THEN 'quiet for more than 7 days'
        ELSE 'left out by TikTok' END
    UNION ALL
    SELECT {_missing("v", ("favorites", "profile_views"))}, CASE
        {_PERSONAL_ACCOUNT}
        WHEN post.age < interval '3 days' THEN 'too fresh: figures come after 24 to 48 hours'
        ELSE 'left out by TikTok' END
    UNION ALL
    SELECT {_missing("v", _POST_COUNTS[8:])}, CASE
        {_PERSONAL_ACCOUNT} {_REGISTERED_ONLY} ELSE 'left out by TikTok' END
    UNION ALL
    SELECT {_missing("v", ("video_views", "likes", "comments", "shares", "new_followers"))}, CASE
        WHEN post.age < interval '3 days' THEN 'too fresh: figures come after 24 to 48 hours'
        ELSE 'left out by TikTok' END
) AS absent
WHERE cardinality(absent.fields) > 0
"""

_STORE = {"store_code": "Which store", "store_name": "Its name", "region": "Its region"}
_LEFT_OUT = "NULL = TikTok left it out; insights_absent says why where it is known"
_FETCHED = "When TikTok answered"
_CLICKS = {
    "phone_number_clicks": "Taps on the phone number",
    "lead_submissions": "Lead forms sent",
    "app_download_clicks": "Taps on the app link",
    "email_clicks": "Taps on the e-mail address",
    "address_clicks": "Taps on the address",
}
_DAY_COMMENTS = {
    "video_views": "Views of that day, paid and organic together",
    "profile_views": "Visits to the profile",
    "likes": "Likes given; likes taken back are not subtracted",
    "comments": "Comments; below 0 if more were deleted than written",
    "shares": "Shares",
    "followers_count": "As TikTok gives it: by its field table the followers on that day, by its"
    " latency page those gained; compare it with the total in account_audience",
    "unique_video_views": "People who watched at least one video; business accounts only",
    "engaged_audience": "People who liked, commented or shared; business accounts only",
    "daily_total_followers": "Followers gained minus lost (despite its name); business accounts"
    " only",
    "daily_new_followers": "Followers gained; business accounts only",
    "daily_lost_followers": "Followers lost; business accounts only",
    **{name: f"{text}; registered business accounts only" for name, text in _CLICKS.items()},
    "bio_link_clicks": "Taps on the link in the profile; registered business accounts only",
    "audience_activity": "Followers active in each hour: list of {hour (UTC, 0 to 23), count}",
    "is_final": "Fetched when the day was at least 7 days old: it no longer changes",
    "fetched_at": _FETCHED,
}
_POST_COMMENTS = {
    "create_time": "When it was posted",
    "media_type": "VIDEO or PHOTO (a photo or a text)",
    "is_ad": "Whether it is used in an ad",
    "video_views": "Views in all, paid and organic together",
    "likes": "Likes in all",
    "comments": "Comments in all",
    "shares": "Shares in all, messages to friends included",
    "favorites": "How often it was saved; business accounts only",
    "reach": "People who saw it; TikTok leaves it out after 7 quiet days",
    "new_followers": "Followers gained through it",
    "profile_views": "Visits to the profile from it; business accounts only",
    **{name: f"{text}; registered business accounts only" for name, text in _CLICKS.items()},
    "website_clicks": "Taps on the website; registered business accounts only",
    "video_duration": "Seconds",
    "total_time_watched": "Seconds watched by all viewers; left out after 7 quiet days",
    "average_time_watched": "Seconds watched on average; left out after 7 quiet days",
    "full_video_watched_rate": "Share of viewers (0 to 1) who watched to the end; left out after 7"
    " quiet days",
    "impression_sources": "Where viewers came from: list of {impression_source, percentage}",
    "audience_countries": "Viewers by country: list of {country, percentage}, at most 10",
    "audience_cities": "Viewers by city: list of {city_name, percentage}, at most 10",
    "audience_genders": "Viewers by gender: list of {gender, percentage}",
    "audience_types": "New and returning viewers, followers and others: list of {type,"
    " percentage}; two pairs",
    "video_view_retention": "Viewers left at each second: list of {second, percentage}",
    "engagement_likes": "Likes by second of the video: list of {second, percentage}",
    "fetched_at": _FETCHED,
}
_COMMENTS: dict[str, dict[str, str]] = {
    "TABLE account_daily": {
        "": "Each account's figures by day, from TikTok's Accounts API. A day that TikTok does not"
        f" give has no row. A figure never gives way to an absence; {_LEFT_OUT}",
        "store_code": "Which store",
        "metric_date": "The day in UTC that the figures are of",
        **_DAY_COMMENTS,
    },
    "TABLE account_audience": {
        "": f"Each account's totals and audience, one row per store and day read; {_LEFT_OUT}",
        "store_code": "Which store",
        "snapshot_date": "The day it was read, in SYNC_TIMEZONE",
        "is_business_account": "Whether it is a business account; decides which figures there are",
        "followers_count": "Followers",
        "following_count": "Accounts followed",
        "total_likes": "Likes of all videos together",
        "videos_count": "Public videos",
        "audience_ages": "Followers by age: list of {age, percentage}; from 100 followers on",
        "audience_genders": "Followers by gender: list of {gender, percentage}; from 100 on",
        "audience_countries": "Followers by country: list of {country, percentage}; from 100 on",
        "audience_cities": "Followers by city: list of {city_name, percentage}; from 100 on",
        "fetched_at": _FETCHED,
    },
    "TABLE video_insights_daily": {
        "": "Each post's figures since it was posted, one row per day read, from TikTok's Accounts"
        " API, partitioned by month. Posts that are shown only in ads are here too. Lists are"
        f" merged and stand in a post's newest row and in those of day 7, 28 and 365; {_LEFT_OUT}",
        "store_code": "Whose post",
        "video_id": "TikTok's id of the post (item_id), the same as in videos",
        "snapshot_date": "The day it was read, in SYNC_TIMEZONE",
        **_POST_COMMENTS,
        "lists_kept_for": "7, 28 or 365: the first reading from that age in days on, so its lists"
        " are kept; NULL = they go when a newer row comes",
    },
    "TABLE benchmarks": {
        "": "Averages of all business accounts of a category, once a day for the chain"
        " (TIKTOK_BUSINESS_CATEGORY). Means with a heavy tail: no targets",
        "snapshot_date": "The day they were read, in SYNC_TIMEZONE",
        "business_category": "The category, as in TIKTOK_BUSINESS_CATEGORY",
        "average_likes": "Likes",
        "average_comments": "Comments",
        "average_shares": "Shares",
        "average_video_count": "Videos",
        "average_follower_count": "Followers",
        "average_follower_growth": "Followers gained in the last 30 days",
        "average_engagement_rate": "Engagement rate; TikTok does not say how it is computed",
        "average_video_views": "Views",
        "asked_at": "When a store of the run began to ask; another one asks 10 minutes later",
        "fetched_at": f"{_FETCHED}; NULL = not yet",
    },
    "TABLE insight_listings": {
        "": "Listings of posts that were cut off: a retry in the same run continues",
        "store_code": "Whose posts",
        "run_id": "The run that was cut off; another run starts from the newest post",
        "snapshot_date": "The day the figures stand for",
        "next_cursor": "Where the next page starts (Unix milliseconds)",
        "pages": "Pages written",
        "posts": "Posts on them",
        "updated_at": "When the last of them was written",
    },
    "VIEW account_history_daily": {
        "": "Both sources of an account's figures side by side, by store and day, never mixed."
        " Totals as observed (Display API) and what happened on that day (Accounts API). The first"
        " counts days in SYNC_TIMEZONE, the second in UTC. Figures observed late are left out",
        **_STORE,
        "day": "The day; filter on it",
        "follower_count": "Display API: followers in all",
        "following_count": "Display API: accounts followed",
        "likes_count": "Display API: likes of all videos together",
        "video_count": "Display API: public videos",
        **{name: f"Accounts API: {text}" for name, text in _DAY_COMMENTS.items()},
    },
    "VIEW video_performance": {
        "": "Each video's counters of a day (Display API) next to its reach, watch time, completion"
        " and traffic sources (Accounts API), never mixed. A post that only ads show has no"
        " counters. Rows observed late are left out",
        **_STORE,
        "video_id": "Which video or post",
        "snapshot_date": "The day; filter on it",
        "on_profile": "Whether the Display API has shown it; false = shown only in ads, or not yet"
        " listed; NULL = unknown, the store's videos are not read there",
        "view_count": "Display API: views in all",
        "like_count": "Display API: likes in all",
        "comment_count": "Display API: comments in all",
        "share_count": "Display API: shares in all",
        **{name: f"Accounts API: {_POST_COMMENTS[name]}" for name in _SHOWN},
        **{f"last_{name}": f"The newest known {name} up to that day" for name in _KNOWN},
        "last_known_on": "The day of these newest known figures; NULL = none is known",
    },
    "VIEW insights_absent": {
        "": "Which figures of the Accounts API are absent, and why where it is known. Filter on"
        " store_code or day. Account days are those of the last 60",
        "store_code": "Which store",
        "video_id": "Which post; NULL = the account",
        "day": "Its metric_date or snapshot_date",
        "table_name": "The table whose figures are absent",
        "fields": "The columns that are NULL; * = the whole row is absent",
        "reason": "Why, as far as it can be known",
    },
}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def upgrade() -> None:
    """Create them."""
    bind = op.get_bind()
    for statements in (_TABLES, _PARTITIONS, _ACCOUNT_HISTORY, _VIDEO_PERFORMANCE, _ABSENT):
        op.execute(statements)
    op.execute("REVOKE ALL ON FUNCTION ensure_video_insights_partitions(date, integer) FROM PUBLIC")
    for target, columns in _COMMENTS.items():
        kind, name = target.split()
        for column, comment in columns.items():
            what = f"COLUMN {name}.{column}" if column else f"{kind} {name}"
            bind.exec_driver_sql(f"COMMENT ON {what} IS {_quoted(comment)}")


def downgrade() -> None:
    """Drop them; what the Accounts API gave is lost, beyond 60 days for good."""
    op.execute("DROP VIEW insights_absent, video_performance, account_history_daily")
    op.execute(
        "DROP TABLE insight_listings, benchmarks, video_insights_daily, account_audience,"
        " account_daily"
    )
    op.execute("DROP FUNCTION ensure_video_insights_partitions")
