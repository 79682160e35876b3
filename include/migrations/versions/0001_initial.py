"""Stores, tokens, daily figures, the sync log and the shared rate limit."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE stores (
    store_code text PRIMARY KEY CHECK (store_code <> ''),
    store_name text NOT NULL,
    region text,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE store_tokens (
    store_code text PRIMARY KEY REFERENCES stores ON DELETE CASCADE,
    open_id text NOT NULL,
    scope text NOT NULL,
    access_token bytea NOT NULL,
    refresh_token bytea NOT NULL,
    access_expires_at timestamptz,
    refresh_expires_at timestamptz,
    status text NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'needs_consent', 'missing_scope')),
    status_reason text,
    status_since timestamptz NOT NULL DEFAULT now(),
    refreshed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX store_tokens_open_id ON store_tokens (open_id);
CREATE INDEX store_tokens_refresh_expires_at ON store_tokens (refresh_expires_at);

CREATE TABLE user_daily_stats (
    store_code text NOT NULL REFERENCES stores ON DELETE CASCADE,
    snapshot_date date NOT NULL,
    follower_count bigint,
    following_count bigint,
    likes_count bigint,
    video_count bigint,
    display_name text,
    username text,
    bio_description text,
    profile_deep_link text,
    avatar_url text,
    is_verified boolean,
    union_id text,
    extra jsonb NOT NULL DEFAULT '{}',
    observed_at timestamptz NOT NULL,
    PRIMARY KEY (store_code, snapshot_date)
);
CREATE INDEX user_daily_stats_snapshot_date ON user_daily_stats (snapshot_date);

CREATE TABLE videos (
    video_id text PRIMARY KEY CHECK (video_id <> ''),
    store_code text NOT NULL REFERENCES stores ON DELETE CASCADE,
    title text,
    video_description text,
    create_time timestamptz,
    duration bigint,
    share_url text,
    cover_image_url text,
    embed_link text,
    height bigint,
    width bigint,
    extra jsonb NOT NULL DEFAULT '{}',
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    removed_at timestamptz
);
CREATE INDEX videos_store_code ON videos (store_code, create_time DESC);

CREATE TABLE video_daily_stats (
    video_id text NOT NULL REFERENCES videos ON DELETE CASCADE,
    snapshot_date date NOT NULL,
    store_code text NOT NULL REFERENCES stores ON DELETE CASCADE,
    view_count bigint,
    like_count bigint,
    comment_count bigint,
    share_count bigint,
    observed_at timestamptz NOT NULL,
    PRIMARY KEY (video_id, snapshot_date)
) PARTITION BY RANGE (snapshot_date);
CREATE INDEX video_daily_stats_store_code ON video_daily_stats (store_code, snapshot_date);

CREATE TABLE sync_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_name text NOT NULL,
    store_code text REFERENCES stores ON DELETE CASCADE,
    status text NOT NULL CHECK (
        status IN ('success', 'failed', 'skipped')
        OR (store_code IS NULL AND status = 'partial')),
    message text NOT NULL,
    duration_ms bigint,
    run_time timestamptz NOT NULL DEFAULT now(),
    run_id text NOT NULL,
    snapshot_date date NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    details jsonb NOT NULL DEFAULT '{}',
    UNIQUE NULLS NOT DISTINCT (job_name, run_id, store_code)
);
CREATE INDEX sync_logs_summaries ON sync_logs (run_time DESC) WHERE store_code IS NULL;
CREATE INDEX sync_logs_store_code ON sync_logs (store_code, run_time DESC);

CREATE TABLE rate_limits (
    endpoint text PRIMARY KEY,
    grants bigint NOT NULL,
    paused_until timestamptz,
    refusals bigint NOT NULL DEFAULT 0
);

CREATE TABLE rate_limit_grants (
    endpoint text NOT NULL,
    place bigint NOT NULL,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (endpoint, place)
) WITH (fillfactor = 50);
"""

# Months are made ahead and on demand: a night must not fail for want of a partition, and a
# backfilled day lies in the past. ATTACH, unlike CREATE … PARTITION OF, lets others go on writing,
# and taking the referenced tables first keeps it from a deadlock with them. The lock also keeps
# two runs from making the same partition.
_PARTITIONS = """
CREATE FUNCTION ensure_video_daily_stats_partitions(first_day date, months integer DEFAULT 3)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    month date;
    partition text;
    made integer := 0;
BEGIN
    FOR i IN 0 .. months LOOP
        month := date_trunc('month', first_day)::date + make_interval(months => i);
        partition := format('video_daily_stats_%s', to_char(month, 'YYYY_MM'));
        IF to_regclass(partition) IS NULL THEN
            LOCK TABLE stores, videos IN SHARE ROW EXCLUSIVE MODE;
            IF to_regclass(partition) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE %I (LIKE video_daily_stats INCLUDING ALL)', partition);
                EXECUTE format(
                    'ALTER TABLE video_daily_stats ATTACH PARTITION %I'
                    ' FOR VALUES FROM (%L) TO (%L)',
                    partition, month, (month + interval '1 month')::date);
                EXECUTE format(
                    'COMMENT ON TABLE %I IS %L', partition,
                    'Rows of video_daily_stats of ' || to_char(month, 'YYYY-MM'));
                made := made + 1;
            END IF;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ensure_video_daily_stats_partitions IS
    'Creates the monthly partitions of video_daily_stats from the month of first_day on, as many'
    ' months ahead as asked; returns how many were missing.';
"""

_COMMENTS: dict[str, dict[str, str]] = {
    "stores": {
        "": "The retailer's stores, each with a TikTok account of its own",
        "store_code": "The retailer's own code of the store; never TikTok's id",
        "store_name": "Name for people",
        "region": "The retailer's region, free text",
        "is_active": "Whether the nightly syncs include the store",
        "created_at": "When the store was put in",
        "updated_at": "When this row was last changed",
    },
    "store_tokens": {
        "": "What a store's manager granted; tokens are ciphertext, always",
        "store_code": "Whose grant",
        "open_id": "TikTok's id of the account for our app; changes with the app's client key",
        "scope": "Granted scopes, comma-separated, as of the last token answer",
        "access_token": "Access token, Fernet ciphertext bound to the store",
        "refresh_token": "Refresh token, Fernet ciphertext bound to the store; rotates",
        "access_expires_at": "End of the access token; NULL = unknown, refreshed before use",
        "refresh_expires_at": "End of the refresh token; after it only a new consent helps",
        "status": "active, needs_consent (grant dead) or missing_scope (partly granted)",
        "status_reason": "Why the status is not active",
        "status_since": "Since when the status holds",
        "refreshed_at": "Last successful refresh",
        "created_at": "When the grant was first put in",
        "updated_at": "When this row was last changed",
    },
    "user_daily_stats": {
        "": "Each store's profile figures, one row a day; NULL = TikTok left it out",
        "store_code": "Which store",
        "snapshot_date": "The day the figures stand for, in the sync's time zone",
        "follower_count": "Followers",
        "following_count": "Accounts followed",
        "likes_count": "Likes of all videos together",
        "video_count": "Public videos",
        "display_name": "Name shown on the profile",
        "username": "Handle",
        "bio_description": "Profile text; empty when unset",
        "profile_deep_link": "Short link to the profile",
        "avatar_url": "Signed image link, ends after about two days; never a sign of change",
        "is_verified": "Whether TikTok verified the account",
        "union_id": "TikTok's id of the account for all apps of one developer",
        "extra": "Fields of the answer that have no column here",
        "observed_at": "When TikTok answered; after snapshot_date the row is late",
    },
    "videos": {
        "": "Every video ever seen, one row each, as last seen",
        "video_id": "TikTok's id: 19 digits, text",
        "store_code": "Whose video",
        "title": "Title",
        "video_description": "Caption",
        "create_time": "When it was posted",
        "duration": "Seconds",
        "share_url": "Link to the video",
        "cover_image_url": "Signed image link, ends after six hours; never a sign of change",
        "embed_link": "Link for embedding",
        "height": "Pixels",
        "width": "Pixels",
        "extra": "Fields of the answer that have no column here",
        "first_seen_at": "First observation",
        "last_seen_at": "Latest observation",
        "removed_at": "When it was found gone (deleted or private); NULL while it is public",
    },
    "video_daily_stats": {
        "": "Each video's counters, one row a day, partitioned by month; NULL = left out",
        "video_id": "Which video",
        "snapshot_date": "The day the figures stand for, in the sync's time zone",
        "store_code": "Whose video",
        "view_count": "Views in all; may fall",
        "like_count": "Likes in all; may fall",
        "comment_count": "Comments in all; may fall",
        "share_count": "Shares in all; may fall",
        "observed_at": "When TikTok answered; after snapshot_date the row is late",
    },
    "sync_logs": {
        "": "What came of each run (store_code NULL) and of each store in it",
        "id": "Number of the row",
        "job_name": "The Dag id",
        "store_code": "Which store; NULL = the run's summary",
        "status": "success, failed, skipped; for a summary also partial",
        "message": "One line for a person: what came of it, or the cause and the next step",
        "duration_ms": "Milliseconds",
        "run_time": "When the row was written",
        "run_id": "Airflow's run id",
        "snapshot_date": "The day the run's figures stand for",
        "attempts": "How often the store was tried in this run",
        "details": "Counts, costs, kind of failure, TikTok's log_id",
    },
    "rate_limits": {
        "": "The shared rate limit, one row an endpoint",
        "endpoint": "Path of the endpoint",
        "grants": "Calls granted since ever; the next place in the ring follows from it",
        "paused_until": "No call before this time, after a 429",
        "refusals": "429 answers since ever",
    },
    "rate_limit_grants": {
        "": "The last grants of each endpoint: a ring as large as the limit",
        "endpoint": "Path of the endpoint",
        "place": "Place in the ring",
        "granted_at": "When the call may go; a minute later the place is free again",
    },
    "alembic_version": {
        "": "The schema's version",
        "version_num": "Name of the newest migration applied",
    },
}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def upgrade() -> None:
    """Create everything."""
    op.execute(_TABLES)
    op.execute(_PARTITIONS)
    for table, columns in _COMMENTS.items():
        for column, comment in columns.items():
            target = f"COLUMN {table}.{column}" if column else f"TABLE {table}"
            op.execute(f"COMMENT ON {target} IS {_quoted(comment)}")


def downgrade() -> None:
    """Drop everything: the first migration has nothing before it."""
    op.execute(
        "DROP TABLE rate_limit_grants, rate_limits, sync_logs, video_daily_stats, videos,"
        " user_daily_stats, store_tokens, stores"
    )
    op.execute("DROP FUNCTION ensure_video_daily_stats_partitions")
