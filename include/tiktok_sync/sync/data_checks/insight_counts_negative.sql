-- Checks: no count of an account's last days, or of the day's posts, is below zero. Comments of a
-- day and net growth may be: they are what was gained.
-- Why: such a count cannot be; charts and ranks made of it are wrong.
-- Finding: Insights below zero
-- Next step: Read the store again by clearing its task. If it stays, TikTok says so: report it there.
SELECT store_code, string_agg(found, ', ' ORDER BY found) AS detail
FROM (
    SELECT store_code, 'day ' || to_char(metric_date, 'YYYY-MM-DD') AS found
    FROM account_daily
    WHERE store_code = ANY (%(stores)s::text[])
        AND metric_date BETWEEN %(day)s::date - 8 AND %(day)s::date
        AND least(video_views, profile_views, likes, shares,
            unique_video_views, engaged_audience, daily_new_followers, daily_lost_followers) < 0
    UNION ALL
    SELECT store_code, count(*) || ' posts, first ' || min(video_id)
    FROM video_insights_daily
    WHERE store_code = ANY (%(stores)s::text[]) AND snapshot_date = %(day)s
        AND least(video_views, likes, comments, shares, favorites, reach) < 0
    GROUP BY store_code
) AS negative
GROUP BY store_code
ORDER BY store_code
