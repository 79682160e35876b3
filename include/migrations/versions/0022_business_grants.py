"""Grants of the Business API, kept like those of the Display API."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"

# Columns, defaults, checks, indexes and comments (with their marks of personal data) are those of
# the first table: what is true of a grant is true of both.
_TABLE = """
CREATE TABLE business_tokens (
    LIKE store_tokens INCLUDING ALL,
    FOREIGN KEY (store_code) REFERENCES stores ON DELETE CASCADE,
    FOREIGN KEY (notice_version) REFERENCES privacy_notices
)
"""

_COMMENTS = {
    "TABLE business_tokens": (
        "The grants of the stores'' managers for the Business API; tokens are always ciphertext"
    ),
    "COLUMN business_tokens.app_fingerprint": (
        "Which Business app the grant belongs to: the first 12 hex digits of the SHA-256 of its app"
        " id; NULL = not known yet, the next successful refresh sets it"
    ),
    "COLUMN business_tokens.refresh_token": (
        "Refresh token, Fernet ciphertext bound to the store; a refresh may replace it"
    ),
    "COLUMN business_tokens.refresh_expires_at": (
        "End of the grant, a year after the consent; no refresh moves it"
    ),
    "COLUMN business_tokens.refresh_refused": (
        "Whether that answer said that the grant has ended, without an explanation; too many of"
        " them at once are not believed"
    ),
    "FUNCTION held_accounts": (
        "Which store holds which TikTok account of an API, for every store that has not left"
    ),
}

# With a default and not as a second function: what calls it without an API means the first.
_HELD = """
DROP FUNCTION held_accounts();
CREATE FUNCTION held_accounts(p_api text DEFAULT 'display')
RETURNS TABLE (open_id text, store_code text) LANGUAGE sql STABLE AS $$
    -- A store that has left keeps no other from its account.
    SELECT t.open_id, t.store_code FROM (
        SELECT store_tokens.open_id, store_tokens.store_code FROM store_tokens
        WHERE p_api = 'display'
        UNION ALL
        SELECT business_tokens.open_id, business_tokens.store_code FROM business_tokens
        WHERE p_api = 'business'
    ) t JOIN stores s USING (store_code)
    WHERE s.removed_at IS NULL
$$
"""

_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_second_holder() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    api text;
    other text;
BEGIN
    PERFORM lock_accounts();
    FOREACH api IN ARRAY CASE TG_TABLE_NAME
        WHEN 'store_tokens' THEN ARRAY['display']
        WHEN 'business_tokens' THEN ARRAY['business']
        ELSE ARRAY['display', 'business'] END
    LOOP
        SELECT min(held.store_code) INTO other
        FROM held_accounts(api) own JOIN held_accounts(api) held USING (open_id)
        WHERE own.store_code = NEW.store_code AND held.store_code <> own.store_code;
        IF other IS NOT NULL THEN
            RAISE EXCEPTION 'store % has a TikTok account that store % holds', NEW.store_code, other
                USING ERRCODE = 'unique_violation', CONSTRAINT = 'one_store_per_account',
                    SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
        END IF;
    END LOOP;
    RETURN NULL;
END $$
"""

_TRIGGERS = """
CREATE TRIGGER one_store_per_account_new AFTER INSERT ON business_tokens
FOR EACH ROW EXECUTE FUNCTION refuse_second_holder();
CREATE TRIGGER one_store_per_account_changed AFTER UPDATE OF open_id ON business_tokens
FOR EACH ROW WHEN (NEW.open_id IS DISTINCT FROM OLD.open_id)
EXECUTE FUNCTION refuse_second_holder()
"""

_HELD_BEFORE = """
DROP FUNCTION held_accounts(text);
CREATE FUNCTION held_accounts() RETURNS TABLE (open_id text, store_code text)
LANGUAGE sql STABLE AS $$
    -- A store that has left keeps no other from its account.
    SELECT t.open_id, t.store_code FROM store_tokens t JOIN stores s USING (store_code)
    WHERE s.removed_at IS NULL
$$;
COMMENT ON FUNCTION held_accounts IS
    'Which store holds which TikTok account, for every store that has not left'
"""

_REFUSE_BEFORE = """
CREATE OR REPLACE FUNCTION refuse_second_holder() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    other text;
BEGIN
    PERFORM lock_accounts();
    SELECT min(held.store_code) INTO other
    FROM held_accounts() own JOIN held_accounts() held USING (open_id)
    WHERE own.store_code = NEW.store_code AND held.store_code <> own.store_code;
    IF other IS NOT NULL THEN
        RAISE EXCEPTION 'store % has a TikTok account that store % holds', NEW.store_code, other
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'one_store_per_account',
                SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Create the table, and let the rule of one store per account hold for it."""
    op.execute(_TABLE)
    op.execute(_HELD)
    op.execute(_REFUSE)
    op.execute(_TRIGGERS)
    for what, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{comment}'")


def downgrade() -> None:
    """Take them away, with the grants."""
    op.execute("DROP TABLE business_tokens")
    op.execute(_REFUSE_BEFORE)
    op.execute(_HELD_BEFORE)
