"""A store's tokens and grant, as the database and the sandbox have them."""

from __future__ import annotations

from tests.database.bench import Bench

EXPIRED, FRESH = "S004", "S001"
"""A store of the sandbox whose access token has ended, and one whose lives."""

TOKEN_LIVES = {"2h": (2, 180), "24h": (24, 365)}
"""Regime of the sandbox -> hours of an access token, days of a grant: TikTok's pages of November
2026 and the older ones."""


def grant_of(bench: Bench, code: str) -> tuple[str, str | None]:
    """State and reason."""
    found = bench.row("SELECT status, status_reason FROM store_tokens WHERE store_code = %s", code)
    return found["status"], found["status_reason"]


def stored_pair(bench: Bench, code: str) -> tuple[str, str]:
    """The pair in the database, decrypted."""
    found = bench.row("SELECT * FROM store_tokens WHERE store_code = %s", code)
    return (
        bench.vault.decrypt(found["access_token"], store_code=code, kind="access"),
        bench.vault.decrypt(found["refresh_token"], store_code=code, kind="refresh"),
    )


def newest_pair(bench: Bench, code: str) -> tuple[str, str]:
    """The pair that the sandbox gave last."""
    line = bench.sandbox.row(code)
    return line["access_token"], line["refresh_token"]
