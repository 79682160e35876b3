"""Links that bring stores on board, what came of them, and the doors of the connect app.

The connect app's role has no right on any table. It calls the functions below, which run with the
rights of their owner and find a row only by a secret that the caller knows: the hash of a link, or
an attempt together with the browser that began it.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

_TABLES = """
ALTER TABLE store_tokens ADD COLUMN connected_at timestamptz;

CREATE TABLE connect_links (
    link_hash bytea PRIMARY KEY,
    store_code text NOT NULL REFERENCES stores ON DELETE CASCADE,
    expected_account text CHECK (expected_account = lower(expected_account)),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX connect_links_store_code ON connect_links (store_code, created_at DESC);

CREATE TABLE connect_attempts (
    attempt_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    link_hash bytea NOT NULL REFERENCES connect_links ON DELETE CASCADE,
    store_code text NOT NULL REFERENCES stores ON DELETE CASCADE,
    state_hash bytea NOT NULL UNIQUE,
    browser_hash bytea NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    returned_at timestamptz,
    outcome text CHECK (outcome IN (
        'connected', 'missing_scope', 'denied', 'declined', 'wrong_account', 'taken',
        'unavailable', 'failed', 'expired')),
    finished_at timestamptz,
    open_id text,
    union_id text,
    username text,
    display_name text,
    scope text,
    access_token bytea,
    access_expires_at timestamptz,
    refresh_token bytea,
    refresh_expires_at timestamptz,
    CHECK ((outcome IS NULL) = (finished_at IS NULL)),
    CHECK (outcome IS NULL OR (access_token IS NULL AND refresh_token IS NULL))
);
CREATE INDEX connect_attempts_store_code ON connect_attempts (store_code, begun_at DESC);
CREATE INDEX connect_attempts_link_hash ON connect_attempts (link_hash);
CREATE INDEX connect_attempts_open ON connect_attempts (expires_at) WHERE finished_at IS NULL;

CREATE TABLE webhook_events (
    event_hash bytea PRIMARY KEY,
    event text NOT NULL,
    open_id text NOT NULL,
    store_code text REFERENCES stores ON DELETE CASCADE,
    reason integer,
    happened_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    deliveries integer NOT NULL DEFAULT 1,
    effect text NOT NULL CHECK (effect IN (
        'needs_consent', 'unknown_account', 'older_than_grant', 'ignored'))
);
"""

_LINKS = """
CREATE FUNCTION connect_link(p_link bytea) RETURNS TABLE (
    store_code text, store_name text, expected_account text, expires_at timestamptz, state text)
LANGUAGE sql STABLE AS $$
    SELECT l.store_code, s.store_name, l.expected_account, l.expires_at,
        CASE WHEN l.used_at IS NOT NULL THEN 'used'
            WHEN l.revoked_at IS NOT NULL OR s.removed_at IS NOT NULL THEN 'replaced'
            WHEN l.expires_at <= now() THEN 'expired' ELSE 'open' END
    FROM connect_links l JOIN stores s USING (store_code) WHERE l.link_hash = p_link
$$;

CREATE FUNCTION connect_begin(
    p_link bytea, p_state bytea, p_browser bytea, p_life interval) RETURNS uuid
LANGUAGE sql AS $$
    INSERT INTO connect_attempts (link_hash, store_code, state_hash, browser_hash, expires_at)
    SELECT p_link, l.store_code, p_state, p_browser, now() + least(p_life, interval '1 hour')
    FROM connect_link(p_link) l WHERE l.state = 'open'
    RETURNING attempt_id
$$;

CREATE FUNCTION connect_return(p_state bytea, p_browser bytea)
RETURNS TABLE (attempt_id uuid, store_code text, expected_account text)
LANGUAGE sql AS $$
    UPDATE connect_attempts a SET returned_at = now()
    FROM connect_links k CROSS JOIN LATERAL connect_link(k.link_hash) l
    WHERE k.link_hash = a.link_hash AND a.state_hash = p_state AND a.browser_hash = p_browser
        AND a.returned_at IS NULL AND a.finished_at IS NULL AND a.expires_at > now()
        AND l.state = 'open'
    RETURNING a.attempt_id, a.store_code, l.expected_account
$$;
"""

_ATTEMPTS = """
CREATE FUNCTION connect_known_account(p_store text)
RETURNS TABLE (union_id text, username text, display_name text)
LANGUAGE sql STABLE AS $$
    SELECT known.union_id, known.username, known.display_name FROM (
        (SELECT u.union_id, u.username, u.display_name, u.observed_at AS seen_at
        FROM user_daily_stats u WHERE u.store_code = p_store AND u.union_id IS NOT NULL
        ORDER BY u.snapshot_date DESC LIMIT 1)
        UNION ALL
        (SELECT a.union_id, a.username, a.display_name, a.finished_at
        FROM connect_attempts a
        WHERE a.store_code = p_store AND a.outcome IN ('connected', 'missing_scope')
        ORDER BY a.finished_at DESC LIMIT 1)) known
    ORDER BY known.seen_at DESC LIMIT 1
$$;

CREATE FUNCTION connect_verdict(p_store text, p_open_id text, p_union_id text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        -- A store that has left keeps no other from its account.
        WHEN EXISTS (SELECT FROM store_tokens JOIN stores USING (store_code)
            WHERE open_id = p_open_id AND store_code <> p_store AND removed_at IS NULL)
            THEN 'taken'
        WHEN EXISTS (SELECT FROM store_tokens
            WHERE open_id = p_open_id AND store_code = p_store) THEN 'same'
        WHEN p_union_id = (SELECT k.union_id FROM connect_known_account(p_store) k) THEN 'same'
        WHEN EXISTS (SELECT FROM store_tokens WHERE store_code = p_store)
            OR EXISTS (SELECT FROM connect_known_account(p_store)) THEN 'replaces'
        ELSE 'first' END
$$;

CREATE FUNCTION connect_attempt(p_attempt uuid, p_browser bytea) RETURNS TABLE (
    store_code text, store_name text, expected_account text, link_hash bytea, link_state text,
    outcome text,
    is_waiting boolean, username text, display_name text, scope text, verdict text,
    present_username text, present_display_name text)
LANGUAGE sql STABLE AS $$
    SELECT a.store_code, l.store_name, l.expected_account, a.link_hash, l.state, a.outcome,
        a.access_token IS NOT NULL AND a.expires_at > now(), a.username, a.display_name, a.scope,
        connect_verdict(a.store_code, a.open_id, a.union_id), k.username, k.display_name
    FROM connect_attempts a CROSS JOIN LATERAL connect_link(a.link_hash) l
    LEFT JOIN LATERAL connect_known_account(a.store_code) k ON true
    WHERE a.attempt_id = p_attempt AND a.browser_hash = p_browser
$$;

CREATE FUNCTION connect_hold(
    p_attempt uuid, p_browser bytea, p_account jsonb, p_access bytea,
    p_access_expires timestamptz, p_refresh bytea, p_refresh_expires timestamptz) RETURNS text
LANGUAGE sql AS $$
    UPDATE connect_attempts a SET
        open_id = p_account ->> 'open_id', union_id = p_account ->> 'union_id',
        username = p_account ->> 'username', display_name = p_account ->> 'display_name',
        scope = p_account ->> 'scope', access_token = p_access,
        access_expires_at = p_access_expires, refresh_token = p_refresh,
        refresh_expires_at = p_refresh_expires
    WHERE a.attempt_id = p_attempt AND a.browser_hash = p_browser AND a.returned_at IS NOT NULL
        AND a.finished_at IS NULL AND a.access_token IS NULL AND a.expires_at > now()
    RETURNING connect_verdict(a.store_code, a.open_id, a.union_id)
$$;

CREATE FUNCTION connect_close(p_attempt uuid, p_browser bytea, p_outcome text) RETURNS bytea
LANGUAGE plpgsql AS $$
DECLARE
    held bytea;
BEGIN
    SELECT access_token INTO held FROM connect_attempts
    WHERE attempt_id = p_attempt AND browser_hash = p_browser AND finished_at IS NULL FOR UPDATE;
    IF FOUND AND p_outcome NOT IN ('connected', 'missing_scope', 'expired') THEN
        UPDATE connect_attempts SET outcome = p_outcome, finished_at = now(),
            access_token = NULL, refresh_token = NULL WHERE attempt_id = p_attempt;
        RETURN held;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION connect_sweep() RETURNS bigint LANGUAGE sql AS $$
    WITH swept AS (
        UPDATE connect_attempts SET outcome = 'expired', finished_at = now(),
            access_token = NULL, refresh_token = NULL
        WHERE finished_at IS NULL AND expires_at <= now() RETURNING 1)
    SELECT count(*) FROM swept
$$;
"""

# The tokens go from one table to the other inside the database: the app never reads them back.
# A link stays open when a permission is missing, so that it can be granted with the same link.
_CONFIRM = """
CREATE FUNCTION connect_confirm(
    p_attempt uuid, p_browser bytea, p_replace boolean, p_status text, p_complete boolean)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    held connect_attempts;
    found_verdict text;
BEGIN
    SELECT * INTO held FROM connect_attempts
    WHERE attempt_id = p_attempt AND browser_hash = p_browser AND finished_at IS NULL
        AND access_token IS NOT NULL AND expires_at > now() FOR UPDATE;
    IF NOT FOUND OR p_status NOT IN ('active', 'missing_scope') THEN
        RETURN 'gone';
    END IF;
    PERFORM FROM connect_links WHERE link_hash = held.link_hash FOR UPDATE;
    IF (SELECT state FROM connect_link(held.link_hash)) IN ('used', 'replaced') THEN
        RETURN 'gone';
    END IF;
    -- One account at a time, so that two stores cannot both find it free.
    PERFORM pg_advisory_xact_lock(hashtextextended('connect ' || held.open_id, 0));
    found_verdict := connect_verdict(held.store_code, held.open_id, held.union_id);
    IF found_verdict = 'taken' OR (found_verdict = 'replaces' AND NOT p_replace) THEN
        RETURN found_verdict;
    END IF;
    INSERT INTO store_tokens AS old (store_code, open_id, scope, access_token, access_expires_at,
        refresh_token, refresh_expires_at, status, connected_at)
    VALUES (held.store_code, held.open_id, held.scope, held.access_token, held.access_expires_at,
        held.refresh_token, held.refresh_expires_at, p_status, now())
    ON CONFLICT (store_code) DO UPDATE SET
        open_id = excluded.open_id, scope = excluded.scope, access_token = excluded.access_token,
        access_expires_at = excluded.access_expires_at, refresh_token = excluded.refresh_token,
        refresh_expires_at = excluded.refresh_expires_at, status = excluded.status,
        status_reason = NULL, connected_at = excluded.connected_at,
        status_since = CASE WHEN old.status = excluded.status THEN old.status_since ELSE now() END,
        updated_at = now(), refresh_started_at = NULL;
    UPDATE connect_links SET used_at = now()
    WHERE link_hash = held.link_hash AND p_complete;
    UPDATE connect_attempts SET finished_at = now(), access_token = NULL, refresh_token = NULL,
        outcome = CASE WHEN p_complete THEN 'connected' ELSE 'missing_scope' END
    WHERE attempt_id = p_attempt;
    INSERT INTO store_audit (store_code, action, actor, details)
    SELECT held.store_code,
        CASE WHEN p_status = 'active' THEN 'connect' ELSE 'connect_partly' END, 'store manager',
        jsonb_build_object('link_by', l.created_by, 'replaced', found_verdict = 'replaces')
    FROM connect_links l WHERE l.link_hash = held.link_hash;
    RETURN 'connected';
END $$;
"""

_WEBHOOK = """
CREATE FUNCTION connect_webhook(
    p_hash bytea, p_event text, p_open_id text, p_reason integer, p_happened timestamptz,
    p_message text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    told webhook_events;
    grant_row store_tokens;
BEGIN
    INSERT INTO webhook_events (event_hash, event, open_id, reason, happened_at, effect)
    VALUES (p_hash, p_event, p_open_id, p_reason, p_happened, 'ignored')
    ON CONFLICT (event_hash) DO UPDATE SET deliveries = webhook_events.deliveries + 1
    RETURNING * INTO told;
    IF told.deliveries > 1 THEN
        RETURN 'repeated';
    ELSIF p_event <> 'authorization.removed' THEN
        RETURN 'ignored';
    END IF;
    -- The account may have moved here from a store that has left.
    SELECT * INTO grant_row FROM store_tokens WHERE open_id = p_open_id
    ORDER BY status = 'needs_consent', connected_at DESC NULLS LAST LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        told.effect := 'unknown_account';
    -- The event has whole seconds, and must not end a grant that was given after it.
    ELSIF date_trunc('second', coalesce(grant_row.connected_at, grant_row.created_at))
            > p_happened THEN
        told.effect := 'older_than_grant';
    ELSE
        told.effect := 'needs_consent';
        UPDATE store_tokens SET
            status_since = CASE WHEN status = 'needs_consent' THEN status_since ELSE now() END,
            status = 'needs_consent', status_reason = p_message, updated_at = now(),
            refresh_started_at = NULL
        WHERE store_code = grant_row.store_code;
        INSERT INTO store_audit (store_code, action, actor, details) VALUES (
            grant_row.store_code, 'grant_ended', 'TikTok', jsonb_build_object('reason', p_reason));
    END IF;
    UPDATE webhook_events SET effect = told.effect, store_code = grant_row.store_code
    WHERE event_hash = p_hash;
    RETURN told.effect;
END $$;
"""

_FUNCTIONS = {
    "connect_link(bytea)": "One link, by its hash",
    "connect_begin(bytea, bytea, bytea, interval)": "Begin an attempt on an open link",
    "connect_return(bytea, bytea)": "The browser is back from TikTok: uses its state up",
    "connect_known_account(text)": "The account that a store was last seen with",
    "connect_verdict(text, text, text)": "Whose an account is: the store''s, another''s, new",
    "connect_attempt(uuid, bytea)": "One attempt, for the browser that began it",
    "connect_hold(uuid, bytea, jsonb, bytea, timestamptz, bytea, timestamptz)": (
        "Keep the new tokens until the manager has answered"
    ),
    "connect_close(uuid, bytea, text)": (
        "End an attempt without a connection; gives its own access token for revocation"
    ),
    "connect_sweep()": "End attempts that ran out, and their tokens",
    "connect_confirm(uuid, bytea, boolean, text, boolean)": (
        "Connect the store with the tokens kept"
    ),
    "connect_webhook(bytea, text, text, integer, timestamptz, text)": (
        "Record an event of TikTok once, and mark the store whose grant it ends"
    ),
}

_COMMENTS = {
    "COLUMN store_tokens.connected_at": (
        "When the manager gave this grant, or it was imported; NULL = before this was recorded"
    ),
    "TABLE connect_links": "Links that let a store''s manager connect the TikTok account",
    "COLUMN connect_links.link_hash": "SHA-256 of the link''s token; the token itself is not kept",
    "COLUMN connect_links.store_code": "The store it is for",
    "COLUMN connect_links.expected_account": (
        "TikTok username that the operator expects, in lower case; NULL = any"
    ),
    "COLUMN connect_links.created_by": "Who made it",
    "COLUMN connect_links.created_at": "When it was made",
    "COLUMN connect_links.expires_at": "From when on it opens nothing",
    "COLUMN connect_links.used_at": "When it connected the store, which ends it; NULL = not yet",
    "COLUMN connect_links.revoked_at": "When a newer link took its place or the store was paused;"
    " NULL = neither",
    "TABLE connect_attempts": "Every way to TikTok and back, and what came of it",
    "COLUMN connect_attempts.attempt_id": "Shown in the address of the pages after TikTok",
    "COLUMN connect_attempts.link_hash": "The link it began with",
    "COLUMN connect_attempts.store_code": "The store of that link",
    "COLUMN connect_attempts.state_hash": "SHA-256 of the OAuth state; works once",
    "COLUMN connect_attempts.browser_hash": "SHA-256 of the cookie of the browser that began it",
    "COLUMN connect_attempts.begun_at": "When the browser left for TikTok",
    "COLUMN connect_attempts.expires_at": "From when on it cannot be completed",
    "COLUMN connect_attempts.returned_at": "When the browser came back; NULL = not yet",
    "COLUMN connect_attempts.outcome": (
        "connected; missing_scope: connected with fewer permissions; denied at TikTok; declined:"
        " not this account; wrong_account: not the expected one; taken: it is another store''s;"
        " unavailable: TikTok did not answer; failed: it gave no tokens; expired; NULL = under way"
    ),
    "COLUMN connect_attempts.finished_at": "When that was decided",
    "COLUMN connect_attempts.open_id": "The account at TikTok, for this app",
    "COLUMN connect_attempts.union_id": "The account at TikTok, for all apps of the developer",
    "COLUMN connect_attempts.username": "Its username, if TikTok told",
    "COLUMN connect_attempts.display_name": "Its display name, if TikTok told",
    "COLUMN connect_attempts.scope": "Scopes granted, comma-separated",
    "COLUMN connect_attempts.access_token": (
        "Ciphertext, only until the manager has answered or the attempt expired"
    ),
    "COLUMN connect_attempts.access_expires_at": "When the access token ends",
    "COLUMN connect_attempts.refresh_token": "Likewise",
    "COLUMN connect_attempts.refresh_expires_at": "When the grant ends",
    "TABLE webhook_events": "What TikTok told by webhook, each event once",
    "COLUMN webhook_events.event_hash": "SHA-256 of what makes the event this one",
    "COLUMN webhook_events.event": "Its name, such as authorization.removed",
    "COLUMN webhook_events.open_id": "The account it is about",
    "COLUMN webhook_events.store_code": "The account''s store; NULL = none of ours",
    "COLUMN webhook_events.reason": "TikTok''s number of the reason; NULL = none given",
    "COLUMN webhook_events.happened_at": "When it happened, by TikTok''s clock",
    "COLUMN webhook_events.received_at": "When it first came",
    "COLUMN webhook_events.deliveries": "How often it came",
    "COLUMN webhook_events.effect": (
        "needs_consent: the store was marked; unknown_account; older_than_grant: the store has"
        " been connected again since; ignored: an event of no use here"
    ),
}


def upgrade() -> None:
    """Add tables and functions; nobody may call them until a role is given the right."""
    for statements in (_TABLES, _LINKS, _ATTEMPTS, _CONFIRM, _WEBHOOK):
        op.execute(statements)
    for function, purpose in _FUNCTIONS.items():
        op.execute(
            f"ALTER FUNCTION {function} SECURITY DEFINER"
            " SET search_path = pg_catalog, public, pg_temp"
        )
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"COMMENT ON FUNCTION {function} IS '{purpose}'")
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away."""
    for function in reversed(_FUNCTIONS):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP TABLE webhook_events, connect_attempts, connect_links")
    op.execute("ALTER TABLE store_tokens DROP COLUMN connected_at")
