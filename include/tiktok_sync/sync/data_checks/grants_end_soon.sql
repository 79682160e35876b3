-- Checks: no store's grant ends within CONSENT_WARNING_DAYS days.
-- Why: a refresh does not extend a grant; at its end only the store's manager can give a new one.
-- Finding: Grants that end soon
-- Next step: Ask the stores' managers to connect their accounts again.
SELECT store_code, 'ends ' || to_char(ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS detail
FROM living_grants
WHERE store_code = ANY (%(stores)s::text[]) AND days_left < %(consent_warning_days)s
ORDER BY ends_at, store_code
