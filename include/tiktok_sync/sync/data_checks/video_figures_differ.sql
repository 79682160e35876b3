-- Checks: where a video was read by both video/list and video/query, growth explains the difference.
-- Why: half of the figures come from video/query; the two endpoints must say the same.
-- Finding: video/list and video/query disagree
-- Next step: Compare the videos with TikTok. If video/query is wrong, set VIDEO_LANES=1 and clear the stores' tasks.
SELECT store_code, (details ->> 'differ') || ' of ' || (details ->> 'compared') || ' videos, '
    || string_agg(
        format('%%s (%%s): %%s, then %%s', d ->> 'video_id', d ->> 'order', d ->> 'first', d ->> 'second'),
        '; ') AS detail
FROM sync_logs, jsonb_array_elements(details -> 'differences') AS d
WHERE job_name = %(job_name)s AND run_id = %(run_id)s AND store_code = ANY (%(stores)s::text[])
    AND details ? 'differences'
GROUP BY store_code, details ->> 'differ', details ->> 'compared'
ORDER BY store_code
