"""What the connect app's functions answer once something has ended: a link, an attempt, a grant.

* A store that is not in the nightly syncs has no open link, whatever took it out of them. Links
  that were open although their store had been paused or had left are ended here.
* A browser that comes back twice with the same state is shown its attempt again, and an attempt
  says whether TikTok is still being asked.
* An attempt that connected nothing keeps no account: it is cleared as the attempt ends, and here
  for those that have ended before.
* A notice of TikTok that changes nothing is recorded and writes nothing to the store. Only a notice
  about a store's account keeps the account, together with the store, whose erasure and export then
  find it.
"""

from __future__ import annotations

from importlib import import_module

from alembic import op

revision = "0010"
down_revision = "0009"

_NO_ACCOUNT = "open_id = NULL, union_id = NULL, username = NULL, display_name = NULL"

_EVENTS = """
ALTER TABLE webhook_events ALTER COLUMN open_id DROP NOT NULL;
ALTER TABLE webhook_events DROP CONSTRAINT webhook_events_effect_check;
ALTER TABLE webhook_events ADD CONSTRAINT webhook_events_effect_check CHECK (effect IN (
    'needs_consent', 'already_ended', 'unknown_account', 'older_than_grant', 'ignored'));
"""

# The account of an event is that of the store which holds it now; of several the one that has not
# left. Elsewhere nobody could ever find the event by its store again.
_CLEANED = f"""
UPDATE webhook_events e SET store_code = (
    SELECT t.store_code FROM store_tokens t JOIN stores s USING (store_code)
    WHERE t.open_id = e.open_id ORDER BY s.removed_at DESC NULLS FIRST, t.store_code LIMIT 1)
WHERE e.store_code IS NULL;
UPDATE webhook_events SET open_id = NULL WHERE store_code IS NULL;

UPDATE connect_attempts SET {_NO_ACCOUNT}
WHERE outcome NOT IN ('connected', 'missing_scope')
    AND num_nonnulls(open_id, union_id, username, display_name) > 0;

UPDATE connect_links l SET revoked_at = now() FROM stores s
WHERE s.store_code = l.store_code AND l.used_at IS NULL AND l.revoked_at IS NULL
    AND (NOT s.is_active OR EXISTS (
        SELECT FROM store_audit a WHERE a.store_code = l.store_code
            AND a.action IN ('pause', 'disconnect') AND a.happened_at >= l.created_at));
"""  # noqa: S608 - a constant of this module

_LINK = """
CREATE OR REPLACE FUNCTION connect_link(p_link bytea) RETURNS TABLE (
    store_code text, store_name text, expected_account text, expires_at timestamptz, state text)
LANGUAGE sql STABLE AS $$
    SELECT l.store_code, s.store_name, l.expected_account, l.expires_at,
        CASE WHEN l.used_at IS NOT NULL THEN 'used'
            WHEN l.revoked_at IS NOT NULL OR NOT s.is_active THEN 'replaced'
            WHEN l.expires_at <= now() THEN 'expired' ELSE 'open' END
    FROM connect_links l JOIN stores s USING (store_code) WHERE l.link_hash = p_link
$$;
"""

# Of two that come with one state at once, the update lets only one be the first.
_RETURN = """
CREATE FUNCTION connect_return(p_state bytea, p_browser bytea, p_use boolean DEFAULT true)
RETURNS TABLE (attempt_id uuid, store_code text, expected_account text, is_first boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF p_use THEN
        RETURN QUERY UPDATE connect_attempts a SET returned_at = now()
            FROM connect_links k CROSS JOIN LATERAL connect_link(k.link_hash) l
            WHERE k.link_hash = a.link_hash AND a.state_hash = p_state
                AND a.browser_hash = p_browser AND a.returned_at IS NULL
                AND a.finished_at IS NULL AND a.expires_at > now() AND l.state = 'open'
            RETURNING a.attempt_id, a.store_code, l.expected_account, true;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT a.attempt_id, a.store_code, l.expected_account, false
        FROM connect_attempts a JOIN connect_links l USING (link_hash)
        WHERE a.state_hash = p_state AND a.browser_hash = p_browser
            AND (a.returned_at IS NOT NULL OR (NOT p_use AND a.finished_at IS NULL
                AND a.expires_at > now()
                AND (SELECT k.state FROM connect_link(a.link_hash) k) = 'open'));
END $$;
"""

# Two minutes: longer than all tries of an exchange and of the question whose account it is.
_ATTEMPT = """
CREATE FUNCTION connect_attempt(p_attempt uuid, p_browser bytea) RETURNS TABLE (
    store_code text, store_name text, expected_account text, link_hash bytea, link_state text,
    outcome text,
    is_waiting boolean, is_under_way boolean, username text, display_name text, scope text,
    verdict text, present_username text, present_display_name text)
LANGUAGE sql STABLE AS $$
    SELECT a.store_code, l.store_name, l.expected_account, a.link_hash, l.state, a.outcome,
        a.access_token IS NOT NULL AND a.expires_at > now(),
        coalesce(a.finished_at IS NULL AND a.access_token IS NULL AND a.expires_at > now()
            AND a.returned_at > now() - interval '2 minutes', false),
        a.username, a.display_name, a.scope,
        connect_verdict(a.store_code, a.open_id, a.union_id), k.username, k.display_name
    FROM connect_attempts a CROSS JOIN LATERAL connect_link(a.link_hash) l
    LEFT JOIN LATERAL connect_known_account(a.store_code) k ON true
    WHERE a.attempt_id = p_attempt AND a.browser_hash = p_browser
$$;
"""

_ENDS = f"""
CREATE OR REPLACE FUNCTION connect_close(p_attempt uuid, p_browser bytea, p_outcome text)
RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    held bytea;
BEGIN
    SELECT access_token INTO held FROM connect_attempts
    WHERE attempt_id = p_attempt AND browser_hash = p_browser AND finished_at IS NULL FOR UPDATE;
    IF FOUND AND p_outcome NOT IN ('connected', 'missing_scope', 'expired') THEN
        UPDATE connect_attempts SET outcome = p_outcome, finished_at = now(),
            access_token = NULL, refresh_token = NULL, {_NO_ACCOUNT} WHERE attempt_id = p_attempt;
        RETURN held;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION connect_sweep() RETURNS bigint LANGUAGE sql AS $$
    WITH swept AS (
        UPDATE connect_attempts SET outcome = 'expired', finished_at = now(),
            access_token = NULL, refresh_token = NULL, {_NO_ACCOUNT}
        WHERE finished_at IS NULL AND expires_at <= now() RETURNING 1)
    SELECT count(*) FROM swept
$$;
"""  # noqa: S608 - a constant of this module

_WEBHOOK = """
CREATE OR REPLACE FUNCTION connect_webhook(
    p_hash bytea, p_event text, p_open_id text, p_reason integer, p_happened timestamptz,
    p_message text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    told webhook_events;
    holder text;
    holder_has_left boolean;
    grant_row store_tokens;
BEGIN
    -- The account may have moved here from a store that has left. An erasure holds the store's row:
    -- waiting for it here, before anything is locked, finds the store gone instead of a deadlock.
    SELECT s.store_code, s.removed_at IS NOT NULL INTO holder, holder_has_left
    FROM store_tokens t JOIN stores s USING (store_code) WHERE t.open_id = p_open_id
    ORDER BY t.status = 'needs_consent', t.connected_at DESC NULLS LAST LIMIT 1
    FOR KEY SHARE OF s;
    INSERT INTO webhook_events (event_hash, event, open_id, store_code, reason, happened_at, effect)
    VALUES (p_hash, p_event, CASE WHEN holder IS NOT NULL THEN p_open_id END, holder, p_reason,
        p_happened, 'ignored')
    ON CONFLICT (event_hash) DO UPDATE SET deliveries = webhook_events.deliveries + 1
    RETURNING * INTO told;
    IF told.deliveries > 1 THEN
        RETURN 'repeated';
    ELSIF p_event <> 'authorization.removed' THEN
        RETURN 'ignored';
    END IF;
    SELECT * INTO grant_row FROM store_tokens
    WHERE store_code = holder AND open_id = p_open_id FOR UPDATE;
    IF NOT FOUND THEN
        told.effect := 'unknown_account';
    -- Known before, or by our own doing (5): stores disconnect writes down what it gives back.
    ELSIF grant_row.status = 'needs_consent' OR (p_reason = 5 AND holder_has_left) THEN
        told.effect := 'already_ended';
    -- The event has whole seconds, and must not end a grant that was given in the same one: a grant
    -- that is dead after all is found by the next refresh, one that was ended by mistake is lost.
    ELSIF date_trunc('second', coalesce(grant_row.connected_at, grant_row.created_at))
            >= p_happened THEN
        told.effect := 'older_than_grant';
    ELSE
        told.effect := 'needs_consent';
        UPDATE store_tokens SET status_since = now(), status = 'needs_consent',
            status_reason = p_message, updated_at = now(), refresh_started_at = NULL
        WHERE store_code = holder;
        INSERT INTO store_audit (store_code, action, actor, details) VALUES (
            holder, 'grant_ended', 'TikTok', jsonb_build_object('reason', p_reason));
    END IF;
    UPDATE webhook_events SET effect = told.effect WHERE event_hash = p_hash;
    RETURN told.effect;
END $$;
"""

_RETURN_NOW = "connect_return(bytea, bytea, boolean)"
_RETURN_BEFORE = "connect_return(bytea, bytea)"
_ATTEMPT_BOTH = "connect_attempt(uuid, bytea)"

_COMMENTS = {
    "COLUMN connect_links.revoked_at": (
        "When a newer link took its place, or the store was paused or left; NULL = neither"
    ),
    "COLUMN connect_attempts.open_id": (
        "The account at TikTok, for this app. Cleared, like the three columns after it, when the"
        " attempt ends without a connection"
    ),
    "COLUMN webhook_events.open_id": (
        "The account it is about; NULL = no store of ours had it, so it is not kept"
    ),
    "COLUMN webhook_events.store_code": (
        "The store that had the account when the event came; NULL = none of ours"
    ),
    "COLUMN webhook_events.effect": (
        "needs_consent: the store was marked; already_ended: its grant had ended before, or was"
        " given back by us; unknown_account; older_than_grant: the store has been connected again"
        " since; ignored: an event of no use here"
    ),
}
_COMMENTS_BEFORE = {
    "COLUMN connect_links.revoked_at": (
        "When a newer link took its place or the store was paused; NULL = neither"
    ),
    "COLUMN connect_attempts.open_id": "The account at TikTok, for this app",
    "COLUMN webhook_events.open_id": "The account it is about",
    "COLUMN webhook_events.store_code": "The account's store; NULL = none of ours",
    "COLUMN webhook_events.effect": (
        "needs_consent: the store was marked; unknown_account; older_than_grant: the store has"
        " been connected again since; ignored: an event of no use here"
    ),
}

_CALLERS = """
SELECT r.rolname FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
JOIN pg_roles r ON r.oid = a.grantee
WHERE p.oid = 'connect_link(bytea)'::regprocedure AND a.privilege_type = 'EXECUTE'
    AND a.grantee <> p.proowner
"""


def upgrade() -> None:
    """Change them; a role that could call the functions before still can."""
    op.execute(_EVENTS)
    op.execute(_CLEANED)
    op.execute(f"DROP FUNCTION {_RETURN_BEFORE}, {_ATTEMPT_BOTH}")
    for statements in (_LINK, _RETURN, _ATTEMPT, _ENDS, _WEBHOOK):
        op.execute(statements)
    _guard(_RETURN_NOW)
    _comment(_COMMENTS)


def downgrade() -> None:
    """Bring the former ones back. What was cleared stays cleared."""
    op.execute("DELETE FROM webhook_events WHERE open_id IS NULL")
    op.execute("UPDATE webhook_events SET effect = 'ignored' WHERE effect = 'already_ended'")
    op.execute(
        "ALTER TABLE webhook_events ALTER COLUMN open_id SET NOT NULL,"
        " DROP CONSTRAINT webhook_events_effect_check,"
        " ADD CONSTRAINT webhook_events_effect_check CHECK (effect IN ("
        " 'needs_consent', 'unknown_account', 'older_than_grant', 'ignored'))"
    )
    op.execute(f"DROP FUNCTION {_RETURN_NOW}, {_ATTEMPT_BOTH}")
    for name in ("link", "return", "attempt", "close", "sweep", "webhook"):
        op.execute(_of_0007(f"connect_{name}"))
    _guard(_RETURN_BEFORE)
    _comment(_COMMENTS_BEFORE)


def _of_0007(name: str) -> str:
    """How migration 0007 made a function."""
    made = import_module("include.migrations.versions.0007_connect")
    text = f"{made._LINKS}{made._ATTEMPTS}{made._WEBHOOK}"  # noqa: SLF001 - its own next version
    begin = text.index(f"CREATE FUNCTION {name}(")
    end = text.index("$$;", begin) + len("$$;")
    return text[begin:end].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


def _guard(connect_return: str) -> None:
    """What replacing a function loses: its owner's rights, and who may call it."""
    callers = op.get_bind().exec_driver_sql(_CALLERS).scalars().all()
    for function in (
        "connect_link(bytea)",
        connect_return,
        _ATTEMPT_BOTH,
        "connect_close(uuid, bytea, text)",
        "connect_sweep()",
        "connect_webhook(bytea, text, text, integer, timestamptz, text)",
    ):
        op.execute(
            f"ALTER FUNCTION {function} SECURITY DEFINER"
            " SET search_path = pg_catalog, public, pg_temp"
        )
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        for caller in callers:
            quoted = caller.replace('"', '""')
            op.execute(f'GRANT EXECUTE ON FUNCTION {function} TO "{quoted}"')
    purpose = "The browser is back from TikTok: uses its state up, or finds what it was used for"
    op.execute(f"COMMENT ON FUNCTION {connect_return} IS '{purpose}'")
    op.execute(
        f"COMMENT ON FUNCTION {_ATTEMPT_BOTH} IS 'One attempt, for the browser that began it'"
    )


def _comment(comments: dict[str, str]) -> None:
    for target, comment in comments.items():
        quoted = comment.replace("'", "''")
        op.execute(f"COMMENT ON {target} IS '{quoted}'")
