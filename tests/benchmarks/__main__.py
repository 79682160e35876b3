"""``python -m tests.benchmarks``."""

from tests.benchmarks.cli import app

app()
