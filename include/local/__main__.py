"""Entry point of ``python -m include.local``."""

from include.local.cli import app

app(prog_name="python -m include.local")
