select
    video_id,
    snapshot_date as date_day,
    store_code,
    {{ personal('title') }} as title,
    create_time as created_at,
    view_count,
    view_gain,
    like_count,
    like_gain,
    comment_count,
    comment_gain,
    share_count,
    share_gain,
    previous_date,
    days_since_previous,
    removed_at,
    observed_at,
    {{ is_late() }} as is_late
from {{ daily_source('video_gains_daily') }}
-- Keeps the other months from being read. One day more, to see which videos are new on the first.
where snapshot_date >= current_date - {{ var('tiktok_stores_days') }} - 1
