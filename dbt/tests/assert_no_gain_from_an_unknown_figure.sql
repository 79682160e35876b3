-- An unknown figure has no gain, and never becomes 0.
select posts.post_id, posts.date_day
from {{ ref('tiktok_stores__posts_daily') }} as posts
inner join {{ ref('stg_tiktok_stores__video_daily') }} as source
    on posts.post_id = source.video_id and posts.date_day = source.date_day
where posts.impressions_total is distinct from source.view_count
    or (source.view_count is null and posts.impressions is not null)
    or (source.like_count is null and posts.likes is not null)
    or (source.comment_count is null and posts.comments is not null)
    or (source.share_count is null and posts.shares is not null)
