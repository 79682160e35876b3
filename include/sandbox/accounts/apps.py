"""Which apps of TikTok are played here, and by which rules do their grants live?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from include.sandbox.business_settings import BUSINESS_SCOPES
from include.sandbox.settings import TOKEN_REGIMES
from include.sandbox.world.content import seeded

if TYPE_CHECKING:
    from include.sandbox.settings import SandboxSettings
    from include.sandbox.world.stores import SandboxStore

#: All scopes the Display app has; a seeded grant has them all.
SCOPES = ("user.info.basic", "user.info.profile", "user.info.stats", "video.list")
FULL_SCOPE = ",".join(SCOPES)

#: TikTok gives no lifetime for codes of the Display API.
CODE_LIFETIME = 3_600

#: Page "Obtain a long-term access token": a code lives ten minutes (reference: Accounts API, 1.2).
BUSINESS_CODE_LIFETIME = 600

#: Recorded: 86,400 s for the access token, 31,536,000 s from the consent for the refresh token
#: (reference: Accounts API, 1.3).
BUSINESS_LIFETIMES = (86_400, 31_536_000)

_OPEN_ID_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"


@dataclasses.dataclass(frozen=True, slots=True)
class App:
    """One app: its name is what the names of its tables in the state file begin with."""

    name: str
    scopes: tuple[str, ...]
    code_lifetime: int

    @property
    def full_scope(self) -> str:
        """All scopes, as a grant has them."""
        return ",".join(self.scopes)

    @property
    def is_business(self) -> bool:
        """Whether it is the app of the second API."""
        return self.name != ""

    def lifetimes(self, settings: SandboxSettings) -> tuple[int, int]:
        """Seconds that an access token and a consent last."""
        return BUSINESS_LIFETIMES if self.is_business else TOKEN_REGIMES[settings.token_regime]

    def client(self, settings: SandboxSettings) -> tuple[str, str]:
        """Key and secret; both empty for an Accounts API app that is off."""
        if not self.is_business:
            return settings.client_key, settings.client_secret
        business = settings.business
        return (business.app_id, business.secret) if business else ("", "")

    def open_id(self, store: SandboxStore, seed: int) -> str:
        """A store's id for this app: each app has its own, some begin with a hyphen."""
        if not self.is_business:
            return store.open_id
        rng = seeded(seed, store.number, "business open_id")
        return rng.choice("-__") + "000" + "".join(rng.choices(_OPEN_ID_CHARS, k=32))


DISPLAY = App("", SCOPES, CODE_LIFETIME)
BUSINESS = App("business_", BUSINESS_SCOPES, BUSINESS_CODE_LIFETIME)
