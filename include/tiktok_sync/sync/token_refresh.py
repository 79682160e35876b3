"""Refreshes a store's token of one of the two APIs before the syncs that need it."""

from __future__ import annotations

from datetime import timedelta, timezone

from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_job import StoreClient, StoreOutcome

FRESH_FOR = timedelta(minutes=90)
"""From half an hour before the syncs until well after they have ended. The Display API's access
tokens live for 2 hours (developers.tiktok.com, Nov 2026) or, by the older pages, for 24; those of
the Accounts API for 24."""


def refresh_token(
    run: StoreRun, *, client: StoreClient, repository: StoreRepository
) -> StoreOutcome:
    """Refresh the store's token if it would end during the syncs.

    Raises:
        NeedsConsentError: The grant is dead.
        SyncError: See :meth:`include.tiktok_sync.tokens.source.TokenSource.access_token`.
    """
    del run
    if repository.dry_run:
        lasts = client.tokens.is_valid_for(FRESH_FOR)
        return StoreOutcome("Token still good" if lasts else "Token would be refreshed")
    ends_at = client.tokens.ensure_valid_for(FRESH_FOR)
    done = "refreshed" if client.tokens.refreshes else "still good"
    until = (
        f"valid until {ends_at.astimezone(timezone.utc):%H:%M} UTC"
        if ends_at
        else "its end is unknown"
    )
    return StoreOutcome(
        message=f"Token {done}, {until}",
        details={"access_expires_at": ends_at.isoformat() if ends_at else None},
    )
