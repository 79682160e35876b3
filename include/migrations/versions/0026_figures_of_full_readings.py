"""Video figures go by complete listings alone: one that broke off leaves some of a store's rows."""

# ruff: noqa: SLF001 - made of what the migrations before it have
from __future__ import annotations

from importlib import import_module

from alembic import op

revision = "0026"
down_revision = "0025"

_days = import_module("include.migrations.versions.0014_one_rule_for_days")
_figures = import_module("include.migrations.versions.0020_figures")

_INDEX = """
CREATE INDEX sync_logs_days ON sync_logs (store_code, job_name, snapshot_date)
    WHERE store_code IS NOT NULL
"""

# With its owner's rights, for the reason that store_days has.
_LISTINGS = """
CREATE FUNCTION video_listings(p_store text, p_first date, p_last date)
RETURNS TABLE (day date, is_read boolean, in_time boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT l.snapshot_date, bool_or(l.status = 'success'),
        bool_or(l.status = 'success' AND NOT coalesce((l.details ->> 'late')::boolean, false))
    FROM sync_logs AS l
    WHERE l.store_code = p_store AND l.job_name = 'sync_video_daily'
        AND l.snapshot_date BETWEEN p_first AND p_last
    GROUP BY l.snapshot_date
$$
"""

# Who may call the other function that views call.
_GRANT = """
REVOKE ALL ON FUNCTION video_listings FROM PUBLIC;
DO $$
DECLARE reader text;
BEGIN
    FOR reader IN
        SELECT DISTINCT CASE WHEN acl.grantee = 0 THEN 'PUBLIC'
            ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
        FROM pg_proc AS p, aclexplode(p.proacl) AS acl
        WHERE p.oid = 'store_days'::regproc AND acl.privilege_type = 'EXECUTE'
    LOOP
        EXECUTE 'GRANT EXECUTE ON FUNCTION video_listings TO ' || reader;
    END LOOP;
END
$$;
"""


def _changed(text: str, before: str, after: str, times: int = 1) -> str:
    if text.count(before) != times:
        message = f"Not as this migration knows it: {before!r}"
        raise RuntimeError(message)
    return text.replace(before, after)


_begin = "        LEFT JOIN (\n            SELECT l.snapshot_date AS day"
_end = "        ) AS log USING (day)"
_LOG_ITSELF = _begin + _days._STORE_DAYS.partition(_begin)[2].partition(_end)[0] + _end
_STORE_DAYS = _changed(
    _changed(_days._STORE_DAYS, "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
    _LOG_ITSELF,
    "        LEFT JOIN LATERAL video_listings(s.store_code, p_first, p_last) AS log USING (day)",
)

_READ = "WHERE r.store_code = s.store_code AND NOT r.is_late AND "
_READ_IN_FULL = f"""{_READ}NOT EXISTS (
        SELECT FROM video_listings(r.store_code, r.snapshot_date, r.snapshot_date) AS l
        WHERE NOT l.in_time) AND """


def _replacing(view: str) -> str:
    return _changed(view, "CREATE VIEW", "CREATE OR REPLACE VIEW")


_OLD_VIEWS = [_replacing(view) for view in (_figures._STORE_WEEK, _figures._CHAIN_DAY)]
_NEW_VIEWS = [_changed(view, _READ, _READ_IN_FULL, 2) for view in _OLD_VIEWS]

_NIGHT = (
    "what came in the 24 hours before that day''s sync (02:00 by default), mostly on the day before"
)
_COMMENTS = {
    "store_week": {
        gain: f"{_figures._COMMENTS['store_week'][gain]}. A day''s gain is {_NIGHT}: a week"
        " runs from Sunday''s sync to the next Sunday''s"
        + (
            ". For views, a day counts as observed if its listing was complete"
            if gain == "view_gain"
            else ""
        )
        for gain in _figures._GAINS
    },
    "chain_day": {
        gain: f"{_figures._COMMENTS['chain_day'][gain]}. A day''s gain is {_NIGHT}"
        + (
            ". A day on which a store''s listing broke off is left out, and the next complete one"
            " includes its gains"
            if gain == "view_gain"
            else ""
        )
        for gain in _figures._GAINS
    },
}


def _comment(comments: dict[str, dict[str, str]]) -> None:
    for view, columns in _COMMENTS.items():
        for column in columns:
            text = comments[view][column]
            op.get_bind().exec_driver_sql(f"COMMENT ON COLUMN {view}.{column} IS '{text}'")


def upgrade() -> None:
    """Replace them. Views and functions keep their owners, their readers and their comments."""
    for statement in (_INDEX, _LISTINGS, _GRANT, _STORE_DAYS, *_NEW_VIEWS):
        op.get_bind().exec_driver_sql(statement)
    op.execute(
        "COMMENT ON FUNCTION video_listings(text, date, date) IS 'The days on which the log of a"
        " store has a reading of its videos: is_read = complete at last, in_time = complete on that"
        " day. Of a day that the log no longer has, the rows decide'"
    )
    _comment(_COMMENTS)


def downgrade() -> None:
    """Go by any row of a day again."""
    old_days = _changed(_days._STORE_DAYS, "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    for statement in (*_OLD_VIEWS, old_days):
        op.get_bind().exec_driver_sql(statement)
    op.execute("DROP FUNCTION video_listings(text, date, date)")
    op.execute("DROP INDEX sync_logs_days")
    _comment(_figures._COMMENTS)
