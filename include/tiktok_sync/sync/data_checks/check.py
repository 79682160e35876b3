"""Do a run's rows make sense? One SQL file of ``include/tiktok_sync/sync/data_checks`` a question.

A file begins with a comment: ``Checks:`` what must hold, ``Why:``, ``Finding:`` the headline when
it does not, ``Next step:``. Its one statement gives the stores for which it does not hold, a row
each: ``store_code`` and ``detail`` (NULL where the code says enough). It may use the parameters
``stores`` (text[]), ``day`` (date), ``since`` (timestamptz), ``job_name`` and ``run_id`` (text),
``consent_warning_days`` (integer).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import RunKey
from include.tiktok_sync.settings import DEFAULT_CONSENT_WARNING_DAYS
from include.tiktok_sync.store_db.database import Connection, database_errors

FOLDER = Path(__file__).resolve().parent

EXAMPLES = 20
"""Stores that a finding names for people; the codes of all are kept with it."""

_NAMED_IN_MESSAGE = 3


@dataclass(frozen=True)
class Outcome:
    """The result of one check, in the form in which the summary's details keep it.

    Attributes:
        check: Name of the check.
        found: How many stores; 0 = passed, ``None`` = the check could not run.
        stores: All their codes.
        message: One line for a person: what, who, and the next step.
    """

    check: str
    found: int | None
    stores: Sequence[str]
    message: str

    @property
    def examples(self) -> Sequence[str]:
        """The first of :attr:`stores`, for people."""
        return self.stores[:EXAMPLES]

    def as_dict(self) -> dict[str, Any]:
        """For XCom and for ``details``."""
        return {**asdict(self), "examples": list(self.examples)}


@dataclass(frozen=True)
class CheckedRun:
    """The run whose rows are checked.

    Attributes:
        key: The run, and its day.
        stores: Codes of its stores.
        since: When it began; later changes were made by the run.
        consent_warning_days: Days before a grant's end from which it is reported.
    """

    key: RunKey
    stores: Sequence[str]
    since: datetime
    consent_warning_days: int = DEFAULT_CONSENT_WARNING_DAYS


@dataclass(frozen=True)
class DataCheck:
    """One check, read from its file."""

    name: str
    sql: str
    finding: str
    next_step: str

    @classmethod
    def read(cls, name: str) -> DataCheck:
        """The check of this name.

        Raises:
            ConfigurationError: There is no such file, or it does not say what a finding means.
        """
        file = FOLDER / f"{name}.sql"
        try:
            sql = file.read_text(encoding="utf-8")
        except OSError as error:
            message = f"The data check {name} cannot be read: {error.strerror}. See {FOLDER.name}/."
            raise ConfigurationError(message) from error
        said = dict(re.findall(r"^-- (Checks|Why|Finding|Next step): (.+)$", sql, re.MULTILINE))
        missing = {"Checks", "Why", "Finding", "Next step"} - set(said)
        if missing:
            message = f"{FOLDER.name}/{file.name} has no line `-- {min(missing)}: …`."
            raise ConfigurationError(message)
        return cls(name, sql, said["Finding"], said["Next step"])

    def run(self, conn: Connection, run: CheckedRun) -> Outcome:
        """Ask the database.

        Raises:
            DatabaseUnavailableError: It did not answer, or not in time.
            ConfigurationError: The statement does not fit the schema.
        """
        parameters = {
            **vars(run.key),
            "day": run.key.snapshot_date,
            "since": run.since,
            "consent_warning_days": run.consent_warning_days,
        }
        try:
            with database_errors():
                rows = conn.execute(
                    self.sql.encode(), {**parameters, "stores": list(run.stores)}
                ).fetchall()
        except psycopg.Error as error:
            reason = str(error).splitlines()[0]
            message = f"The data check {self.name} does not fit the schema: {reason}"
            raise ConfigurationError(message) from error
        return self._outcome([(str(row[0]), row[1]) for row in rows])

    def _outcome(self, stores: Sequence[tuple[str, str | None]]) -> Outcome:
        if not stores:
            return Outcome(self.name, 0, [], "Nothing found.")
        named = ", ".join(
            f"{code} ({detail})" if detail else code for code, detail in stores[:_NAMED_IN_MESSAGE]
        )
        if len(stores) > _NAMED_IN_MESSAGE:
            named += f" and {len(stores) - _NAMED_IN_MESSAGE} more"
        count = "1 store" if len(stores) == 1 else f"{len(stores)} stores"
        message = f"{self.finding}: {count}: {named}. {self.next_step}"
        return Outcome(self.name, len(stores), [code for code, _ in stores], message)


def warnings_of(
    checks: Sequence[str], outcomes: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The warnings of the summary.

    Args:
        checks: Names of the checks of the run.
        outcomes: Their results (:meth:`Outcome.as_dict`); a check without a result could not run.
    """
    left = {outcome["check"]: outcome for outcome in outcomes}
    found = (left.get(check) or _not_run(check).as_dict() for check in checks)
    return [outcome for outcome in found if outcome["found"] != 0]


def _not_run(check: str) -> Outcome:
    message = "The check itself could not run; the log of its task says why. Clear that task."
    return Outcome(check, None, [], message)
