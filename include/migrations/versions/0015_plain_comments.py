"""The comments of tables, views, columns and functions in plain English; nothing else changes."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

_VIEWS = {
    "VIEW living_grants": (
        "The grants that still work, of stores that have not left, with the days until each ends;"
        " never a token. A grant ends soon if days_left is below the chosen number of days"
    ),
    "COLUMN living_grants.days_left": (
        "Days until then; negative = it has ended, but no refresh has found that out yet"
    ),
    "COLUMN sync_freshness.last_user_date": "Newest day with profile figures observed on time",
    "COLUMN sync_freshness.last_video_date": "Newest day with a video''s figures observed on time",
    "COLUMN sync_freshness.user_days_missing_30d": (
        "Days without profile figures observed on time, of the 30 before today, counted from the"
        " day the store was first connected"
    ),
    "COLUMN sync_freshness.video_days_missing_30d": (
        "Days on which its videos were not read on time, counted in the same way"
    ),
    "COLUMN sync_freshness.token_status_since": "Since when token_status has been so",
    "COLUMN sync_freshness.refresh_expires_at": (
        "End of the grant: the account must be connected again before then"
    ),
    "COLUMN store_leaderboard.snapshot_date": (
        "The day of the latest figures; a store more than 3 days behind the newest figures of any"
        " store counts as silent"
    ),
    **{
        f"COLUMN store_leaderboard.{figure}_gain_{days}d": (
            f"{name} over {days} days; NULL if neither that day nor the 3 days before it have a"
            " row, or if the store is silent"
        )
        for figure, name in (
            ("follower", "Followers gained or lost"),
            ("likes", "Likes gained or lost"),
            ("video", "Change in the number of public videos"),
        )
        for days in (7, 30)
    },
    **{
        f"COLUMN {view}.{column}": comment
        for view in ("account_growth_daily", "account_growth_daily_with_late")
        for column, comment in {
            "likes_count": "Total likes of all videos",
            "video_gain": (
                "Change in the number of public videos since the previous observed day; NULL ="
                " unknown on either side"
            ),
        }.items()
    },
    **{
        f"COLUMN {view}.{figure}_count": f"{figure.capitalize()}s in total"
        for view in ("video_gains_daily", "video_gains_daily_with_late")
        for figure in ("view", "like", "comment", "share")
    },
    **{
        f"COLUMN {view}.snapshot_date": (
            "The day the figures stand for; filter on it in the WHERE clause, so that other months"
            " are not read"
        )
        for view in ("video_gains_daily", "video_gains_daily_with_late")
    },
}

_ALERTS = {
    "TABLE alerts": "Alerts that were raised, sent or not: one row per kind, run and store",
    "COLUMN alerts.run_id": "The run that raised the alert",
    "COLUMN alerts.raised_at": "When the alert was raised",
    "COLUMN alerts.notified_at": "When a channel accepted the alert; NULL = not sent",
    "COLUMN alerts.notify_error": (
        "Why no channel accepted it, or that none is configured; NULL = sent, or not tried yet"
    ),
    "COLUMN alerts.details": "Figures, and the stores concerned",
    "COLUMN alerts.subject": (
        "Keeps the alert from being raised again for the store in any run: since when its grant is"
        " dead or incomplete, or the month in which it ends and which warning this is; NULL = once"
        " per run"
    ),
}

_CONNECT = {
    "TABLE connect_attempts": "Every attempt to connect a store at TikTok, and its outcome",
    "COLUMN connect_attempts.attempt_id": "Part of the address of the pages after TikTok",
    "COLUMN connect_attempts.expires_at": "When it can no longer be completed",
    "COLUMN connect_attempts.finished_at": "When the outcome was decided",
    "COLUMN connect_attempts.username": "Its username, if TikTok sent it",
    "COLUMN connect_attempts.display_name": "Its display name, if TikTok sent it",
    "COLUMN connect_attempts.access_token": (
        "Ciphertext; kept only until the manager answers or the attempt expires"
    ),
    "COLUMN connect_attempts.refresh_token": "Ciphertext; kept as long as the access token",
    "COLUMN connect_attempts.app_fingerprint": (
        "Which TikTok app the tokens belong to, as in store_tokens"
    ),
    "COLUMN connect_links.expires_at": "When it stops working",
    "COLUMN connect_links.used_at": (
        "When it connected the store and so was used up; NULL = not yet"
    ),
    "COLUMN connect_links.revoked_at": (
        "When a newer link replaced it, or the store was paused or left; NULL = neither"
    ),
    "TABLE webhook_events": "Webhook events received from TikTok, one row per event",
    "COLUMN webhook_events.event_hash": "SHA-256 of the fields that identify the event",
    "COLUMN webhook_events.received_at": "When it was first received",
    "COLUMN webhook_events.deliveries": "How many times it was received",
    "COLUMN webhook_events.reason": "TikTok''s code for the reason; NULL = none given",
    "FUNCTION connect_return": (
        "The browser has returned from TikTok: use its state up, or find the attempt that used it"
    ),
    "FUNCTION connect_known_account": "The account that was last seen for a store",
    "FUNCTION connect_verdict": (
        "How an account relates to a store: same (its own), taken (another store''s), replaces or"
        " first"
    ),
    "FUNCTION connect_attempt": "One attempt, for the browser that began it",
    "FUNCTION connect_hold": "Keep the new tokens until the manager answers",
    "FUNCTION connect_close": (
        "End an attempt without a connection; returns its access token for revocation"
    ),
    "FUNCTION connect_sweep": "End expired attempts and delete their tokens",
    "FUNCTION connect_confirm": "Connect the store with the tokens that were kept",
    "FUNCTION connect_webhook": (
        "Record an event of TikTok once, and mark the store if the event ends its grant"
    ),
}

_SYNC = {
    "TABLE sync_logs": "The result of each run (store_code NULL) and of each store in it",
    "COLUMN sync_logs.message": "One line for a person: the result, or the cause and the next step",
    "COLUMN sync_logs.duration_ms": "How long it took, in milliseconds",
    "COLUMN sync_logs.attempts": "How many times the store was tried in this run",
    "TABLE backfill_readings": (
        "Which run of a backfill may ask TikTok for a store, so that all its days share one reading"
    ),
    "COLUMN backfill_readings.run_id": "The run that read it last, or is reading it now",
    "COLUMN backfill_readings.claimed_until": (
        "No other run reads the store until then; NULL = no run is reading it"
    ),
    "COLUMN backfill_readings.observed_day": (
        "The day of the last complete reading; its rows are copied to the missed days"
    ),
    "TABLE rate_limit_grants": (
        "The most recent grants of each endpoint: a ring with as many places as the limit"
    ),
    "COLUMN rate_limit_grants.granted_at": (
        "When the call may be sent; a minute later the place is free again. If it is further ahead"
        " than wait, the clock was ahead, and the call is sent within wait from now"
    ),
    "COLUMN rate_limit_grants.wait": (
        "How far ahead granted_at was at the time of the grant, because of a queue or a pause"
    ),
    "TABLE rate_limits": "The shared rate limit, one row per endpoint",
    "COLUMN rate_limits.grants": "Places given in total, including those left unused after a pause",
    "COLUMN rate_limits.paused_until": "After a 429: no call is sent before this time",
    "COLUMN rate_limits.refusals": "429 answers in total",
    "TABLE video_listings": (
        "Listings of videos that were interrupted: a retry in the same run continues them"
    ),
    "COLUMN video_listings.run_id": "The interrupted run; another run starts from the beginning",
    "COLUMN video_listings.started_at": (
        "When the listing began; videos seen since then count as listed"
    ),
    "COLUMN video_listings.edges": (
        "Where each page after the first starts (Unix milliseconds); the last is the next to read"
    ),
    "COLUMN video_listings.pages": "Pages written so far",
    "COLUMN video_listings.updated_at": "When the last of them was written",
}

_STORES = {
    "TABLE stores": "The retailer''s stores, each with its own TikTok account",
    "COLUMN stores.store_code": "The retailer''s own code for the store; never TikTok''s id",
    "COLUMN stores.created_at": "When the store was added",
    "COLUMN stores.paused_at": "When an operator paused the store; NULL = not paused",
    "COLUMN stores.paused_reason": "Why it was paused, in the operator''s words",
    "COLUMN stores.removed_at": (
        "When the store left: its access is revoked at TikTok, its history is kept until it is"
        " erased; NULL = it has not left"
    ),
    "TABLE store_audit": (
        "Who did what to a store, and when; never the data. It has no foreign key, because it"
        " outlives the store"
    ),
    "COLUMN store_audit.store_code": "The store; it may have been erased since",
    "COLUMN store_audit.actor": "Who did it: user and host of the command, or the name given",
    "COLUMN store_audit.happened_at": "When it happened",
    "TABLE store_tokens": "The grant of each store''s manager; tokens are always ciphertext",
    "COLUMN store_tokens.refresh_token": (
        "Refresh token, Fernet ciphertext bound to the store; replaced by every refresh"
    ),
    "COLUMN store_tokens.access_expires_at": (
        "End of the access token; NULL = unknown, so it is refreshed before use"
    ),
    "COLUMN store_tokens.refresh_expires_at": (
        "End of the refresh token; after it the manager must connect the account again"
    ),
    "COLUMN store_tokens.status_since": "Since when the status has been so",
    "COLUMN store_tokens.created_at": "When the store''s first grant was stored",
    "COLUMN store_tokens.refresh_started_at": (
        "Start of a refresh whose answer is not stored yet; if it is left over, that refresh was"
        " interrupted"
    ),
    "COLUMN store_tokens.app_fingerprint": (
        "Which TikTok app the grant belongs to: the first 12 hex digits of the SHA-256 of its"
        " client key; NULL = not known yet, the next successful refresh sets it"
    ),
    "COLUMN store_tokens.refresh_claim": (
        "The refresh in progress, so that no other process sends one; NULL = none"
    ),
    "COLUMN store_tokens.refresh_claimed_until": (
        "When that claim expires by itself if its process dies; NULL = no refresh is in progress"
    ),
    "COLUMN store_tokens.refresh_run": (
        "Dag id and run id in which TikTok last answered a refresh; NULL = outside a run"
    ),
    "COLUMN store_tokens.refresh_refused": (
        "Whether that answer was invalid_grant without an explanation; too many of them at once are"
        " not believed"
    ),
    "FUNCTION held_accounts": (
        "Which store holds which TikTok account, for every store that has not left"
    ),
    "FUNCTION lock_accounts": (
        "Keep accounts from changing hands until the transaction ends; call it before locking rows"
    ),
    "FUNCTION refuse_second_holder": "Trigger: refuse an account that another store holds",
}

_FIGURES = {
    "COLUMN user_daily_stats.likes_count": "Total likes of all videos",
    "COLUMN user_daily_stats.avatar_url": (
        "Signed image link, valid for about two days; a new link does not mean a new image"
    ),
    **{
        f"COLUMN {table}.observed_at": "When TikTok answered; after snapshot_date the row is late"
        for table in ("user_daily_stats", "video_daily_stats")
    },
    "TABLE user_daily_stats": (
        "Each store''s profile figures, one row per day; NULL = TikTok left it out"
    ),
    "TABLE video_daily_stats": (
        "Each video''s counters, one row per day, partitioned by month; NULL = TikTok left it out"
    ),
    **{
        f"COLUMN video_daily_stats.{figure}_count": f"{figure.capitalize()}s in total; may fall"
        for figure in ("view", "like", "comment", "share")
    },
    "TABLE videos": "Every video ever seen, one row each, with its latest known details",
    "COLUMN videos.cover_image_url": (
        "Signed image link, valid for six hours; a new link does not mean a new image"
    ),
    "FUNCTION ensure_video_daily_stats_partitions": (
        "Creates the missing monthly partitions of video_daily_stats, from the month of first_day"
        " for the given number of months ahead; returns how many were missing"
    ),
}

_COMMENTS = {**_VIEWS, **_ALERTS, **_CONNECT, **_SYNC, **_STORES, **_FIGURES}


def upgrade() -> None:
    """Set the comments."""
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Nothing to undo: the new comments describe the same schema."""
