"""One place for two rules: which grants still work and until when, and whether a link is open."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

_GRANTS = """
CREATE VIEW living_grants AS
SELECT s.store_code, s.store_name, s.region, s.is_active,
    store_state(s.is_active, s.removed_at, t.status) AS state,
    t.refresh_expires_at AS ends_at,
    (extract(epoch FROM t.refresh_expires_at - now()) / 86400)::float8 AS days_left
FROM store_tokens AS t JOIN stores AS s USING (store_code)
WHERE t.status <> 'needs_consent' AND s.removed_at IS NULL
"""

# The moment is an argument, so that retention can ask about the one it counts from.
_LINK_STATE = """
CREATE FUNCTION link_state(
    used_at timestamptz, revoked_at timestamptz, expires_at timestamptz, is_active boolean,
    moment timestamptz)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT CASE
    WHEN used_at IS NOT NULL THEN 'used'
    WHEN revoked_at IS NOT NULL OR NOT is_active THEN 'replaced'
    WHEN expires_at <= moment THEN 'expired'
    ELSE 'open'
END
$$
"""

_CONNECT_LINK = """
CREATE OR REPLACE FUNCTION connect_link(p_link bytea) RETURNS TABLE (
    store_code text, store_name text, expected_account text, expires_at timestamptz, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT l.store_code, s.store_name, l.expected_account, l.expires_at,
        {state}
    FROM connect_links l JOIN stores s USING (store_code) WHERE l.link_hash = p_link
$$
"""
_NOW = "link_state(l.used_at, l.revoked_at, l.expires_at, s.is_active, now())"
_BEFORE = """CASE WHEN l.used_at IS NOT NULL THEN 'used'
            WHEN l.revoked_at IS NOT NULL OR NOT s.is_active THEN 'replaced'
            WHEN l.expires_at <= now() THEN 'expired' ELSE 'open' END"""

_COMMENTS = {
    "FUNCTION link_state": (
        "The state of a connect link: used, replaced (by a newer one, or its store was paused or"
        " left), expired or open"
    ),
    "VIEW living_grants": (
        "The grants that still work, of stores that have not left, with the days left until each"
        " ends; never a token. A grant ends soon where days_left is below the number of days"
    ),
    "COLUMN living_grants.store_code": "Which store",
    "COLUMN living_grants.store_name": "Its name",
    "COLUMN living_grants.region": "Its region",
    "COLUMN living_grants.is_active": "Whether the nightly syncs include the store",
    "COLUMN living_grants.state": "active, missing_scope (the grant) or paused (the store)",
    "COLUMN living_grants.ends_at": (
        "End of the grant, however often it is refreshed; NULL = TikTok did not say"
    ),
    "COLUMN living_grants.days_left": "Days until then; below 0 it has ended unnoticed",
}


def upgrade() -> None:
    """Add them. Replacing connect_link keeps its owner and who may call it."""
    op.execute(_GRANTS)
    op.execute(_LINK_STATE)
    op.execute(_CONNECT_LINK.format(state=_NOW))
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away; connect_link decides for itself again."""
    op.execute(_CONNECT_LINK.format(state=_BEFORE))
    op.execute("DROP FUNCTION link_state")
    op.execute("DROP VIEW living_grants")
