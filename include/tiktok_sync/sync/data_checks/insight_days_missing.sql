-- Checks: a store that had account days has them up to three days before the run's day.
-- Why: TikTok gives each day within two days; one not fetched within 60 days is lost.
-- Finding: Account days that stopped coming
-- Next step: Look at the store's newest rows in sync_logs. If it succeeds, open its Analytics in TikTok.
SELECT store_code, 'newest day ' || to_char(newest, 'YYYY-MM-DD') AS detail
FROM unnest(%(stores)s::text[]) AS run (store_code)
CROSS JOIN LATERAL (
    SELECT max(metric_date) AS newest FROM account_daily AS d
    WHERE d.store_code = run.store_code AND d.metric_date > %(day)s::date - 60
) AS days
WHERE newest < %(day)s::date - 3
ORDER BY store_code
