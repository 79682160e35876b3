"""What did the server do for one database? Read from its own log, which misses no statement."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

# The log_line_prefix of include.local.parts.postgres; a statement's further lines begin with a tab.
_RECORD = re.compile(
    r"^\S+ \S+ \S+ \[(?P<pid>\d+)\] \S+@(?P<database>\S+) .*?LOG:  (?P<text>.*(?:\n\t.*)*)",
    re.MULTILINE,
)
_STATEMENT = re.compile(r"(?:statement|execute (?P<prepared>[^:]*)): (?P<sql>.*)", re.DOTALL)
_TABLE = re.compile(r"\b(?:FROM|INTO|(?<!FOR )UPDATE|JOIN) ([a-z_]+)")


@dataclass
class Recorded:
    """What was logged, in its order.

    Attributes:
        statements: SQL, blanks folded; transaction control among it.
        connections: Logins.
        prepared: Those of the statements that ran as named prepared ones.
    """

    statements: list[str] = field(default_factory=list)
    connections: int = 0
    prepared: list[str] = field(default_factory=list)

    def kinds(self) -> Counter[str]:
        """How often each statement came, by its first words and the tables it names."""
        return Counter(kind(statement) for statement in self.statements)


def kind(statement: str) -> str:
    """A statement in short: its first word and the tables it names."""
    tables = dict.fromkeys(_TABLE.findall(statement))
    lock = ["FOR UPDATE"] if statement.rstrip().endswith("FOR UPDATE") else []
    return " ".join([statement.split(maxsplit=1)[0], *tables, *lock])


@contextmanager
def recorded(url: str, log: Path) -> Iterator[Recorded]:
    """Have the server log every statement of sessions that begin within the block.

    Args:
        url: The database, as superuser.
        log: The server's log; needs ``log_connections``.

    Yields:
        What is filled when the block ends.
    """
    with psycopg.connect(url, autocommit=True) as conn:
        database = conn.info.dbname
        for setting in ("log_statement = 'all'", "log_parameter_max_length = 0"):
            conn.execute(f'ALTER DATABASE "{database}" SET {setting}'.encode())
    # A backend writes its line before it answers, so that nothing is under way here or below.
    begin = log.stat().st_size
    found = Recorded()
    yield found
    with log.open("rb") as file:
        file.seek(begin)
        text = file.read().decode()
    for record in _RECORD.finditer(text):
        if record["database"] != database:
            continue
        if record["text"].startswith("connection authorized"):
            found.connections += 1
        elif match := _STATEMENT.match(record["text"]):
            found.statements.append(" ".join(match["sql"].split()))
            if match["prepared"] not in {None, "<unnamed>"}:
                found.prepared.append(found.statements[-1])
