"""Which backups still hold a store that was erased, and perhaps came back?"""

from __future__ import annotations

from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.erasure.backups import backups_with

CODE = "S001"


def write_life(conn: Connection) -> None:
    """Added, dumped, erased, dumped, with an hour between each and the next."""
    conn.execute(
        "INSERT INTO store_audit (store_code, action, actor, happened_at) VALUES"
        " (%(code)s, 'add', 'me', now() - interval '5 hours'),"
        " (%(code)s, 'erase', 'me', now() - interval '3 hours')",
        {"code": CODE},
    )
    conn.execute(
        "INSERT INTO backups (finished_at, file_name, bytes, stores) VALUES"
        " (now() - interval '4 hours', 'before.dump', 1, 1),"
        " (now() - interval '2 hours', 'after.dump', 1, 1)"
    )


def test_an_erased_store_is_in_the_dumps_made_before(conn: Connection) -> None:
    write_life(conn)

    assert backups_with(conn, CODE, {}).files == ("before.dump",)


def test_a_store_that_is_back_is_in_the_later_dumps_too(conn: Connection) -> None:
    write_life(conn)
    conn.execute("INSERT INTO stores (store_code, store_name) VALUES (%s, 'Kiel')", [CODE])

    assert backups_with(conn, CODE, {}).files == ("before.dump", "after.dump")
