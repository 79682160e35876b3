"""Syncs a store's profile figures of the day."""

from __future__ import annotations

from include.tiktok_sync.errors import MissingScopeError
from include.tiktok_sync.jobs import StoreRun
from include.tiktok_sync.sync.repository import StoreRepository
from include.tiktok_sync.sync.store_job import StoreOutcome
from include.tiktok_sync.tiktok.client import TikTokClient
from include.tiktok_sync.tiktok.models import (
    BASIC_SCOPE,
    USER_COUNTERS,
    USER_FIELD_SCOPES,
    figures_missing,
)


def sync_user(run: StoreRun, *, client: TikTokClient, repository: StoreRepository) -> StoreOutcome:
    """Fetch the profile with exactly the fields that the store granted, and write its row.

    If the grant was narrowed at TikTok since the last token, TikTok refuses the whole call; only
    the basic fields are then requested.

    Raises:
        MissingScopeError: Not even ``user.info.basic`` was granted.
        SyncError: See :mod:`include.tiktok_sync.tiktok.meanings`.
    """
    scopes = client.tokens.scopes
    if BASIC_SCOPE not in scopes:
        message = (
            "The store's grant does not include user.info.basic; its manager must connect the"
            " account again and allow it."
        )
        raise MissingScopeError(message)
    try:
        profile, observed_at = client.user_info(_fields(scopes))
    except MissingScopeError:
        if not scopes & set(USER_FIELD_SCOPES.values()) - {BASIC_SCOPE}:
            raise
        scopes = frozenset({BASIC_SCOPE})
        profile, observed_at = client.user_info(_fields(scopes))
    rows = repository.save_user(run.store_code, run.day, profile, observed_at)
    missing = sorted({scope for scope in USER_FIELD_SCOPES.values() if scope not in scopes})
    granted = [name for name in USER_COUNTERS if USER_FIELD_SCOPES[name] in scopes]
    blanks = figures_missing(profile, granted)
    followers = "unknown" if profile.follower_count is None else f"{profile.follower_count:,}"
    return StoreOutcome(
        message=f"Profile of the day: {followers} followers"
        + (f"; not granted: {', '.join(missing)}" if missing else ""),
        details={
            "rows": rows,
            "late": run.day.is_late(observed_at),
            **({"scopes_not_granted": missing} if missing else {}),
            **({"figures_missing": blanks} if blanks else {}),
        },
    )


def _fields(scopes: frozenset[str]) -> list[str]:
    return [name for name, scope in USER_FIELD_SCOPES.items() if scope in scopes]
