"""What kind of account does a store have, and from which day on does TikTok count for it?

Page "Get profile data of a TikTok account": some figures are for Business Accounts (B), some for
Registered ones (R), some for accounts with at least 100 followers; days before the account, or
before its analytics were turned on, do not come (reference: Accounts API, 3 and 6.2).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

from include.sandbox.settings import FIRST_DAY
from include.sandbox.world.content import drawn
from include.sandbox.world.recent import is_small

if TYPE_CHECKING:
    from include.sandbox.state import SandboxState
    from include.sandbox.world.stores import SandboxStore

PERSONAL = "personal"
BUSINESS = "business"
REGISTERED = "registered"

#: Followers from which on TikTok shows anything about an audience.
AUDIENCE_FOLLOWERS = 100

# Laid out by number, so that a few dozen stores have each of them.
_KINDS = (
    *(BUSINESS, PERSONAL, PERSONAL, REGISTERED, BUSINESS),
    *(PERSONAL, BUSINESS, REGISTERED, BUSINESS, BUSINESS),
)
_OFF_EVERY, _OFF_AT = 23, 11
_YOUNG_EVERY, _YOUNG_AT = 19, 7
_SWITCHED_EVERY, _SWITCHED_AT = 11, 9
_LONG_AGO = FIRST_DAY - dt.timedelta(days=400)


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """One store's account, as the second API knows it.

    Attributes:
        store: The store.
        kind: `personal`, `business` or `registered`.
        since: First day of its figures: of the account, or of its analytics.
        business_since: First day of the figures that only Business Accounts have.
        analytics: Whether its analytics were ever turned on.
        is_small: Whether it has been below 100 followers all the time.
    """

    store: SandboxStore
    kind: str
    since: dt.date
    business_since: dt.date
    analytics: bool
    is_small: bool

    def has_business(self, day: dt.date) -> bool:
        """Whether figures of Business Analytics are there for a day."""
        return self.kind != PERSONAL and day >= self.business_since

    def shown(self) -> dict[str, Any]:
        """Its fields as JSON, for tests."""
        return {
            "kind": self.kind,
            "since": self.since.isoformat(),
            "business_since": self.business_since.isoformat(),
            "analytics": self.analytics,
        }


def account_of(sandbox: SandboxState, store: SandboxStore) -> Account:
    """A store's account; what is young is young seen from the day the sandbox began."""
    seed, anchor = sandbox.settings.seed, sandbox.anchor
    number = store.number + seed
    since = business_since = _LONG_AGO
    if number % _YOUNG_EVERY == _YOUNG_AT:
        since = anchor - dt.timedelta(days=5 + drawn(40, seed, store.code, "since"))
    kind = _KINDS[number % len(_KINDS)]
    if kind == BUSINESS and number % _SWITCHED_EVERY == _SWITCHED_AT:
        business_since = anchor - dt.timedelta(days=3 + drawn(20, seed, store.code, "switched"))
    reference = sandbox.settings.is_reference
    return Account(
        store=store,
        kind=kind,
        since=since,
        business_since=business_since,
        analytics=reference or number % _OFF_EVERY != _OFF_AT,
        is_small=not reference and is_small(store.number, seed),
    )


def has_insights(sandbox: SandboxState, account: Account) -> bool:
    """Whether there is anything to tell: analytics are on, and something was posted."""
    return account.analytics and sandbox.world.video_count(account.store) > 0


def has_audience(sandbox: SandboxState, account: Account) -> bool:
    """Whether TikTok says anything about the audience."""
    user = sandbox.world.user(account.store, sandbox.settings.today)
    return has_insights(sandbox, account) and user["follower_count"] >= AUDIENCE_FOLLOWERS
