"""What did a check of the doctor find?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skip"]

_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """One line of the doctor.

    Attributes:
        check: What was checked: ``token keys``, ``store database``, …
        status: ``ok``; ``warn``: the next night works, but look at it; ``fail``: it does not;
            ``skip``: could not be checked, the text says why.
        text: What was found; never a secret.
        todo: The next step; empty if there is nothing to do.
    """

    check: str
    status: Status
    text: str
    todo: str = ""


def named(names: Sequence[str], separator: str = ", ") -> str:
    """The first three of some names; an ellipsis stands for the others."""
    return separator.join([*names[:_NAMED], *(["…"] if len(names) > _NAMED else [])])
