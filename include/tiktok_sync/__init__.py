"""The sync itself: TikTok in, Postgres out. Nothing below this package imports Airflow."""

__version__ = "0.2.0"
"""As in ``pyproject.toml`` and CHANGELOG.md."""
