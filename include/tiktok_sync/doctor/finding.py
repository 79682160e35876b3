"""What did a check of the doctor find?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skip"]


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
