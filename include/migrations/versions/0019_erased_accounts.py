"""A notice of TikTok about an erased account leaves no row.

The only trace of an erased account is a hash that nobody can turn back into it: keyed, so that a
list of accounts from elsewhere cannot be compared with it without this database's own key.
"""

from __future__ import annotations

from importlib import import_module

from alembic import op

revision = "0019"
down_revision = "0018"

_TABLES = """
CREATE TABLE erasure_key (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    key bytea NOT NULL
);
INSERT INTO erasure_key (key) VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

CREATE TABLE erased_accounts (
    account_hash bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now()
);
"""

# Hashed twice with the key in front: a single SHA-256 could be continued without knowing the key.
_HASH = """
CREATE FUNCTION erased_account_hash(p_open_id text) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT sha256(key || sha256(key || convert_to(p_open_id, 'UTF8'))) FROM erasure_key
$$;
"""

_BEFORE_INSERT = "    INSERT INTO webhook_events (event_hash,"
_ERASED = """    IF holder IS NULL AND EXISTS (
        SELECT FROM erased_accounts WHERE account_hash = erased_account_hash(p_open_id)) THEN
        RETURN 'erased';
    END IF;
"""

_COMMENTS = {
    "TABLE erasure_key": "The key of the hashes in erased_accounts, made by the database itself",
    "COLUMN erasure_key.is_only": "There is one row",
    "COLUMN erasure_key.key": "32 random bytes; without them a hash can be compared with nothing",
    "TABLE erased_accounts": (
        "Accounts of erased stores, so that a late notice of TikTok about one leaves no row"
    ),
    "COLUMN erased_accounts.account_hash": (
        "Keyed SHA-256 of the open_id; the only trace of the account that is kept."
        " Personal: record."
    ),
    "COLUMN erased_accounts.erased_at": "When its store was erased",
    "FUNCTION erased_account_hash": "The hash of an account in erased_accounts",
}


def upgrade() -> None:
    """Add them. Replacing connect_webhook keeps its owner and who may call it."""
    op.execute(_TABLES)
    op.execute(_HASH)
    op.execute("REVOKE ALL ON FUNCTION erased_account_hash(text) FROM PUBLIC")
    op.execute(_webhook().replace(_BEFORE_INSERT, _ERASED + _BEFORE_INSERT, 1))
    for target, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON {target} IS '{comment}'")


def downgrade() -> None:
    """Take them away: late notices are recorded as of an unknown account again."""
    op.execute(_webhook())
    op.execute("DROP FUNCTION erased_account_hash(text)")
    op.execute("DROP TABLE erased_accounts, erasure_key")


def _webhook() -> str:
    """The function as migration 0010 made it, with the rights that it gave it."""
    made: str = import_module("include.migrations.versions.0010_connect_ends")._WEBHOOK  # noqa: SLF001 - its own next version
    return made.replace(
        "LANGUAGE plpgsql AS",
        "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS",
        1,
    )
