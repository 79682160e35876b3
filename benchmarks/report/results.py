"""The stored results of a run of the benchmark: JSON files in `benchmarks/results`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "results"
COMPARE = FOLDER / "compare.json"
GROWTH = FOLDER / "growth.json"
LIMITED = FOLDER / "limited.json"
PARTIAL = FOLDER / "partial.json"
"""Of a run that left something out or was broken off; not committed."""


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Replace a file of results."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(_rounded(content), indent=1) + "\n", encoding="utf-8")


def read(file: Path) -> dict[str, Any]:
    """What `write` wrote.

    Raises:
        OSError: There is no such file.
    """
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def updated(stored: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Stored figures of a comparison with those variants replaced that were measured again.

    Each variant keeps the machine, day and commit that it was measured with.
    """
    again = {one["key"] for one in found["variants"]}
    kept = [
        {"machine": stored["machine"]} | one
        for one in stored["variants"]
        if one["key"] not in again
    ]
    return {**found, "variants": [*kept, *found["variants"]]}


def _rounded(value: Any) -> Any:
    """Milliseconds are all that was measured."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return value
