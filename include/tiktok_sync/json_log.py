"""What do log lines look like where Airflow does not make them? One JSON object a line."""

from __future__ import annotations

import sys

import structlog


def log_as_json() -> None:
    """From here on log lines go to standard error, so that results stay apart from them."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
