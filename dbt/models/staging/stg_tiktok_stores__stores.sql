select
    store_code,
    {{ personal('store_name') }} as store_name,
    region,
    is_active,
    state,
    last_user_date as last_account_day,
    last_video_date as last_video_day
from {{ source('tiktok_stores', 'sync_freshness') }}
