"""How Alembic reaches the product's database: the URL comes from the caller, one run at a time."""

from __future__ import annotations

import psycopg
import sqlalchemy as sa
from alembic import context

from include.tiktok_sync.store_db.schema import LOCK_SECONDS

# "tiktok_sync" in the advisory-lock space of this database.
_LOCK_KEY = 7_436_991_207

# libpq reads the URL itself: it knows forms that SQLAlchemy does not (several hosts, services).
engine = sa.create_engine(
    "postgresql+psycopg://",
    # No prepared statements: PgBouncer would leave them to the next client of the connection.
    creator=lambda: psycopg.connect(context.config.attributes["url"], prepare_threshold=None),
    poolclass=sa.pool.NullPool,
)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        # A migration waits for a table that a long query reads, but not forever: everything that
        # comes after it, such as the night's syncs, queues behind it.
        connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        # Two processes that upgrade at once take turns; the second finds nothing to do.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        context.run_migrations()
