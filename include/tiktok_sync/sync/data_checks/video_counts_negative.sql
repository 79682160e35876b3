-- Checks: no count of the day in video_daily_stats is below zero.
-- Why: a count cannot be; charts and ranks made of it are wrong.
-- Finding: Video counts below zero
-- Next step: Read the store again by clearing its task. If it stays, TikTok says so: report it there.
SELECT store_code, count(*) || ' videos, first ' || min(video_id) AS detail
FROM video_daily_stats
WHERE store_code = ANY (%(stores)s::text[]) AND snapshot_date = %(day)s
    AND least(view_count, like_count, comment_count, share_count) < 0
GROUP BY store_code
ORDER BY store_code
