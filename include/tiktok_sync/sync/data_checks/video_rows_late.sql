-- Checks: no row of the day in video_daily_stats was observed after the day.
-- Why: a late row only stands in for a missed day; the views for analysts leave it out.
-- Finding: Video figures observed after their day
-- Next step: Nothing can make up for the day; expected in a backfill, else see why the run was late.
SELECT store_code, count(*) || ' videos' AS detail
FROM video_daily_stats
WHERE store_code = ANY (%(stores)s::text[]) AND snapshot_date = %(day)s AND is_late
GROUP BY store_code
ORDER BY store_code
