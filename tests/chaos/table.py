"""What is shown of the faults and their outcomes?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos.rounds import Round

# As wide as it must be: a table that goes to a file or a report must not be cut.
console = Console(width=118, highlight=False)


def show_round(played: Round) -> None:
    """Print one line as soon as a round is over."""
    outcome = "; ".join(played.problems) or "all right"
    line = (
        f"round {played.number}: {len(played.kills)} kills, {played.seconds:.0f} s,"
        f" {played.cost}: {outcome}"
    )
    console.print(line, markup=False, soft_wrap=True)


def show(rounds: Iterable[Round]) -> None:
    """Print every kill, every round, and how many of each kind there were."""
    rounds = list(rounds)
    kills = Table("round", "victim", "which", "at", "got over after", box=box.SIMPLE)
    ends = Table("round", "kills", "lasted", "tries", "outcome", box=box.SIMPLE)
    for played in rounds:
        for kill in played.kills:
            back = "never" if kill.back_s is None else f"{kill.back_s:.1f} s"
            kills.add_row(str(played.number), kill.kind, kill.what, f"{kill.at_s:.0f} s", back)
        kills.add_section()
        ends.add_row(
            str(played.number),
            str(len(played.kills)),
            f"{played.seconds:.0f} s",
            played.cost,
            "; ".join(played.problems) or "both runs succeeded, all data right",
        )
    console.print(kills)
    console.print(ends)
    counts = Counter(kill.kind for played in rounds for kill in played.kills)
    console.print(", ".join(f"{kind}: {count}" for kind, count in counts.items()))
