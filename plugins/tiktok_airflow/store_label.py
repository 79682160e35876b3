"""What is a mapped task called in the UI? By its stores and, once it has ended, their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # heavy; preloaded in workers, not paid at parse
    from include.tiktok_sync.sync.sync_log import StoreResult

MOST_CHARACTERS = 250
"""Airflow's column (task_instance.rendered_map_index) takes no more, and fails the task for it."""

_NAMED = 3


def label(
    codes: Sequence[str],
    results: Sequence[StoreResult] = (),
    error: BaseException | None = None,
    *,
    dry_run: bool = False,
) -> str:
    """One line for the list of a run's tasks.

    Args:
        codes: The task's stores; at least one.
        results: Results of those that were done in this try.
        error: What the task ended with.
        dry_run: Nothing was written.
    """
    stores = codes[0] if len(codes) == 1 else f"{codes[0]} to {codes[-1]} ({len(codes)})"
    told = _outcome(codes, results, error)
    text = " · ".join(part for part in (stores, "dry run" if dry_run else "", told) if part)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def _outcome(
    codes: Sequence[str], results: Sequence[StoreResult], error: BaseException | None
) -> str:
    if not results:
        return f"failed: {_first_sentence(str(error) or type(error).__name__)}" if error else ""
    if len(codes) == 1:
        only = results[-1]
        if only.status == "success":
            return only.message
        return f"{only.status}: {_first_sentence(only.message)}"
    counts = Counter[str](result.status for result in results)
    earlier = len(codes) - len(results)
    parts = [
        f"{counts[status]} {word}"
        for status, word in (("success", "synced"), ("skipped", "skipped"), ("failed", "failed"))
        if counts[status]
    ]
    if earlier and not error:
        parts.append(f"{earlier} earlier")
    failed = [result.store_code for result in results if result.status == "failed"]
    named = ", ".join(failed[:_NAMED]) + (", …" if len(failed) > _NAMED else "")
    return ", ".join(parts) + (f": {named}" if failed else "")


def _first_sentence(message: str) -> str:
    return message.splitlines()[0].split(". ", 1)[0].rstrip(".")
