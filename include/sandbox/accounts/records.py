"""What is a token, a grant, a code: one record of each."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """One issued token.

    Attributes:
        value: `act.…`, `rft.…` or `clt.…`.
        kind: `access`, `refresh` or `client`.
        store_code: Its store, empty for a client token.
        generation: Which consent or refresh of the store made it, from 1.
        expires_at: Epoch seconds.
    """

    value: str
    kind: str
    store_code: str
    generation: int
    expires_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """What a store allows the app.

    Attributes:
        store_code: The store.
        scope: Comma-separated scopes.
        generation: Newest generation of its tokens.
        dead_through: All access tokens up to this generation are dead, and the refresh token too
            if it reaches the newest one (a revoked grant).
    """

    store_code: str
    scope: str
    generation: int
    dead_through: int

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes as a set."""
        return frozenset(self.scope.split(","))

    @property
    def revoked(self) -> bool:
        """Whether nothing issued so far works any more."""
        return self.dead_through >= self.generation


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    """One authorization code: works once, until `expires_at` (epoch seconds).

    `redirect_uri` None accepts any address, because no authorize page was involved;
    `code_challenge` None wants no verifier.
    """

    value: str
    store_code: str
    scope: str
    redirect_uri: str | None
    expires_at: float
    used: bool = False
    code_challenge: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """The newest tokens of a store and what they allow."""

    grant: Grant
    access: Token
    refresh: Token
