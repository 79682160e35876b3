"""The second consent: a store's manager connects the account to the Accounts API as well.

Links, attempts and events say which of the two APIs they are about. The functions that write a
grant have a twin for ``business_tokens``, made from their own text, so that one rule stays one
rule. Both grants of a store belong to one account: what is known of the one side is what the other
must be.
"""

# ruff: noqa: S608 - the queries are made of constants of this file
from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"

_COLUMNS = "".join(
    f"ALTER TABLE {table} ADD COLUMN api text NOT NULL DEFAULT 'display'"
    " CHECK (api IN ('display', 'business'));\n"
    for table in ("connect_links", "connect_attempts", "webhook_events")
)

_OUTCOMES = (
    "connected, missing_scope, denied, declined, wrong_account, taken, unavailable, failed, expired"
)
_OUTCOME_CHECK = """
ALTER TABLE connect_attempts DROP CONSTRAINT connect_attempts_outcome_check;
ALTER TABLE connect_attempts ADD CONSTRAINT connect_attempts_outcome_check
    CHECK (outcome = ANY (string_to_array('{outcomes}', ', ')))
"""

# Word for word as 0007 has it, so that a database that came back is like one that never went.
_OUTCOME_CHECK_BEFORE = f"""
ALTER TABLE connect_attempts DROP CONSTRAINT connect_attempts_outcome_check;
ALTER TABLE connect_attempts ADD CONSTRAINT connect_attempts_outcome_check
    CHECK (outcome IN ('{_OUTCOMES.replace(", ", "', '")}'))
"""

# What the other API says of the account, unless the store has no grant there. The Display API is
# read every night, so that it knows of another username first.
_EXPECTED = """
CREATE FUNCTION business_username(p_store text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT a.username FROM connect_attempts a
    WHERE a.store_code = p_store AND a.api = 'business'
        AND a.outcome IN ('connected', 'missing_scope')
        AND EXISTS (SELECT FROM business_tokens b
            WHERE b.store_code = p_store AND b.status <> 'needs_consent')
    ORDER BY a.finished_at DESC LIMIT 1
$$;
CREATE FUNCTION expected_account(p_api text, p_store text, p_named text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE p_api
        WHEN 'business' THEN coalesce(
            (SELECT lower(k.username) FROM connect_known_account(p_store) k
            WHERE EXISTS (SELECT FROM store_tokens t WHERE t.store_code = p_store)), p_named)
        ELSE coalesce(p_named, (
            SELECT lower(business_username(p_store)) WHERE NOT EXISTS (
                SELECT FROM store_tokens t WHERE t.store_code = p_store)))
    END
$$
"""

_VERDICT = """
CREATE FUNCTION connect_business_verdict(p_store text, p_open_id text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT CASE
        WHEN EXISTS (SELECT FROM held_accounts('business')
            WHERE open_id = p_open_id AND store_code <> p_store) THEN 'taken'
        WHEN EXISTS (SELECT FROM business_tokens
            WHERE open_id = p_open_id AND store_code = p_store) THEN 'same'
        WHEN EXISTS (SELECT FROM business_tokens WHERE store_code = p_store) THEN 'replaces'
        ELSE 'first' END
$$
"""

# A link that nobody is sent: only the browser that has just connected the store can use it.
_NEXT = """
CREATE FUNCTION connect_next(p_attempt uuid, p_browser bytea, p_link bytea, p_state bytea,
    p_life interval, p_notice text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO connect_links (link_hash, store_code, created_by, expires_at, api)
    SELECT p_link, a.store_code, l.created_by, now() + interval '1 hour', 'business'
    FROM connect_attempts a JOIN connect_links l USING (link_hash)
        JOIN stores s ON s.store_code = a.store_code
    WHERE a.attempt_id = p_attempt AND a.browser_hash = p_browser AND a.api = 'display'
        AND a.outcome IN ('connected', 'missing_scope') AND s.is_active
        AND l.revoked_at IS NULL AND a.finished_at > now() - interval '1 day';
    RETURN connect_begin(p_link, p_state, p_browser, p_life, p_notice);
END $$
"""


def _consents(api: str, table: str) -> str:
    return f"""
SELECT s.store_code, s.store_name, s.region, s.is_active, '{api}'::text AS api,
    store_state(s.is_active, s.removed_at, t.status) AS state, t.refresh_expires_at AS ends_at,
    (extract(epoch FROM t.refresh_expires_at - now()) / 86400)::double precision AS days_left,
    t.connected_at AS given_at, t.notice_version,
    CASE
        WHEN t.notice_version IS NULL THEN 'none'
        WHEN t.notice_version = (
            SELECT version FROM privacy_notices ORDER BY current_since DESC LIMIT 1) THEN 'current'
        ELSE 'older'
    END AS notice
FROM {table} AS t JOIN stores AS s USING (store_code)
WHERE t.status <> 'needs_consent' AND s.removed_at IS NULL
"""


_CONSENTS = f"""
CREATE VIEW living_consents AS
{_consents("display", "store_tokens")} UNION ALL {_consents("business", "business_tokens")}
"""

_LINK = "connect_link(bytea)"
_LINK_TEXTS = (
    ("state text)", "state text, api text)"),
    ("l.expected_account,", "expected_account(l.api, l.store_code, l.expected_account),"),
    ("is_active, now())\n", "is_active, now()), l.api\n"),
)
_BEGIN = "connect_begin(bytea, bytea, bytea, interval, text)"
_BEGIN_TEXTS = (
    ("expires_at, notice_version)", "expires_at, notice_version, api)"),
    ("p_notice\n    FROM", "p_notice, l.api\n    FROM"),
)
_RETURN = "connect_return(bytea, bytea, boolean)"
_RETURN_TEXTS = (
    (
        "SELECT a.attempt_id, a.store_code, l.expected_account, false",
        """SELECT a.attempt_id, a.store_code,
            expected_account(a.api, a.store_code, l.expected_account), false""",
    ),
)
_KNOWN = "connect_known_account(text)"
_KNOWN_TEXTS = (
    (
        "WHERE a.store_code = p_store AND a.outcome",
        "WHERE a.api = 'display' AND a.store_code = p_store AND a.outcome",
    ),
)
_OF_ACCOUNT = "connect_verdict(a.store_code, a.open_id, a.union_id)"
_VERDICTS = (
    _OF_ACCOUNT,
    f"""CASE a.api WHEN 'business' THEN connect_business_verdict(a.store_code, a.open_id)
            ELSE {_OF_ACCOUNT} END""",
)
_ATTEMPT = "connect_attempt(uuid, bytea)"
_ATTEMPT_TEXTS = (
    ("notice_version text)", "notice_version text, api text, has_business boolean)"),
    (
        "k.username, k.display_name, a.notice_version\n",
        """CASE a.api WHEN 'business' THEN business_username(a.store_code) ELSE k.username END,
        k.display_name, a.notice_version, a.api, EXISTS (SELECT FROM business_tokens b
            WHERE b.store_code = a.store_code AND b.status = 'active')
""",
    ),
    (
        "LEFT JOIN LATERAL connect_known_account(a.store_code) k ON true",
        "LEFT JOIN LATERAL connect_known_account(a.store_code) k ON a.api = 'display'",
    ),
    _VERDICTS,
)
_HOLD = "connect_hold(uuid, bytea, jsonb, bytea, timestamptz, bytea, timestamptz)"
_HOLD_TEXTS = (_VERDICTS,)

_CONFIRM = "connect_confirm(uuid, bytea, boolean, text, boolean, text)"
# The account has become another one, or the other side turns out to be another one's: read no
# figures of two accounts for one store.
_CONFIRM_TEXTS = (
    (
        "AND expires_at > now() FOR UPDATE;",
        "AND expires_at > now() AND api = 'display' FOR UPDATE;",
    ),
    (
        "    UPDATE connect_links SET used_at",
        """    UPDATE business_tokens SET status = 'needs_consent', status_since = now(),
        updated_at = now(), refresh_started_at = NULL,
        status_reason = 'The store has been connected to another account since. Connect that one'
            || ' to the Accounts API as well (stores link --business).'
    WHERE store_code = held.store_code AND status <> 'needs_consent'
        AND (found_verdict = 'replaces'
            OR lower(business_username(held.store_code)) <> lower(held.username));
    UPDATE connect_links SET used_at""",
    ),
)
_BUSINESS_CONFIRM = (
    ("FUNCTION public.connect_confirm(", "FUNCTION public.connect_business_confirm("),
    ("INSERT INTO store_tokens AS old", "INSERT INTO business_tokens AS old"),
    (
        "AND expires_at > now() FOR UPDATE;",
        "AND expires_at > now() AND api = 'business' FOR UPDATE;",
    ),
    (
        "connect_verdict(held.store_code, held.open_id, held.union_id);\n",
        """connect_business_verdict(held.store_code, held.open_id);
    expected := expected_account('business', held.store_code, NULL);
    IF expected <> coalesce(lower(held.username), '') THEN
        RETURN 'other';
    END IF;
""",
    ),
    ("    found_verdict text;", "    found_verdict text;\n    expected text;"),
    (
        "jsonb_build_object('link_by'",
        "jsonb_build_object('api', 'business', 'account_compared', expected IS NOT NULL, 'link_by'",
    ),
)
_WEBHOOK = "connect_webhook(bytea, text, text, integer, timestamptz, text)"
_BUSINESS_WEBHOOK = (
    ("FUNCTION public.connect_webhook(", "FUNCTION public.connect_business_webhook("),
    ("    grant_row store_tokens;", "    grant_row business_tokens;"),
    ("FROM store_tokens t JOIN stores", "FROM business_tokens t JOIN stores"),
    ("SELECT * INTO grant_row FROM store_tokens", "SELECT * INTO grant_row FROM business_tokens"),
    ("UPDATE store_tokens SET", "UPDATE business_tokens SET"),
    ("happened_at, effect)", "happened_at, effect, api)"),
    ("p_happened, 'ignored')", "p_happened, 'ignored', 'business')"),
    ("jsonb_build_object('reason'", "jsonb_build_object('api', 'business', 'reason'"),
)

_REWRITTEN = {
    _LINK: _LINK_TEXTS,
    _BEGIN: _BEGIN_TEXTS,
    _RETURN: _RETURN_TEXTS,
    _KNOWN: _KNOWN_TEXTS,
    _ATTEMPT: _ATTEMPT_TEXTS,
    _HOLD: _HOLD_TEXTS,
    _CONFIRM: _CONFIRM_TEXTS,
}
_TWINS = {_CONFIRM: _BUSINESS_CONFIRM, _WEBHOOK: _BUSINESS_WEBHOOK}
_NEW_FUNCTIONS = {
    "connect_business_verdict(text, text)": (
        "How an account relates to a store in the Accounts API, as connect_verdict"
    ),
    "connect_next(uuid, bytea, bytea, bytea, interval, text)": (
        "Begin the second consent of a manager who has just given the first"
    ),
    "connect_business_confirm(uuid, bytea, boolean, text, boolean, text)": (
        "Connect the store to the Accounts API with the tokens that were kept; other = it is not"
        " the account that the store is connected to"
    ),
    "connect_business_webhook(bytea, text, text, integer, timestamptz, text)": (
        "Record an event of the Accounts API''s app once, as connect_webhook"
    ),
}
_OTHER_COMMENTS = {
    "FUNCTION expected_account(text, text, text)": (
        "Username that alone may be connected: that of the store''s grant in the other API, or the"
        " one that a link names; NULL = any"
    ),
    "FUNCTION business_username(text)": (
        "Username of a store''s living grant of the Accounts API, as it was when connected"
    ),
    "VIEW living_consents": (
        "Every consent that still works, to either API, when it ends and which privacy notice was"
        " shown before it; never a token"
    ),
    "COLUMN living_consents.store_code": "Which store",
    "COLUMN living_consents.store_name": "Its name",
    "COLUMN living_consents.region": "Its region",
    "COLUMN living_consents.is_active": "Whether the nightly syncs include it",
    "COLUMN living_consents.api": "To which API: display or business (the Accounts API)",
    "COLUMN living_consents.state": "The store''s state; in the syncs, this grant''s",
    "COLUMN living_consents.ends_at": "When the consent ends; no refresh prolongs it",
    "COLUMN living_consents.days_left": "Days until then; below 0 it has ended",
    "COLUMN living_consents.given_at": (
        "When it was given or imported; NULL = before that was recorded"
    ),
    "COLUMN living_consents.notice_version": "Privacy notice shown before it; NULL = none",
    "COLUMN living_consents.notice": (
        "current: the one shown at present; older: another one; none: no notice is recorded"
    ),
    "COLUMN connect_links.api": "Which API it connects: display or business (the Accounts API)",
    "COLUMN connect_attempts.api": "Which API it connects: display or business (the Accounts API)",
    "COLUMN webhook_events.api": "Whose app reported it: display or business (the Accounts API)",
}
_OUTCOME = "COLUMN connect_attempts.outcome"
_NOT_APPROVED = "; not_approved: our app at TikTok lacks a permission that it asked for"

_CALLERS = """
SELECT r.rolname FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
JOIN pg_roles r ON r.oid = a.grantee
WHERE p.oid = 'connect_sweep()'::regprocedure AND a.privilege_type = 'EXECUTE'
    AND a.grantee <> p.proowner
"""


def upgrade() -> None:
    """Add them; a role that could call the app's functions before can call these."""
    op.execute(_COLUMNS)
    op.execute(_OUTCOME_CHECK.format(outcomes=f"{_OUTCOMES}, not_approved"))
    _extend_comment(_OUTCOME, "", _NOT_APPROVED)
    op.execute(_EXPECTED)
    op.execute(_VERDICT)
    for function, texts in _TWINS.items():
        _rewrite(function, texts, keep=True)
    for function, texts in _REWRITTEN.items():
        _rewrite(function, texts)
    op.execute(_NEXT)
    op.execute(_CONSENTS)
    _guard(*_REWRITTEN, *_NEW_FUNCTIONS)
    for function, comment in _NEW_FUNCTIONS.items():
        op.execute(f"COMMENT ON FUNCTION {function} IS '{comment}'")
    for target, comment in _OTHER_COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away, with every link, attempt and event of the second API."""
    op.execute("DROP VIEW living_consents")
    for function in _NEW_FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    for function, texts in _REWRITTEN.items():
        _rewrite(function, tuple((after, before) for before, after in texts))
    _guard(*_REWRITTEN)
    for target in _OTHER_COMMENTS:
        if target.startswith("FUNCTION"):
            op.execute(f"DROP {target}")
    op.execute("DELETE FROM connect_links WHERE api = 'business'")  # and their attempts
    op.execute("DELETE FROM webhook_events WHERE api = 'business'")
    op.execute("DELETE FROM connect_attempts WHERE outcome = 'not_approved'")
    op.execute(_OUTCOME_CHECK_BEFORE)
    _extend_comment(_OUTCOME, _NOT_APPROVED, "")
    for table in ("connect_links", "connect_attempts", "webhook_events"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN api")


def _rewrite(function: str, texts: tuple[tuple[str, str], ...], *, keep: bool = False) -> None:
    """Make a function again with other texts in it, as its parameters or columns change.

    Args:
        function: The function.
        texts: What is replaced by what.
        keep: Make another one instead.
    """
    bind = op.get_bind()
    made, comment = bind.exec_driver_sql(
        "SELECT pg_get_functiondef(oid), obj_description(oid) FROM pg_proc"
        f" WHERE oid = 'public.{function}'::regprocedure"
    ).one()
    for before, after in texts:
        if made.count(before) != 1:
            message = f"The function {function} is not as this migration knows it: {before!r}"
            raise RuntimeError(message)
        made = made.replace(before, after)
    if not keep:
        op.execute(f"DROP FUNCTION {function}")
    # Handed on as it is: a percent sign of the function is none of the driver's.
    bind.exec_driver_sql(made)
    if not keep:
        quoted = comment.replace("'", "''")
        bind.exec_driver_sql(f"COMMENT ON FUNCTION {function} IS '{quoted}'")


def _extend_comment(target: str, before: str, after: str) -> None:
    """Put a text before the last part of a comment, or take it out."""
    table, column = target.removeprefix("COLUMN ").split(".")
    bind = op.get_bind()
    comment = bind.exec_driver_sql(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute"
        f" WHERE attrelid = '{table}'::regclass AND attname = '{column}'"
    ).scalar_one()
    text, _, end = comment.rpartition("; NULL =")
    text = text.removesuffix(before) + after
    quoted = f"{text}; NULL ={end}".replace("'", "''")
    bind.exec_driver_sql(f"COMMENT ON {target} IS '{quoted}'")


def _guard(*functions: str) -> None:
    """Who may call them: those who may call the app's other functions, and nobody else."""
    callers = op.get_bind().exec_driver_sql(_CALLERS).scalars().all()
    for function in functions:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        if function.startswith(("connect_known_account", "connect_business_verdict")):
            continue  # called by the others: it can read any store's account
        for caller in callers:
            quoted = caller.replace('"', '""')
            op.execute(f'GRANT EXECUTE ON FUNCTION {function} TO "{quoted}"')
