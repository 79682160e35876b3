"""The packages of the core for people: import-linter's contract as a drawing and a table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "include" / "tiktok_sync"
CONTRACT = "rooms"


def rooms_block() -> str:
    """What stands between the marks in docs/architecture.md; the same for the same contract.

    Raises:
        ValueError: ``pyproject.toml`` has no such contract.
    """
    floors = list(_floors())
    return f"{_drawing(floors)}\n{_table(floors)}"


def _floors() -> Iterator[list[str]]:
    """The packages that may not import each other upwards, from the top floor down."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in project["tool"]["importlinter"]["contracts"]:
        if contract["id"] == CONTRACT:
            yield from ([name.strip() for name in layer.split("|")] for layer in contract["layers"])
            return
    message = f"pyproject.toml has no contract {CONTRACT!r} for import-linter."
    raise ValueError(message)


def _drawing(floors: list[list[str]]) -> str:
    lines = ["```mermaid", "flowchart TD"]
    lines += [
        f'    floor{number}["{" · ".join(names)}"]' for number, names in enumerate(floors, start=1)
    ]
    lines += [f"    floor{number} --> floor{number + 1}" for number in range(1, len(floors))]
    return "\n".join([*lines, "```", ""])


def _table(floors: list[list[str]]) -> str:
    lines = ["| floor | package or module | question it answers |", "| ---: | --- | --- |"]
    for number, names in zip(range(len(floors) - 1, -1, -1), floors, strict=True):
        lines += [f"| {number} | `{name}` | {_question(name)} |" for name in names]
    return "\n".join([*lines, ""])


def _question(name: str) -> str:
    package = CORE / name / "__init__.py"
    file = package if package.exists() else CORE / f"{name}.py"
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
