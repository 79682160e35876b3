"""The statements of the shared rate limit: take a place, here or there, and pause an endpoint.

How the ring of places works: :mod:`include.tiktok_sync.tiktok.rate_limit`. Parameters: ``limit``
places, ``window`` between the calls of one place, ``jitter`` and ``max_pause`` of pauses. A
statement that takes a place returns the endpoint and the seconds until the call may go.
"""

from __future__ import annotations

# One that is longer than any can be is left over from a clock that was ahead.
_IS_PAUSED = """
paused_until > clock_timestamp() AND paused_until <= clock_timestamp() + %(max_pause)s
"""

# The waiting is part of the grant (jitter too), so that the ring knows when the call really goes.
_GRANT = """
INSERT INTO rate_limit_grants AS g (endpoint, place, granted_at, wait)
SELECT turn.endpoint, turn.grants %% %(limit)s, clock_timestamp() + turn.wait, turn.wait
FROM turn
ON CONFLICT (endpoint, place) DO UPDATE SET
    granted_at = greatest(
        excluded.granted_at, least(g.granted_at, clock_timestamp() + g.wait) + %(window)s),
    wait = greatest(
        excluded.wait, least(g.granted_at - clock_timestamp(), g.wait) + %(window)s)
RETURNING endpoint, extract(epoch FROM granted_at - clock_timestamp())::float8
"""

_REST = "paused_until - clock_timestamp() + random() * %(jitter)s"

# NULL: nobody has had that place yet.
_OPENS_IN = """
SELECT max(least(g.granted_at - clock_timestamp(), g.wait) + %(window)s) AS rest
FROM rate_limit_grants AS g
WHERE g.endpoint = lane.endpoint AND g.place = (coalesce(r.grants, 0) + {ahead}) %% %(limit)s
"""

TAKE_PLACE = f"""
WITH turn AS (
    INSERT INTO rate_limits AS r (endpoint, grants) VALUES (%(endpoint)s, 1)
    ON CONFLICT (endpoint) DO UPDATE SET grants = r.grants + 1
    RETURNING endpoint, grants, CASE WHEN {_IS_PAUSED} THEN {_REST} ELSE interval '0' END AS wait
)
{_GRANT}
"""  # noqa: S608 - constants of this file

# Takes nothing, and returns no row, unless the call may go at once. Behind a lock, the number of
# the place is looked up again, so that no two see the same one; whether it is open is not. If a
# whole ring of calls goes meanwhile, the place returned is not open: it stays unused.
TAKE_OPEN_PLACE = f"""
WITH turn AS (
    UPDATE rate_limits AS r SET grants = r.grants + 1
    WHERE r.endpoint = %(endpoint)s AND ({_IS_PAUSED}) IS NOT TRUE AND NOT EXISTS (
        SELECT FROM rate_limit_grants AS g
        WHERE g.endpoint = r.endpoint AND g.place = (r.grants + 1) %% %(limit)s
            AND least(g.granted_at - clock_timestamp(), g.wait) + %(window)s > interval '0')
    RETURNING endpoint, grants, interval '0' AS wait
)
{_GRANT}
"""  # noqa: S608 - constants of this file

# An unlocked look: of callers that choose at once several may see the same free place. Each still
# takes a place of its own, and the reserve is larger than they are many.
TAKE_PLACE_AT_EITHER = f"""
WITH next AS (
    SELECT lane.endpoint, lane.is_preferred,
        greatest(pause.rest, near.rest, interval '0') AS wait,
        greatest(pause.rest, far.rest, interval '0') = interval '0' AS has_room
    FROM (VALUES (%(preferred)s, true), (%(other)s, false)) AS lane (endpoint, is_preferred)
    LEFT JOIN rate_limits AS r ON r.endpoint = lane.endpoint
    CROSS JOIN LATERAL (
        SELECT CASE WHEN {_IS_PAUSED} THEN paused_until - clock_timestamp() END AS rest
    ) AS pause
    CROSS JOIN LATERAL ({_OPENS_IN.format(ahead="1")}) AS near
    CROSS JOIN LATERAL ({_OPENS_IN.format(ahead="1 + least(%(reserve)s, %(limit)s - 1)")}) AS far
), choice AS (
    SELECT endpoint FROM next
    ORDER BY is_preferred AND has_room DESC, wait, is_preferred LIMIT 1
), turn AS (
    INSERT INTO rate_limits AS r (endpoint, grants) SELECT endpoint, 1 FROM choice
    ON CONFLICT (endpoint) DO UPDATE SET grants = r.grants + 1
    RETURNING endpoint, grants, CASE WHEN {_IS_PAUSED} THEN {_REST} ELSE interval '0' END AS wait
)
{_GRANT}
"""  # noqa: S608 - constants of this file

# Without a limit: the preferred one, unless it alone is paused, or for longer.
REST_OF_SHORTER_PAUSE = f"""
SELECT lane.endpoint, coalesce(extract(epoch FROM {_REST}), 0)::float8 AS rest
FROM (VALUES (%(preferred)s, true), (%(other)s, false)) AS lane (endpoint, is_preferred)
LEFT JOIN rate_limits AS r ON r.endpoint = lane.endpoint AND {_IS_PAUSED}
ORDER BY r.paused_until NULLS FIRST, is_preferred DESC LIMIT 1
"""  # noqa: S608 - constants of this file

# Nothing to update, so neither a lock nor a write, unless there is a pause.
TAKE_ANOTHER_IF_PAUSED = f"""
WITH turn AS (
    UPDATE rate_limits SET grants = grants + 1
    WHERE endpoint = %(endpoint)s AND {_IS_PAUSED}
    RETURNING endpoint, grants, {_REST} AS wait
)
{_GRANT}
"""  # noqa: S608 - constants of this file

REST_OF_PAUSE = f"""
SELECT endpoint, extract(epoch FROM {_REST})::float8
FROM rate_limits WHERE endpoint = %(endpoint)s AND {_IS_PAUSED}
"""  # noqa: S608 - constants of this file

PAUSE = """
INSERT INTO rate_limits AS r (endpoint, grants, paused_until, refusals)
VALUES (%(endpoint)s, 0, clock_timestamp() + %(pause)s, 1)
ON CONFLICT (endpoint) DO UPDATE
    SET paused_until = CASE WHEN r.paused_until <= clock_timestamp() + %(max_pause)s
            THEN greatest(r.paused_until, excluded.paused_until) ELSE excluded.paused_until END,
        refusals = r.refusals + 1
"""
