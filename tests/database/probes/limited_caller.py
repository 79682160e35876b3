"""Call under the shared limit; print a line for each call: seconds waited, the database's time.

Arguments: calls, calls a window, seconds of the window. The database is ``STORE_DB_URL``. It says
"ready" once it is connected and begins when it is sent a line.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import psycopg

from include.tiktok_sync.tiktok import rate_limit

calls, limit, window_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
rate_limit.WINDOW, rate_limit.MARGIN = timedelta(seconds=window_s), timedelta(0)
with psycopg.connect(
    os.environ["STORE_DB_URL"], autocommit=True, application_name="limited_caller"
) as conn:
    limiter = rate_limit.PostgresRateLimiter(conn, limit)
    print("ready", flush=True)  # noqa: T201 - a probe's answer
    sys.stdin.readline()
    for _ in range(calls):
        waited_s = limiter.acquire("e")
        row = conn.execute(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        ).fetchone()
        print(waited_s, *(row or ()), flush=True)  # noqa: T201 - a probe's answer
