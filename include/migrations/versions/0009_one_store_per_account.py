"""One TikTok account belongs to one store, whoever writes; doubles that are there stay.

Triggers and no unique index: who holds an account depends on two tables (a store that has left
keeps its row of tokens), and a database that has doubles must be upgraded too
(docs/decisions/0020-one-account-one-store.md).
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

_FUNCTIONS = """
CREATE FUNCTION held_accounts() RETURNS TABLE (open_id text, store_code text)
LANGUAGE sql STABLE AS $$
    -- A store that has left keeps no other from its account.
    SELECT t.open_id, t.store_code FROM store_tokens t JOIN stores s USING (store_code)
    WHERE s.removed_at IS NULL
$$;

CREATE FUNCTION lock_accounts() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('store accounts', 0))
$$;

CREATE FUNCTION refuse_second_holder() RETURNS trigger
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
END $$;

COMMENT ON FUNCTION held_accounts IS
    'Which store holds which TikTok account: every store that has not left';
COMMENT ON FUNCTION lock_accounts IS
    'Until the transaction ends no account changes hands; before any row is locked';
COMMENT ON FUNCTION refuse_second_holder IS
    'Trigger: an account that another store holds is refused';
"""

# A refresh stores its new pair without writing open_id: it is never kept from doing so.
_TRIGGERS = """
CREATE TRIGGER one_store_per_account_new AFTER INSERT ON store_tokens
FOR EACH ROW EXECUTE FUNCTION refuse_second_holder();
CREATE TRIGGER one_store_per_account_changed AFTER UPDATE OF open_id ON store_tokens
FOR EACH ROW WHEN (NEW.open_id IS DISTINCT FROM OLD.open_id)
EXECUTE FUNCTION refuse_second_holder();
CREATE TRIGGER one_store_per_account_back AFTER UPDATE OF removed_at, is_active ON stores
FOR EACH ROW WHEN (NEW.removed_at IS NULL
    AND (OLD.removed_at IS NOT NULL OR (NEW.is_active AND NOT OLD.is_active)))
EXECUTE FUNCTION refuse_second_holder();
"""

_VERDICT = (
    """EXISTS (SELECT FROM store_tokens JOIN stores USING (store_code)
            WHERE open_id = p_open_id AND store_code <> p_store AND removed_at IS NULL)""",
    """EXISTS (SELECT FROM held_accounts()
            WHERE open_id = p_open_id AND store_code <> p_store)""",
)
_CONFIRM = (
    "PERFORM pg_advisory_xact_lock(hashtextextended('connect ' || held.open_id, 0));",
    "PERFORM lock_accounts();",
)
_TAKEN = {"connect_verdict": _VERDICT, "connect_confirm": _CONFIRM}
"""Function of 0007 -> the text in it that says who holds an account or locks it, and the new one.

Only that text: the rest of the functions stays as other migrations have made it.
"""


def upgrade() -> None:
    """Add them, and let the connect app's functions ask them."""
    op.execute(_FUNCTIONS)
    op.execute(_TRIGGERS)
    for name, (before, after) in _TAKEN.items():
        _rewrite(name, before, after)


def downgrade() -> None:
    """Take them away."""
    for name, (before, after) in _TAKEN.items():
        _rewrite(name, after, before)
    op.execute("DROP TRIGGER one_store_per_account_back ON stores")
    op.execute("DROP TRIGGER one_store_per_account_changed ON store_tokens")
    op.execute("DROP TRIGGER one_store_per_account_new ON store_tokens")
    op.execute("DROP FUNCTION refuse_second_holder, lock_accounts, held_accounts")


def _rewrite(name: str, before: str, after: str) -> None:
    """Replace a text in a function; its owner, rights and settings stay."""
    bind = op.get_bind()
    found = bind.exec_driver_sql(
        f"SELECT pg_get_functiondef('public.{name}'::regproc)"
    ).scalar_one()
    if before not in found:
        message = f"The function {name} is not as this migration knows it."
        raise RuntimeError(message)
    # Handed on as it is: a percent sign of the function is none of the driver's.
    bind.exec_driver_sql(found.replace(before, after))
