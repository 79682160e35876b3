-- Checks: every store of the run has a row of the day in user_daily_stats. A store that was never
-- connected has nothing to miss: its row in sync_logs says that it needs consent.
-- Why: TikTok keeps no history; once the day is over, its figures can only be guessed.
-- Finding: No profile figures of the day
-- Next step: Clear the failed tasks before the day is over, and connect skipped stores again.
SELECT store_code, NULL AS detail
-- The zone does not matter: a store that is in a run should have its row on its first day too.
FROM store_days(%(stores)s, %(day)s, %(day)s, 'UTC')
WHERE profile IS NULL
ORDER BY store_code
