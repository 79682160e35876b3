-- Checks: no store lost more than half of its videos in this run, compared with what was public
-- before it. Fewer than 5 lost videos are no finding: small stores tidy up.
-- Why: a broken listing looks just like a store that removed its videos.
-- Finding: More than half of the videos gone in one run
-- Next step: Look at the account on TikTok. If the videos are there, clear the store's task: they come back.
SELECT store_code, lost || ' of ' || before || ' videos' AS detail
FROM (
    SELECT store_code, count(*) AS before, count(removed_at) AS lost
    FROM videos
    WHERE store_code = ANY (%(stores)s::text[])
        AND first_seen_at < %(since)s
        AND (removed_at IS NULL OR removed_at >= %(since)s)
    GROUP BY store_code
) AS stores
WHERE lost >= 5 AND lost * 2 > before
ORDER BY store_code
