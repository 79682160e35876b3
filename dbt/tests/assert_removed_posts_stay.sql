-- A video that was removed keeps its past and its last figures.
select distinct source.video_id
from {{ ref('stg_tiktok_stores__video_daily') }} as source
left join {{ ref('tiktok_stores__rollup_report') }} as rollup on source.video_id = rollup.post_id
where source.removed_at is not null and not source.is_late
    and (rollup.post_id is null or not rollup.is_removed)
