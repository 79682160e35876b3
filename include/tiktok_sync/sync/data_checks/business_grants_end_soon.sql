-- Checks: no store's grant of the Accounts API ends within CONSENT_WARNING_DAYS days.
-- Why: it ends a year after the consent, and a refresh does not extend it.
-- Finding: Grants of the Accounts API that end soon
-- Next step: Ask the stores' managers to connect again (stores link CODE --business).
SELECT store_code, 'ends ' || to_char(ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS detail
FROM living_consents
WHERE api = 'business' AND store_code = ANY (%(stores)s::text[])
    AND days_left < %(consent_warning_days)s
ORDER BY ends_at, store_code
