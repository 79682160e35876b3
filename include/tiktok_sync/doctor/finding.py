"""What did a check of the doctor find?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor.

    Attributes:
        check: What was looked at: ``token keys``, ``store database``, …
        status: ``ok``; ``warn``: the next night works, but look at it; ``fail``: it does not;
            ``skip``: could not be looked at, the text says why.
        text: What was found; never a secret.
        todo: The next step; empty where nothing is to be done.
    """

    check: str
    status: Status
    text: str
    todo: str = ""
