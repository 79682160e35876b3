"""How does the stack report what it does? Progress on stderr, results on stdout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import typer
from rich.console import Console

from include.local.errors import LocalStackError

progress = Console(stderr=True, highlight=False, soft_wrap=True)
"""For people who wait. Never for anything that a script reads."""

result = Console(highlight=False, soft_wrap=True)
"""For what was asked for."""


def say(text: str) -> None:
    """Print one line."""
    progress.print(text, markup=False)


def explained(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command print an expected failure as its message alone, and exit 1."""

    @wraps(command)
    def run(*args: object, **kwargs: object) -> None:
        try:
            command(*args, **kwargs)
        except LocalStackError as error:
            say(f"Error: {error}")
            raise typer.Exit(1) from None

    return run


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str], None]]:
    """Time a block; on a terminal a spinner names what is awaited.

    Yields:
        A function that prints a line with the seconds since the block began, for each part that
        gets ready within it.
    """
    started = time.monotonic()

    def ready(line: str) -> None:
        say(f"  {line:<48}{time.monotonic() - started:6.1f} s")

    if not progress.is_terminal:
        yield ready
        return
    with progress.status(f"{what} …"):
        yield ready
