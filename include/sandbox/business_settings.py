"""How does TikTok's second API behave here: its app, its limits, and what nobody has documented?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from include.sandbox.setting_checks import (
    SettingsError,
    check,
    check_choice,
    check_integer,
    check_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Its endpoints; these names key latencies, statistics, the log and the faults.
BUSINESS_READS = ("business_get", "business_video_list", "business_benchmark")
BUSINESS_REFRESH = "business_refresh"
BUSINESS_ENDPOINTS = (
    *BUSINESS_READS,
    "business_token",
    BUSINESS_REFRESH,
    "business_revoke",
    "business_token_info",
)

#: The scopes that this app has, in the order of TikTok's page "TikTok account holder permissions".
BUSINESS_SCOPES = (
    "user.info.basic",
    "user.info.username",
    "user.info.profile",
    "user.info.stats",
    "user.account.type",
    "user.insights",
    "video.list",
    "video.insights",
)

#: Answers to what TikTok leaves open (reference: Accounts API, section 11); the likeliest is first.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "look_back": ("refuse", "clamp"),
    "daily_followers": ("gain", "total"),
    "missing_scope": ("refuse", "omit"),
    "absent_as": ("null", "omit", "empty", "mixed"),
    "wrong_business_id": ("40001", "40105"),
    "unknown_refresh_token": ("40107", "40002"),
    "windows": ("sliding", "fixed"),
}

_FIELD = "business"
_NOT_CHANGEABLE = ("app_id", "secret")
_MOST = 10**9
_LONGEST_PENALTY = 3_600.0


@dataclasses.dataclass(frozen=True)
class BusinessSettings:
    """One immutable set of settings of the Accounts API app; `patched` makes the next one.

    Attributes:
        app_id: The app's number: `client_id` of the token endpoints, `client_key` of the authorize
            page.
        secret: Its secret, which signs its webhooks too.
        redirect_uris: Addresses registered for the app, comma-separated; empty = any that TikTok
            would register.
        per_second: Calls a second over all endpoints of the app, 0 = unlimited, None = by the
            sandbox's profile (10).
        per_minute: The same for a minute (600).
        per_account_minute: Calls a minute of each account to each endpoint (40).
        penalty_seconds: How long everything is refused once a minute's limit is passed (TikTok:
            "suspend calls for 5 minutes").
        windows: Whether a second and a minute slide, or begin with the clock's.
        count_token_calls: Whether calls for tokens count against the app's limits.
        look_back: A `start_date` more than 60 days back is refused, or moved to 60.
        daily_followers: What `followers_count` of a day means: the net gain, or the total.
        missing_scope: A field whose scope was not granted refuses the call, or is left out.
        absent_as: How a figure that is not there looks: `null`, left out, an empty list (`null`
            for numbers), or any of them by turns.
        wrong_business_id: Code for a `business_id` that is not the token's.
        unknown_refresh_token: Code for a refresh token that was never given to anyone.
        rotate_one_in: Every how many refreshes one brings a new refresh token, 0 = never.

    Raises:
        SettingsError: A value is out of range or of the wrong type.
    """

    app_id: str
    secret: str = dataclasses.field(repr=False)
    redirect_uris: str = ""
    per_second: int | None = None
    per_minute: int | None = None
    per_account_minute: int | None = None
    penalty_seconds: float = 300.0
    windows: str = "sliding"
    count_token_calls: bool = False
    look_back: str = "refuse"
    daily_followers: str = "gain"
    missing_scope: str = "refuse"
    absent_as: str = "null"
    wrong_business_id: str = "40001"
    unknown_refresh_token: str = "40107"  # noqa: S105 (a code)
    rotate_one_in: int = 3

    def __post_init__(self) -> None:
        """Checks every field; see the class for the errors."""
        check(self.app_id.isdecimal(), "business_app_id", "must be a number")
        check(self.secret != "", "business_secret", "is required and must not be empty")
        check(isinstance(self.redirect_uris, str), "business_redirect_uris", "must be a text")
        for name in ("per_second", "per_minute", "per_account_minute"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 0, _MOST)
        check_seconds("business_penalty_seconds", self.penalty_seconds, _LONGEST_PENALTY)
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check(
            isinstance(self.count_token_calls, bool), "count_token_calls", "must be true or false"
        )
        check_integer("rotate_one_in", self.rotate_one_in, 0, _MOST)

    def limits(self, *, lifted: bool) -> tuple[int, int, int]:
        """Calls a second, a minute, and a minute of each account and endpoint; 0 = unlimited.

        Args:
            lifted: Whether the sandbox's profile has no limits unless they are set.
        """
        usual = (0, 0, 0) if lifted else (10, 600, 40)
        chosen = (self.per_second, self.per_minute, self.per_account_minute)
        second, minute, account = (
            default if value is None else value
            for value, default in zip(chosen, usual, strict=True)
        )
        return second, minute, account

    def public(self) -> dict[str, Any]:
        """All fields but the secret."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "secret"
        }

    def patched(self, changes: object) -> BusinessSettings:
        """Settings after some changes, checked as a whole.

        Raises:
            SettingsError: An unknown field, or a value that the field cannot have.
        """
        if not isinstance(changes, dict):
            raise SettingsError(_FIELD, "must be an object")
        known = [f.name for f in dataclasses.fields(self) if f.name not in _NOT_CHANGEABLE]
        for name in changes:
            check(name in known, name, f"can not be changed; only {', '.join(known)}")
        return dataclasses.replace(self, **changes)
