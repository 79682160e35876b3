-- Checks: the run recorded a result for every store, and a store that was read has rows for the day.
-- A store may have no videos at all, so rows alone would not tell.
-- Why: a killed task leaves neither figures nor a reason, and TikTok keeps no history.
-- Finding: Videos of the day not recorded
-- Next step: Clear the stores' tasks before the day is over; their logs in Airflow say what ended them.
SELECT run.store_code, NULL AS detail
FROM unnest(%(stores)s::text[]) AS run (store_code)
LEFT JOIN sync_logs AS l
    ON l.job_name = %(job_name)s AND l.run_id = %(run_id)s AND l.store_code = run.store_code
WHERE l.id IS NULL
    OR l.status = 'success' AND (l.details ->> 'videos')::bigint > 0 AND NOT EXISTS (
        SELECT FROM video_daily_stats AS v
        WHERE v.store_code = run.store_code AND v.snapshot_date = %(day)s
    )
ORDER BY run.store_code
