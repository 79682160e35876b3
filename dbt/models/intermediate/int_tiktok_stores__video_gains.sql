-- The first row of a video has no gain in the views. If the video was posted after its store was
-- read the time before, all its figures are gains of that day; otherwise they are unknown.
with video_daily as (
    select * from {{ ref('stg_tiktok_stores__video_daily') }}
),

readings as (
    select
        store_code,
        date_day,
        lag(max(observed_at)) over (partition by store_code order by date_day) as read_before_at
    from video_daily
    group by store_code, date_day
)

select
    video_daily.*,
    video_daily.previous_date is null
    and coalesce(video_daily.created_at >= readings.read_before_at, false) as is_new
from video_daily
inner join readings
    on video_daily.store_code = readings.store_code and video_daily.date_day = readings.date_day
where video_daily.date_day >= current_date - {{ var('tiktok_stores_days') }}
