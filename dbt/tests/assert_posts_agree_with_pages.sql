-- The sums by page leave no post out and count none twice.
select coalesce(posts.date_day, pages.date_day) as date_day, posts.impressions, pages.impressions
from (
    select date_day, sum(impressions) as impressions
    from {{ ref('tiktok_stores__posts_daily') }}
    where not is_late
    group by date_day
) as posts
full join (
    select date_day, sum(impressions) as impressions
    from {{ ref('tiktok_stores__pages_daily') }}
    group by date_day
) as pages on posts.date_day = pages.date_day
where posts.impressions is distinct from pages.impressions
