"""The moves of a store for people: the table of the code as a diagram and as Markdown."""

from __future__ import annotations

from include.tiktok_sync.lifecycle import GRANT_STATES, MOVES, Move


def lifecycle_block() -> str:
    """What stands between the marks in docs/lifecycle.md; the same for the same code."""
    return f"{diagram()}\n{moves_table()}"


def diagram() -> str:
    """The table as a Mermaid state diagram, for docs/lifecycle.md."""
    inside = [move for move in MOVES if _is_inside(move)]
    outside = [move for move in MOVES if move not in inside]
    lines = ["```mermaid", "stateDiagram-v2", '    state "in the nightly syncs" as nightly {']
    for move in inside:
        lines += [
            f"        {source} --> {move.target}: {move.name}"
            for source in move.sources
            if source != move.target
        ]
    lines.append("    }")
    for move in outside:
        lines += [
            f"    {source} --> {_node(move.target)}: {move.name}"
            for source in _sources(move)
            if source != move.target
        ]
    return "\n".join([*lines, "```", ""])


def _is_inside(move: Move) -> bool:
    return bool(move.sources) and {*move.sources, move.target} <= set(GRANT_STATES)


def _sources(move: Move) -> list[str]:
    if not move.sources:
        return ["[*]"]
    others = [state for state in move.sources if state not in GRANT_STATES]
    return (["nightly"] if len(others) < len(move.sources) else []) + others


def _node(target: str | None) -> str:
    return {None: "nightly", "gone": "[*]"}.get(target, str(target))


def moves_table() -> str:
    """The table as Markdown, for docs/lifecycle.md."""
    lines = ["| move | from | to | made by |", "| --- | --- | --- | --- |"]
    for move in MOVES:
        target = {None: "the state of its grant", "gone": "no row is left"}.get(
            move.target, f"`{move.target}`"
        )
        sources = ", ".join(f"`{state}`" for state in move.sources) or "not there yet"
        lines.append(f"| `{move.name}` | {sources} | {target} | {move.by} |")
    return "\n".join([*lines, ""])
