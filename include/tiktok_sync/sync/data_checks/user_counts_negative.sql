-- Checks: no count of the day in user_daily_stats is below zero.
-- Why: a count cannot be; charts and ranks made of it are wrong.
-- Finding: Profile counts below zero
-- Next step: Read the store again by clearing its task. If it stays, TikTok says so: report it there.
SELECT store_code, concat_ws(', ',
    CASE WHEN follower_count < 0 THEN 'follower_count ' || follower_count END,
    CASE WHEN following_count < 0 THEN 'following_count ' || following_count END,
    CASE WHEN likes_count < 0 THEN 'likes_count ' || likes_count END,
    CASE WHEN video_count < 0 THEN 'video_count ' || video_count END) AS detail
FROM user_daily_stats
WHERE store_code = ANY (%(stores)s::text[]) AND snapshot_date = %(day)s
    AND least(follower_count, following_count, likes_count, video_count) < 0
ORDER BY store_code
