select
    '{{ target.database }}.{{ var("tiktok_stores_schema") }}'::text as source_relation,
    gains.date_day,
    'tiktok'::text as platform,
    gains.store_code as page_id,
    stores.store_name as page_name,
    stores.region,
    gains.video_id as post_id,
    gains.title as post_message,
    {{ personal("'https://www.tiktok.com/player/v1/' || gains.video_id") }} as post_url,
    gains.created_at as created_timestamp,
    -- TikTok does not count clicks.
    cast(null as bigint) as clicks,
    case when gains.is_new then gains.view_count else gains.view_gain end as impressions,
    case when gains.is_new then gains.like_count else gains.like_gain end as likes,
    case when gains.is_new then gains.comment_count else gains.comment_gain end as comments,
    case when gains.is_new then gains.share_count else gains.share_gain end as shares,
    gains.view_count as impressions_total,
    gains.like_count as likes_total,
    gains.comment_count as comments_total,
    gains.share_count as shares_total,
    gains.days_since_previous,
    gains.is_new,
    gains.is_late,
    gains.removed_at as removed_timestamp,
    gains.observed_at
from {{ ref('int_tiktok_stores__video_gains') }} as gains
left join {{ ref('stg_tiktok_stores__stores') }} as stores on gains.store_code = stores.store_code
