-- Where each day since posting is known, the gains of a post add up to its newest total.
select post_id, sum(impressions) as gained, max(total) as total
from (
    select
        *,
        first_value(impressions_total) over (partition by post_id order by date_day desc) as total
    from {{ ref('tiktok_stores__posts_daily') }}
) as days
group by post_id
having bool_or(is_new) and bool_and(impressions is not null) and sum(impressions) <> max(total)
