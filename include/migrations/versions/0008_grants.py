"""Which app gave a grant, who is refreshing it, and whether TikTok's last refusal is believed."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

# Columns without a default: the tables are not rewritten, and the locks last for milliseconds.
_COLUMNS = """
ALTER TABLE store_tokens
    ADD COLUMN app_fingerprint text,
    ADD COLUMN refresh_claim uuid,
    ADD COLUMN refresh_claimed_until timestamptz,
    ADD COLUMN refresh_run text,
    ADD COLUMN refresh_ended_at timestamptz,
    ADD COLUMN refresh_refused boolean;
ALTER TABLE connect_attempts ADD COLUMN app_fingerprint text;
"""

_COMMENTS = {
    "COLUMN store_tokens.app_fingerprint": (
        "Which TikTok app gave the grant: the first 12 hex digits of the SHA-256 of its client key;"
        " NULL = not known yet, the next successful refresh fills it in"
    ),
    "COLUMN store_tokens.refresh_claim": (
        "The refresh that is under way, so that no other process sends one; NULL = none"
    ),
    "COLUMN store_tokens.refresh_claimed_until": (
        "When that claim ends by itself, should its process die; NULL = no refresh is under way"
    ),
    "COLUMN store_tokens.refresh_run": (
        "Dag id and run id in which TikTok last answered a refresh; NULL = outside of a run"
    ),
    "COLUMN store_tokens.refresh_ended_at": "When TikTok last granted or refused a refresh",
    "COLUMN store_tokens.refresh_refused": (
        "Whether that answer was invalid_grant without an explanation; many of them at once are not"
        " believed"
    ),
    "COLUMN connect_attempts.app_fingerprint": (
        "Which TikTok app gave the tokens, as in store_tokens"
    ),
    "COLUMN alerts.kind": (
        "sla_missed: the run takes longer than SLA_MINUTES; run_failed: it failed; needs_consent:"
        " a grant was found dead or incomplete; data_missing: the run left stores without figures;"
        " grant_ends: a grant ends in 30, 14 or 3 days; refusals_doubted: TikTok refused too many"
        " grants at once to be believed"
    ),
}

_OLD_KIND = (
    "sla_missed: the run takes longer than SLA_MINUTES; run_failed: it failed; needs_consent:"
    " a grant was found dead or incomplete; data_missing: the run left stores without figures;"
    " grant_ends: a grant ends in 30, 14 or 3 days"
)

_OLD_KINDS = ("sla_missed", "run_failed", "needs_consent", "data_missing", "grant_ends")

_KINDS = """
ALTER TABLE alerts DROP CONSTRAINT alerts_kind_check;
ALTER TABLE alerts ADD CONSTRAINT alerts_kind_check CHECK (kind IN ({kinds}));
"""

# The two doors of 0007 that pass a grant on, each with one more column.
_HOLD = """
CREATE OR REPLACE FUNCTION connect_hold(
    p_attempt uuid, p_browser bytea, p_account jsonb, p_access bytea,
    p_access_expires timestamptz, p_refresh bytea, p_refresh_expires timestamptz) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE connect_attempts a SET
        open_id = p_account ->> 'open_id', union_id = p_account ->> 'union_id',
        username = p_account ->> 'username', display_name = p_account ->> 'display_name',
        scope = p_account ->> 'scope',{app} access_token = p_access,
        access_expires_at = p_access_expires, refresh_token = p_refresh,
        refresh_expires_at = p_refresh_expires
    WHERE a.attempt_id = p_attempt AND a.browser_hash = p_browser AND a.returned_at IS NOT NULL
        AND a.finished_at IS NULL AND a.access_token IS NULL AND a.expires_at > now()
    RETURNING connect_verdict(a.store_code, a.open_id, a.union_id)
$$;
"""

_CONFIRM = """
CREATE OR REPLACE FUNCTION connect_confirm(
    p_attempt uuid, p_browser bytea, p_replace boolean, p_status text, p_complete boolean)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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
        refresh_token, refresh_expires_at, status, connected_at{column})
    VALUES (held.store_code, held.open_id, held.scope, held.access_token, held.access_expires_at,
        held.refresh_token, held.refresh_expires_at, p_status, now(){value})
    ON CONFLICT (store_code) DO UPDATE SET
        open_id = excluded.open_id, scope = excluded.scope, access_token = excluded.access_token,
        access_expires_at = excluded.access_expires_at, refresh_token = excluded.refresh_token,
        refresh_expires_at = excluded.refresh_expires_at, status = excluded.status,
        status_reason = NULL, connected_at = excluded.connected_at,{replaced}
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


def upgrade() -> None:
    """Add the columns; the connect app's doors fill in the app."""
    op.execute(_COLUMNS)
    _allow_kinds((*_OLD_KINDS, "refusals_doubted"))
    op.execute(_HOLD.format(app=" app_fingerprint = p_account ->> 'app_fingerprint',"))
    op.execute(
        _CONFIRM.format(
            column=", app_fingerprint",
            value=", held.app_fingerprint",
            replaced="\n        app_fingerprint = excluded.app_fingerprint,",
        )
    )
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away, and the alerts that the older schema cannot hold."""
    op.execute(_CONFIRM.format(column="", value="", replaced=""))
    op.execute(_HOLD.format(app=""))
    op.execute("DELETE FROM alerts WHERE kind = 'refusals_doubted'")
    _allow_kinds(_OLD_KINDS)
    op.execute(f"COMMENT ON COLUMN alerts.kind IS '{_OLD_KIND}'")
    op.execute("ALTER TABLE connect_attempts DROP COLUMN app_fingerprint")
    op.execute(
        "ALTER TABLE store_tokens DROP COLUMN app_fingerprint, DROP COLUMN refresh_claim,"
        " DROP COLUMN refresh_claimed_until, DROP COLUMN refresh_run,"
        " DROP COLUMN refresh_ended_at, DROP COLUMN refresh_refused"
    )


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    op.execute(_KINDS.format(kinds=", ".join(f"'{kind}'" for kind in kinds)))
