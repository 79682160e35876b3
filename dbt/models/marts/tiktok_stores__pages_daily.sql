with posts as (
    select
        page_id,
        date_day,
        count(*) as posts,
        count(*) filter (where is_new) as posts_new,
        count(impressions) as posts_with_impressions,
        -- A sum of nothing is NULL: unknown, not 0.
        sum(impressions)::bigint as impressions,
        sum(likes)::bigint as likes,
        sum(comments)::bigint as comments,
        sum(shares)::bigint as shares
    from {{ ref('tiktok_stores__posts_daily') }}
    where not is_late
    group by page_id, date_day
),

accounts as (
    select * from {{ ref('stg_tiktok_stores__account_daily') }} where not is_late
)

select
    '{{ target.database }}.{{ var("tiktok_stores_schema") }}'::text as source_relation,
    coalesce(accounts.date_day, posts.date_day) as date_day,
    'tiktok'::text as platform,
    stores.store_code as page_id,
    stores.store_name as page_name,
    stores.region,
    accounts.follower_count as followers,
    accounts.follower_gain as followers_gained,
    accounts.video_count as posts_public,
    posts.posts,
    posts.posts_new,
    posts.posts_with_impressions,
    posts.impressions,
    posts.likes,
    posts.comments,
    posts.shares
from accounts
full join posts on accounts.store_code = posts.page_id and accounts.date_day = posts.date_day
inner join {{ ref('stg_tiktok_stores__stores') }} as stores
    on stores.store_code = coalesce(accounts.store_code, posts.page_id)
