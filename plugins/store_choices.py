"""Which stores does the trigger form offer? Those in the store database when the Dag is parsed."""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import structlog

log = structlog.get_logger(__name__)

MOST = 1000
"""With more stores the form takes codes as text: a list of thousands is slow to open, and is part
of what Airflow keeps of each version of a Dag."""

CONNECTION = "AIRFLOW_CONN_STORE_DB"
"""Where the connection must stand for it. Looking it up elsewhere would wait for the Dag
processor's manager, which answers no sooner than it has built an API server of its own: 30 s and
more on a busy machine, the time at which Airflow gives a Dag up."""

_CONNECT = timedelta(seconds=2)
_ASK = timedelta(seconds=1)


def store_choices() -> dict[str, str]:
    """Store code -> what the form shows; empty = the form takes codes as text.

    Asked only in Airflow's Dag processor, whose parse is the one that the UI shows. Everyone else
    who parses a Dag, each task among them, asks nobody.
    """
    if sys.argv[1:2] != ["dag-processor"] or CONNECTION not in os.environ:
        return {}
    import psycopg  # noqa: PLC0415 - heavy; preloaded in the Dag processor, not paid elsewhere

    from hooks.store_db_hook import StoreDbHook  # noqa: PLC0415 - as above
    from include.tiktok_sync.errors import SyncError  # noqa: PLC0415 - as above
    from include.tiktok_sync.store_names import store_names  # noqa: PLC0415 - as above

    hook = StoreDbHook(
        application_name="tiktok_sync:trigger_form",
        statement_timeout=_ASK,
        connect_timeout=_CONNECT,
    )
    try:
        with hook.session() as conn:
            names = store_names(conn, MOST + 1)
    except (SyncError, psycopg.Error) as error:
        # A Dag must parse whatever the store database does; its form is then only less handy.
        log.warning("The trigger form cannot list the stores: %s", error)
        return {}
    return names if len(names) <= MOST else {}
