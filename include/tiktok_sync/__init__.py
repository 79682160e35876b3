"""The sync itself: TikTok in, Postgres out. Nothing below this package imports Airflow."""

__version__ = "0.4.0"
"""As in ``pyproject.toml`` and CHANGELOG.md."""
