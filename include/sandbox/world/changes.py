"""What has changed in the stores' content since the seed made it?"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.sandbox.world.state_file import StateFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (store_code TEXT PRIMARY KEY, body TEXT NOT NULL)
"""


@dataclasses.dataclass(frozen=True, slots=True)
class StoreChanges:
    """One store's changes.

    Attributes:
        deleted: Ids that are gone permanently.
        private: Ids that only their owner sees.
        published: `create_time` of each added video, in UTC seconds, in the order of adding.
        user: Counter of the user object -> value that it has instead of the seed's.
        videos: Id -> counter of the Video object -> the same.
    """

    deleted: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    published: tuple[int, ...] = ()
    user: Mapping[str, int] = dataclasses.field(default_factory=dict)
    videos: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)

    @property
    def hidden(self) -> frozenset[str]:
        """Ids that no endpoint shows."""
        return self.deleted | self.private

    @property
    def added(self) -> int:
        """By how much the number of public videos differs from the seed's."""
        return len(self.published) - len(self.hidden)


_NONE = StoreChanges()


class Changes:
    """The changes of all stores; every write is in the state file before it is visible here.

    Args:
        state: The open state file.
    """

    def __init__(self, state: StateFile) -> None:
        self._db = state.db
        self._db.execute(_SCHEMA)
        rows = self._db.execute("SELECT store_code, body FROM changes").fetchall()
        self._stores = {code: _decoded(body) for code, body in rows}

    def of(self, store_code: str) -> StoreChanges:
        """One store's changes, maybe none."""
        return self._stores.get(store_code, _NONE)

    def put(self, store_code: str, changes: StoreChanges) -> None:
        """Replaces one store's changes."""
        self._db.execute(
            "INSERT OR REPLACE INTO changes VALUES (?, ?)", (store_code, _encoded(changes))
        )
        self._stores[store_code] = changes


def _encoded(changes: StoreChanges) -> str:
    values = dataclasses.asdict(changes)
    return json.dumps(values | {name: sorted(values[name]) for name in ("deleted", "private")})


def _decoded(body: str) -> StoreChanges:
    values = json.loads(body)
    return StoreChanges(
        deleted=frozenset(values["deleted"]),
        private=frozenset(values["private"]),
        published=tuple(values["published"]),
        user=values["user"],
        videos=values["videos"],
    )
