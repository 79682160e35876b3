"""What does a granted scope mean: the grant's state, and what is not synced without the rest?"""

from __future__ import annotations

from include.tiktok_sync.business.models import BUSINESS_SCOPES
from include.tiktok_sync.errors import StoreTokenStatus
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.tiktok.models import BASIC_SCOPE, KNOWN_SCOPES, VIDEO_SCOPE

ACCOUNT_CONFLICT = (
    "TikTok says that its tokens belong to another account than the one stored for it, and another"
    " store holds that account. Run doctor, which says what to do."
)
"""``status_reason`` of a store whose tokens belong to an account that another store holds."""

_LEFT_OUT = {
    "user.info.profile": "user name and bio",
    "user.info.stats": "followers and other counts",
}
"""Scope -> what the profile lacks without it."""


def split_scope(scope: str) -> frozenset[str]:
    """Scopes of a list separated by commas or blanks."""
    return frozenset(scope.replace(",", " ").split())


def status_for_scope(scope: str, api: Api = "display") -> StoreTokenStatus:
    """``missing_scope`` if a scope that this product reads was not granted, else ``active``."""
    wanted = KNOWN_SCOPES if api == "display" else BUSINESS_SCOPES
    return "active" if split_scope(scope) >= wanted else "missing_scope"


def why_in_state(
    status: str | None, reason: str | None, scope: str | None, api: Api = "display"
) -> str | None:
    """Why a grant is in its state, for people; if it lacks permissions, also what is synced.

    Args:
        status: As in ``store_tokens``; ``None`` = never connected.
        reason: As in ``store_tokens``.
        scope: As in ``store_tokens``.
        api: Whose grant it is.
    """
    if status is None:
        return "The store was never connected."
    if status != "missing_scope":
        return reason
    conflict = f" {reason}" if reason == ACCOUNT_CONFLICT else ""
    granted = split_scope(scope or "")
    if api == "business":
        missing = ", ".join(sorted(BUSINESS_SCOPES - granted)) or "unknown"
        return (
            f"Not granted for the Accounts API: {missing}. The figures that need it are left out."
            " For them its manager must give the second consent again and allow every"
            f" permission.{conflict}"
        )
    if BASIC_SCOPE in granted:
        left_out = [name for lacking, name in _LEFT_OUT.items() if lacking not in granted]
        profile = "Its profile is synced" + (f", without {', '.join(left_out)}" if left_out else "")
    else:
        profile = "Its profile is not synced"
    videos = "its videos are" + ("" if VIDEO_SCOPE in granted else " not")
    missing = ", ".join(sorted(KNOWN_SCOPES - granted)) or "unknown"
    return (
        f"Not granted: {missing}. {profile}; {videos}. For the rest its manager must connect the"
        f" account again and allow every permission.{conflict}"
    )
