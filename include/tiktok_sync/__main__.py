"""``python -m include.tiktok_sync``."""

from include.tiktok_sync.cli.app import app

app(prog_name="python -m include.tiktok_sync")
