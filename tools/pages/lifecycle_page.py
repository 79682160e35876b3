"""The moves of a store for people: the table of the code as a diagram and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from include.tiktok_sync.stores.lifecycle import GRANT_STATES, MOVES, Move


def lifecycle_block() -> str:
    """What stands between the marks in docs/lifecycle.md; the same for the same code."""
    return f"{diagram()}\n{moves_table()}"


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    inside = _edges(move for move in MOVES if _is_inside(move))
    outside = _edges(move for move in MOVES if not _is_inside(move))
    return "\n".join(
        [
            "```mermaid",
            "stateDiagram-v2",
            '    state "in the nightly syncs" as nightly {',
            *(f"        {edge}" for edge in inside),
            "    }",
            *(f"    {edge}" for edge in outside),
            "```",
            "",
        ]
    )


def _edges(moves: Iterable[Move]) -> list[str]:
    """An arrow for each pair of states, labelled with every move between them."""
    labels: dict[tuple[str, str], list[str]] = {}
    for move in moves:
        for source in _sources(move):
            target = _node(move)
            if source != target:
                labels.setdefault((source, target), []).append(move.name)
    return [
        f"{source} --> {target}: {', '.join(names)}" for (source, target), names in labels.items()
    ]


def _is_inside(move: Move) -> bool:
    return {*move.sources, move.target} <= set(GRANT_STATES)


def _sources(move: Move) -> list[str]:
    if not move.sources:
        return ["[*]"]
    if _is_inside(move):
        return list(move.sources)
    away = [state for state in move.sources if state not in GRANT_STATES]
    return (["nightly"] if len(away) < len(move.sources) else []) + away


def _node(move: Move) -> str:
    return {None: "nightly", "gone": "[*]"}.get(move.target, str(move.target))


def moves_table() -> str:
    """The table as Markdown, for docs/lifecycle.md."""
    lines = [
        "| move | from | to | open connect links | made by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for move in MOVES:
        target = {None: "the state of its grant", "gone": "no row is left"}.get(
            move.target, f"`{move.target}`"
        )
        sources = ", ".join(f"`{state}`" for state in move.sources) or "not there yet"
        links = "end" if move.ends_links else ""
        lines.append(f"| `{move.name}` | {sources} | {target} | {links} | {move.by} |")
    return "\n".join([*lines, ""])
