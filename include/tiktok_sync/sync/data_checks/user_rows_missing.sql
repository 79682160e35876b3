-- Checks: every store of the run has a row of the day in user_daily_stats. A store that was never
-- connected has nothing to miss: its row in sync_logs says that it needs consent.
-- Why: TikTok keeps no history; once the day is over, its figures can only be guessed.
-- Finding: No profile figures of the day
-- Next step: Clear the failed tasks before the day is over, and connect skipped stores again.
SELECT run.store_code, NULL AS detail
FROM unnest(%(stores)s::text[]) AS run (store_code)
WHERE NOT EXISTS (
    SELECT FROM user_daily_stats AS u
    WHERE u.store_code = run.store_code AND u.snapshot_date = %(day)s
) AND EXISTS (SELECT FROM store_tokens AS t WHERE t.store_code = run.store_code)
ORDER BY run.store_code
