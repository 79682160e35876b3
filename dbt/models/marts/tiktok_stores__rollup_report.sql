select distinct on (post_id)
    source_relation,
    platform,
    page_id,
    page_name,
    post_id,
    post_message,
    post_url,
    created_timestamp,
    clicks,
    impressions_total as impressions,
    likes_total as likes,
    comments_total as comments,
    shares_total as shares,
    date_day,
    region,
    removed_timestamp is not null as is_removed,
    removed_timestamp
from {{ ref('tiktok_stores__posts_daily') }}
where not is_late
order by post_id, date_day desc
