"""Which privacy notice was a store's manager shown before consenting?

The text itself is kept, once per version, and its version with the attempt and the grant. The
connect app cannot change or remove a text: its function only adds one, and the table checks that
the version belongs to it.
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"

_TABLE = """
CREATE TABLE privacy_notices (
    version text PRIMARY KEY,
    text text NOT NULL,
    first_shown_at timestamptz NOT NULL DEFAULT now(),
    current_since timestamptz NOT NULL,
    CHECK (version = left(encode(sha256(convert_to(text, 'UTF8')), 'hex'), 16))
);
ALTER TABLE store_tokens ADD COLUMN notice_version text REFERENCES privacy_notices;
ALTER TABLE connect_attempts ADD COLUMN notice_version text REFERENCES privacy_notices;
"""

_VIEW = """
CREATE VIEW grant_notices AS
SELECT store_code, notice_version,
    CASE
        WHEN notice_version IS NULL THEN 'none'
        WHEN notice_version = (
            SELECT version FROM privacy_notices ORDER BY current_since DESC LIMIT 1) THEN 'current'
        ELSE 'older'
    END AS notice
FROM store_tokens
"""

# Another text than the current one becomes the current one, also if it was shown before. A clock
# that was put back does not keep it from that.
_NOTICE = """
CREATE FUNCTION connect_notice(p_version text, p_text text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH newest AS (
        SELECT version, current_since FROM privacy_notices ORDER BY current_since DESC LIMIT 1)
    INSERT INTO privacy_notices (version, text, current_since)
    SELECT p_version, p_text, greatest(
        clock_timestamp(), (SELECT current_since FROM newest) + interval '1 microsecond')
    WHERE p_version IS DISTINCT FROM (SELECT version FROM newest)
    ON CONFLICT (version) DO UPDATE SET current_since = excluded.current_since
$$
"""

_BEGIN = """
CREATE FUNCTION connect_begin(
    p_link bytea, p_state bytea, p_browser bytea, p_life interval{parameter}) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO connect_attempts
        (link_hash, store_code, state_hash, browser_hash, expires_at{column})
    SELECT p_link, l.store_code, p_state, p_browser, now() + least(p_life, interval '1 hour'){value}
    FROM connect_link(p_link) l WHERE l.state = 'open'
    RETURNING attempt_id
$$
"""
_BEGIN_BEFORE = "connect_begin(bytea, bytea, bytea, interval)"
_BEGIN_NOW = "connect_begin(bytea, bytea, bytea, interval, text)"

_ATTEMPT = "connect_attempt(uuid, bytea)"
_ATTEMPT_TEXTS = (
    ("present_display_name text)", "present_display_name text, notice_version text)"),
    ("k.username, k.display_name\n", "k.username, k.display_name, a.notice_version\n"),
)

# What was read on the page of the last answer counts; without a question, what was read before.
_SHOWN = "coalesce(p_notice, held.notice_version)"
_CONFIRM_BEFORE = "connect_confirm(uuid, bytea, boolean, text, boolean)"
_CONFIRM_NOW = "connect_confirm(uuid, bytea, boolean, text, boolean, text)"
_CONFIRM_TEXTS = (
    ("p_complete boolean)", "p_complete boolean, p_notice text DEFAULT NULL::text)"),
    ("connected_at, app_fingerprint)", "connected_at, app_fingerprint, notice_version)"),
    ("now(), held.app_fingerprint)", f"now(), held.app_fingerprint, {_SHOWN})"),
    (
        "app_fingerprint = excluded.app_fingerprint,",
        "app_fingerprint = excluded.app_fingerprint, notice_version = excluded.notice_version,",
    ),
    (
        "outcome = CASE WHEN p_complete",
        f"notice_version = {_SHOWN}, outcome = CASE WHEN p_complete",
    ),
    ("found_verdict = 'replaces')\n", f"found_verdict = 'replaces', 'notice', {_SHOWN})\n"),
)

_COMMENTS = {
    "FUNCTION connect_notice": "A page shows this privacy notice: keeps its text once",
    f"FUNCTION {_BEGIN_NOW}": "Begin an attempt on an open link",
    f"FUNCTION {_ATTEMPT}": "One attempt, for the browser that began it",
    f"FUNCTION {_CONFIRM_NOW}": "Connect the store with the tokens that were kept",
    "TABLE privacy_notices": (
        "Every privacy notice that the connect app has shown to store managers, word for word"
    ),
    "COLUMN privacy_notices.version": "The first 16 hex digits of the SHA-256 of the text",
    "COLUMN privacy_notices.text": "The whole text as it was shown, without its markup",
    "COLUMN privacy_notices.first_shown_at": "When it was first on a page",
    "COLUMN privacy_notices.current_since": (
        "Since when the pages show it, the last time it replaced another; the latest is current"
    ),
    "COLUMN store_tokens.notice_version": (
        "Privacy notice that the manager was shown before giving this grant; NULL = none by the"
        " connect app, such as for an imported grant"
    ),
    "COLUMN connect_attempts.notice_version": (
        "Privacy notice that the manager was shown last: on the page before TikTok''s, or with the"
        " last question if that was answered; NULL = begun before notices were recorded"
    ),
    "VIEW grant_notices": (
        "Which privacy notice the manager of each store with a grant was shown before giving it;"
        " never a token"
    ),
    "COLUMN grant_notices.store_code": "Which store",
    "COLUMN grant_notices.notice_version": "As in store_tokens",
    "COLUMN grant_notices.notice": (
        "current: the one shown at present; older: another one; none: no notice is recorded"
    ),
}

_CALLERS = """
SELECT r.rolname FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
JOIN pg_roles r ON r.oid = a.grantee
WHERE p.oid = 'connect_link(bytea)'::regprocedure AND a.privilege_type = 'EXECUTE'
    AND a.grantee <> p.proowner
"""


def upgrade() -> None:
    """Add them; a role that could call the app's functions before can call these."""
    op.execute(_TABLE)
    op.execute(_VIEW)
    op.execute(_NOTICE)
    op.execute(f"DROP FUNCTION {_BEGIN_BEFORE}")
    op.execute(
        _BEGIN.format(
            parameter=", p_notice text DEFAULT NULL", column=", notice_version", value=", p_notice"
        )
    )
    _rewrite(_ATTEMPT, _ATTEMPT_TEXTS)
    _rewrite(_CONFIRM_BEFORE, _CONFIRM_TEXTS)
    _guard("connect_notice(text, text)", _BEGIN_NOW, _ATTEMPT, _CONFIRM_NOW)
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away, and with them the proof of who was shown what."""
    _rewrite(_CONFIRM_NOW, tuple((after, before) for before, after in _CONFIRM_TEXTS))
    _rewrite(_ATTEMPT, tuple((after, before) for before, after in _ATTEMPT_TEXTS))
    op.execute(f"DROP FUNCTION {_BEGIN_NOW}")
    op.execute(_BEGIN.format(parameter="", column="", value=""))
    op.execute("DROP FUNCTION connect_notice")
    op.execute("DROP VIEW grant_notices")
    op.execute("ALTER TABLE connect_attempts DROP COLUMN notice_version")
    op.execute("ALTER TABLE store_tokens DROP COLUMN notice_version")
    op.execute("DROP TABLE privacy_notices")
    _guard(_BEGIN_BEFORE, _ATTEMPT, _CONFIRM_BEFORE)
    for function in (_BEGIN_BEFORE, _ATTEMPT, _CONFIRM_BEFORE):
        comment = next(
            text for target, text in _COMMENTS.items() if function.partition("(")[0] + "(" in target
        )
        op.execute(f"COMMENT ON FUNCTION {function} IS '{comment}'")


def _rewrite(function: str, texts: tuple[tuple[str, str], ...]) -> None:
    """Make a function again with other texts in it, as its parameters or columns change."""
    bind = op.get_bind()
    made = bind.exec_driver_sql(
        f"SELECT pg_get_functiondef('public.{function}'::regprocedure)"
    ).scalar_one()
    for before, after in texts:
        if made.count(before) != 1:
            message = f"The function {function} is not as this migration knows it: {before!r}"
            raise RuntimeError(message)
        made = made.replace(before, after)
    op.execute(f"DROP FUNCTION {function}")
    # Handed on as it is: a percent sign of the function is none of the driver's.
    bind.exec_driver_sql(made)


def _guard(*functions: str) -> None:
    """Who may call them: those who may call the app's other functions, and nobody else."""
    callers = op.get_bind().exec_driver_sql(_CALLERS).scalars().all()
    for function in functions:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        for caller in callers:
            quoted = caller.replace('"', '""')
            op.execute(f'GRANT EXECUTE ON FUNCTION {function} TO "{quoted}"')
