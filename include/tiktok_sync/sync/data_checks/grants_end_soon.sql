-- Checks: no store's grant ends within CONSENT_WARNING_DAYS days.
-- Why: a refresh does not prolong a grant; at its end only the store's manager can give a new one.
-- Finding: Grants that end soon
-- Next step: Ask the stores' managers to connect their accounts again.
SELECT store_code, 'ends ' || to_char(refresh_expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS detail
FROM store_tokens
WHERE store_code = ANY (%(stores)s::text[])
    AND status <> 'needs_consent'
    AND refresh_expires_at < now() + make_interval(days => %(consent_warning_days)s)
ORDER BY refresh_expires_at, store_code
