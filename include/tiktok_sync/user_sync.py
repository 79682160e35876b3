"""Do one store: its profile figures of the day."""

from __future__ import annotations

from include.tiktok_sync.client import TikTokClient
from include.tiktok_sync.errors import MissingScopeError
from include.tiktok_sync.models import USER_FIELD_SCOPES
from include.tiktok_sync.outcome import StoreOutcome
from include.tiktok_sync.repository import StoreRepository
from include.tiktok_sync.snapshot import SnapshotDay


def sync_user(
    store_code: str, day: SnapshotDay, *, client: TikTokClient, repository: StoreRepository
) -> StoreOutcome:
    """Fetch the profile with exactly the fields that the store granted, and write its row.

    Raises:
        MissingScopeError: Not even ``user.info.basic`` was granted.
        SyncError: See :mod:`include.tiktok_sync.meanings`.
    """
    scopes = client.tokens.scopes
    fields = [name for name, scope in USER_FIELD_SCOPES.items() if scope in scopes]
    if not fields:
        message = (
            "The store's grant does not include user.info.basic; its manager must connect the"
            " account again and allow it."
        )
        raise MissingScopeError(message)
    profile, observed_at = client.user_info(fields)
    rows = repository.save_user(store_code, day, profile, observed_at)
    missing = sorted({scope for scope in USER_FIELD_SCOPES.values() if scope not in scopes})
    followers = "unknown" if profile.follower_count is None else f"{profile.follower_count:,}"
    return StoreOutcome(
        message=f"Profile of the day: {followers} followers"
        + (f"; not granted: {', '.join(missing)}" if missing else ""),
        details={
            "rows": rows,
            "late": day.is_late(observed_at),
            **({"scopes_not_granted": missing} if missing else {}),
        },
    )
