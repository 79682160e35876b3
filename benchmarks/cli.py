"""What can be measured? ``python -m benchmarks --help``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import compare as comparison
from benchmarks import growth as growing
from benchmarks.errors import BenchError
from benchmarks.measure import slots, variants
from benchmarks.report import results, tuning
from benchmarks.workload import JOBS
from include.local.console import explained, say
from include.local.settings import DEFAULT_STORES

app = typer.Typer(
    help="Measure the sync on a local stack of its own. The machine should do nothing else.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a rich traceback prints local variables: secrets
)


_NOTE = "What else the machine did; stands on the page."


def _kept(states: Iterable[dict[str, Any]], file: Path) -> dict[str, Any]:
    """The last state, in its file; those before are kept aside, should it be broken off."""
    found: dict[str, Any] = {}
    for found in states:
        results.write(results.PARTIAL, found)
    results.write(file, found)
    say(f"Figures: {file}")
    return found


def _sizes(stores: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in stores.split(","))
    except ValueError:
        message = f"--stores is a list of numbers such as 300,1000, not {stores}."
        raise BenchError(message) from None


@app.command()
@explained
def compare(
    *,
    stores: Annotated[int, typer.Option(min=1, help="Stores to sync.")] = DEFAULT_STORES,
    only: Annotated[
        str, typer.Option(help="Variants, such as a-user,c-both; empty = all. See variants.py.")
    ] = "",
    latency: Annotated[str, typer.Option(help="constant or lognormal; empty = both.")] = "",
    timeout: Annotated[int, typer.Option(min=1, help="Minutes after which one is given up.")] = 30,
    update: Annotated[
        bool, typer.Option(help="Replace these variants in the results, and keep the others.")
    ] = False,
    note: Annotated[str, typer.Option(help=_NOTE)] = "",
    output: Annotated[
        Path | None,
        typer.Option(help="Where the figures go; default: the results, if nothing is left out."),
    ] = None,
) -> None:
    """Compare this package with the first Dag, with batches and with a loop (about an hour)."""
    try:
        chosen = variants.chosen([name for name in only.split(",") if name], latency or None)
    except ValueError as error:
        raise BenchError(str(error)) from None
    if not chosen:
        message = f"None of {only} is measured with {latency} latency."
        raise BenchError(message)
    if update and stores != DEFAULT_STORES:
        message = f"The results are of {DEFAULT_STORES} stores, not of {stores}."
        raise BenchError(message)
    is_whole = stores == DEFAULT_STORES and len(chosen) == len(variants.VARIANTS)
    file = output or (results.COMPARE if is_whole else results.PARTIAL)
    found = _kept(comparison.compare(chosen, stores, timeout * 60, note), file)
    comparison.show(found)
    if update:
        results.write(results.COMPARE, results.updated(results.read(results.COMPARE), found))


@app.command()
@explained
def growth(
    *,
    stores: Annotated[str, typer.Option(help="Numbers of stores.")] = ",".join(
        map(str, growing.SIZES)
    ),
    timeout: Annotated[int, typer.Option(min=1, help="Minutes after which one is given up.")] = 30,
    output: Annotated[
        Path | None,
        typer.Option(help="Where the figures go; default: the results, if nothing is left out."),
    ] = None,
) -> None:
    """Sync ever more stores from a TikTok that answers at once (about 40 minutes)."""
    sizes = _sizes(stores)
    file = output or (results.GROWTH if sizes == growing.SIZES else results.PARTIAL)
    growing.show(_kept(growing.grow(sizes, timeout * 60), file))


@app.command(name="slots")
@explained
def slot_gaps(
    *,
    stores: Annotated[int, typer.Option(min=1, help="Stores to sync.")] = DEFAULT_STORES,
    jobs: Annotated[str, typer.Option(help="user, video, or user,video: both at once.")] = "user",
    timeout: Annotated[int, typer.Option(min=1, help="Minutes after which it is given up.")] = 30,
) -> None:
    """Split the time between two stores in a slot by who spends it (about 3 minutes)."""
    names = jobs.split(",")
    if not set(names) <= set(JOBS):
        message = f"--jobs is a list of {' and '.join(JOBS)}, not {jobs}."
        raise BenchError(message)
    slots.show(slots.measure([JOBS[name] for name in names], stores, timeout * 60))


@app.command()
@explained
def limited(
    *,
    stores: Annotated[str, typer.Option(help="Numbers of stores.")] = ",".join(
        map(str, comparison.LIMITED_SIZES)
    ),
    limit: Annotated[
        int, typer.Option(min=1, help="Calls a minute and endpoint; scale it with the stores.")
    ] = variants.LIMIT,
    only: Annotated[str, typer.Option(help="Variants; a-known, a-known-1, b-known, c-known.")] = (
        "a-known,a-known-1"
    ),
    timeout: Annotated[int, typer.Option(min=1, help="Minutes after which one is given up.")] = 60,
    note: Annotated[str, typer.Option(help=_NOTE)] = "",
    output: Annotated[
        Path | None,
        typer.Option(help="Where the figures go; default: the results, if nothing is left out."),
    ] = None,
) -> None:
    """Sync many stores of 7 pages, limit enforced and videos known, with both lanes and with one.

    Takes about 90 minutes. In short: --stores 100 --limit 60 takes as long as 1,000 stores with
    600 calls a minute, without their load; --stores 40 --limit 120 is over in minutes.
    """
    sizes = _sizes(stores)
    try:
        chosen = [replace(one, limit=limit) for one in variants.chosen(only.split(","), None)]
    except ValueError as error:
        raise BenchError(str(error)) from None
    is_whole = (sizes, limit) == (comparison.LIMITED_SIZES, variants.LIMIT)
    file = output or (results.LIMITED if is_whole else results.PARTIAL)
    found = _kept(comparison.compare_sizes(chosen, sizes, timeout * 60, note), file)
    for one in found["sizes"]:
        say(f"{one['stores']:,} stores, {limit} calls a minute:")
        comparison.show(one)


@app.command()
@explained
def page() -> None:
    """Write docs/performance.md, its charts and the table of docs/tuning.md from stored figures."""
    # matplotlib takes a second to import, and only this needs it.
    from benchmarks.report.page import DOCS, pages  # noqa: PLC0415

    if not results.COMPARE.exists():
        message = f"There are no figures in {results.COMPARE} yet: make bench"
        raise BenchError(message)
    compared = results.read(results.COMPARE)
    grown = results.read(results.GROWTH) if results.GROWTH.exists() else None
    limited_ones = results.read(results.LIMITED) if results.LIMITED.exists() else None
    for name, text in pages(compared, grown, limited_ones).items():
        (DOCS / name).write_text(text, encoding="utf-8")
        say(f"Wrote docs/{name}")
    tuning.PAGE.write_text(
        tuning.with_table(tuning.PAGE.read_text(encoding="utf-8"), compared), encoding="utf-8"
    )
    say("Wrote the table of docs/tuning.md")
