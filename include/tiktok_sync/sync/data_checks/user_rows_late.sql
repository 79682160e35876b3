-- Checks: no row of the day in user_daily_stats was observed after the day.
-- Why: a late row only stands in for a missed day; the views for analysts leave it out.
-- Finding: Profile figures observed after their day
-- Next step: Nothing can make up for the day; expected in a backfill, else see why the run was late.
SELECT store_code, 'observed ' || to_char(observed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS detail
FROM user_daily_stats
WHERE store_code = ANY (%(stores)s::text[]) AND snapshot_date = %(day)s AND is_late
ORDER BY store_code
