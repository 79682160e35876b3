"""A store with rows in every table."""

from __future__ import annotations

from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from tests.database.bench import Bench


def fill(bench: Bench, code: str) -> None:
    """At least a row of the store in every table, as syncs and alerts leave them."""
    bench.sync(USER_JOB, code)
    bench.sync(VIDEO_JOB, code)
    bench.conn.execute(
        "INSERT INTO video_listings VALUES (%s, 'r', '2026-01-01', now(), '{}', 1, now())", [code]
    )
    bench.conn.execute(
        "INSERT INTO alerts (kind, job_name, run_id, store_code, message)"
        " VALUES ('needs_consent', 'j', 'r', %s, 'm')",
        [code],
    )
    bench.conn.execute("INSERT INTO backfill_readings VALUES ('j', %s, 'r')", [code])
    bench.conn.execute(
        "INSERT INTO business_tokens (store_code, open_id, scope, access_token, refresh_token,"
        " status) VALUES (%s, %s, 's', '', '', 'needs_consent')",
        [code, f"b-{code}"],
    )
    bench.conn.execute(
        "INSERT INTO account_daily (store_code, metric_date, fetched_at)"
        " VALUES (%s, '2026-01-01', now())",
        [code],
    )
    bench.conn.execute(
        "INSERT INTO account_audience (store_code, snapshot_date, fetched_at)"
        " VALUES (%s, '2026-01-01', now())",
        [code],
    )
    bench.conn.execute("SELECT ensure_video_insights_partitions('2026-01-01', 0)")
    bench.conn.execute(
        "INSERT INTO video_insights_daily (store_code, video_id, snapshot_date, fetched_at)"
        " VALUES (%s, 'v', '2026-01-01', now())",
        [code],
    )
    bench.conn.execute(
        "INSERT INTO insight_listings VALUES (%s, 'r', '2026-01-01', 1, 1, 1, now())", [code]
    )
    link, state, event = (f"{what} of {code}".encode() for what in ("link", "state", "event"))
    bench.conn.execute(
        "INSERT INTO connect_links (link_hash, store_code, created_by, expires_at)"
        " VALUES (%s, %s, 'anna', now())",
        [link, code],
    )
    bench.conn.execute(
        "INSERT INTO connect_attempts (link_hash, store_code, state_hash, browser_hash, expires_at)"
        " VALUES (%s, %s, %s, '', now())",
        [link, code, state],
    )
    bench.conn.execute(
        "INSERT INTO webhook_events (event_hash, event, open_id, store_code, happened_at, effect)"
        " VALUES (%s, 'e', 'o', %s, now(), 'ignored')",
        [event, code],
    )
