select
    store_code,
    snapshot_date as date_day,
    follower_count,
    follower_gain,
    following_count,
    likes_count,
    likes_gain,
    video_count,
    days_since_previous,
    observed_at,
    {{ is_late() }} as is_late
from {{ daily_source('account_growth_daily') }}
where snapshot_date >= current_date - {{ var('tiktok_stores_days') }}
