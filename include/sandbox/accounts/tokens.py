"""Who may call: grants, the life of tokens, rotation, codes and revocation.

Rules (TikTok pages "Manage user access tokens" and "Refresh a user access token", November 2026;
reference: refresh facts). Each consent or refresh makes a new *generation* of access and refresh
token. Only the newest refresh token works. A refresh never moves the deadline of the refresh token:
it stays where the consent put it. An older access token works until it expires.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING

from include.sandbox.accounts.apps import DISPLAY
from include.sandbox.accounts.records import Code, Grant, Pair, Token

if TYPE_CHECKING:
    from collections.abc import Iterable

    from include.sandbox.accounts.apps import App
    from include.sandbox.accounts.token_file import TokenFile
    from include.sandbox.settings import SandboxSettings

#: Lifetime of a client access token in seconds (TikTok page "Client access token management").
CLIENT_TOKEN_LIFETIME = 7_200

#: One seeded store in four starts with an expired access token (default profile).
_EXPIRED_EVERY = 4
_CONSENT_SPREAD_DAYS = 90
_DAY = 86_400


class Tokens:
    """All tokens of an app ever issued, in memory and in a `TokenFile` for the next start.

    Every change is committed to the file before it is visible here, hence before the answer leaves.

    Args:
        file: Keeps them.
        app: Whose they are.
    """

    def __init__(self, file: TokenFile, app: App = DISPLAY) -> None:
        self._file = file
        self.app = app
        self._tokens: dict[str, Token] = {}
        self._grants = {row[0]: Grant(*row) for row in file.grants()}
        self._codes = {
            row[0]: Code(*row[:5], used=bool(row[5]), code_challenge=row[6]) for row in file.codes()
        }
        self._newest: dict[tuple[str, str], Token] = {}
        self._remember(Token(*row) for row in file.tokens())

    def seed(self, numbers: dict[str, int], settings: SandboxSettings, now: float) -> None:
        """Gives a grant and tokens to every store that has none yet.

        Consents lie up to 90 days back, so that refresh deadlines differ. In the default profile
        every fourth store's access token has just expired.

        Args:
            numbers: Store code -> 1-based number, all stores.
            settings: Regime, profile and seed.
            now: Epoch seconds.
        """
        access_life, refresh_life = self.app.lifetimes(settings)
        grants, tokens = [], []
        secret = self.app.client(settings)[1]
        for code, number in numbers.items():
            if code in self._grants:
                continue
            expired = number % _EXPIRED_EVERY == 0 and not settings.is_reference
            age = (number * 37 + settings.seed) % _CONSENT_SPREAD_DAYS * _DAY
            grants.append(Grant(code, self.app.full_scope, generation=1, dead_through=0))
            access_end = now - 1 if expired else now + access_life
            tokens.append(Token(new_value("act."), "access", code, 1, access_end))
            tokens.append(Token(new_value("rft."), "refresh", code, 1, now + refresh_life - age))
        self._file.save(tokens=tokens, grants=grants, client_secret=secret)
        self._grants.update({grant.store_code: grant for grant in grants})
        self._remember(tokens)

    def find(self, value: str) -> Token | None:
        """The token with a value, dead or alive; None if it was never issued."""
        return self._tokens.get(value)

    def is_alive(self, token: Token, now: float) -> bool:
        """Whether a token works: not expired, not rotated, not revoked."""
        if token.expires_at <= now:
            return False
        grant = self._grants.get(token.store_code)
        if grant is None:
            return token.kind == "client"
        newest = token.kind != "refresh" or token.generation == grant.generation
        return newest and token.generation > grant.dead_through

    def has(self, store_code: str) -> bool:
        """Whether a store has ever consented."""
        return store_code in self._grants

    def grant(self, store_code: str) -> Grant:
        """The grant of a seeded store."""
        return self._grants[store_code]

    def pair(self, store_code: str) -> Pair:
        """The newest tokens of a seeded store, dead or alive."""
        newest = self._newest
        return Pair(
            self._grants[store_code],
            newest[store_code, "access"],
            newest[store_code, "refresh"],
        )

    def refresh(self, token: Token, settings: SandboxSettings, now: float) -> Pair:
        """Rotates: a new pair, the sent refresh token dead, its deadline kept.

        The Accounts API app's refresh token stays the same more often than not (reference: Accounts
        API, 1.3: "may bring a new one").

        Args:
            token: A refresh token that is alive.
            settings: Regime, and whether the old access token dies too.
            now: Epoch seconds.
        """
        grant = self._grants[token.store_code]
        kept = token.value if self._keeps(grant, settings) else None
        return self._issue(grant, token.expires_at, settings, now, refresh_value=kept)

    def _keeps(self, grant: Grant, settings: SandboxSettings) -> bool:
        if not self.app.is_business or settings.business is None:
            return False
        one_in = settings.business.rotate_one_in
        return not one_in or grant.generation % one_in != 0

    def exchange(self, code: Code, settings: SandboxSettings, now: float) -> Pair:
        """A new consent: uses the code up, replaces the grant's scope, starts a new deadline."""
        deadline = now + self.app.lifetimes(settings)[1]
        used = dataclasses.replace(code, used=True)
        return self._issue(used, deadline, settings, now)

    def _issue(
        self,
        consent: Grant | Code,
        deadline: float,
        settings: SandboxSettings,
        now: float,
        *,
        refresh_value: str | None = None,
    ) -> Pair:
        """Makes the next generation, for what a grant or a fresh code allows."""
        store_code, scope = consent.store_code, consent.scope
        codes = (consent,) if isinstance(consent, Code) else ()
        # An account that has never consented has no grant yet.
        old = self._grants.get(store_code, Grant(store_code, scope, generation=0, dead_through=0))
        generation = old.generation + 1
        kills = settings.refresh_kills_access_token
        dead_through = old.generation if kills else old.dead_through
        grant = Grant(store_code, scope, generation, dead_through)
        access_end = now + self.app.lifetimes(settings)[0]
        access = Token(new_value("act."), "access", store_code, generation, access_end)
        value = refresh_value or new_value("rft.")
        refresh = Token(value, "refresh", store_code, generation, deadline)
        self._file.save(tokens=(access, refresh), grants=(grant,), codes=codes)
        self._grants[store_code] = grant
        self._remember((access, refresh))
        self._codes.update({code.value: code for code in codes})
        return Pair(grant, access, refresh)

    def issue_client_token(self, now: float) -> Token:
        """A client access token; it opens none of the Display endpoints."""
        token = Token(new_value("clt."), "client", "", 0, now + CLIENT_TOKEN_LIFETIME)
        self._file.save(tokens=(token,))
        self._remember((token,))
        return token

    def mint_code(
        self,
        store_code: str,
        scope: str,
        redirect_uri: str | None,
        now: float,
        *,
        code_challenge: str | None = None,
    ) -> str:
        """A code as the authorize page's redirect would carry it, decoded."""
        code = Code(
            new_value(""),
            store_code,
            scope,
            redirect_uri,
            now + self.app.code_lifetime,
            code_challenge=code_challenge,
        )
        self._file.save(codes=(code,))
        self._codes[code.value] = code
        return code.value

    def find_code(self, value: str) -> Code | None:
        """The code with a value, used or not; None if it was never minted."""
        return self._codes.get(value)

    def revoke(self, store_code: str) -> None:
        """Ends every token of a store; only a new consent helps."""
        grant = self._grants[store_code]
        self._save_grant(dataclasses.replace(grant, dead_through=grant.generation))

    def change_scope(self, store_code: str, scope: str) -> None:
        """Changes what a store allows, at once, for the tokens it has."""
        self._save_grant(dataclasses.replace(self._grants[store_code], scope=scope))

    def move_access_expiry(self, store_code: str, expires_at: float) -> None:
        """Moves the end of the store's newest access token (epoch seconds)."""
        token = dataclasses.replace(self.pair(store_code).access, expires_at=expires_at)
        self._file.save(tokens=(token,))
        self._remember((token,))

    def secrets(self) -> dict[str, list[str]]:
        """Everything that must never show up anywhere, ever issued: kind -> values."""
        found: dict[str, list[str]] = {
            kind: [token.value for token in self._tokens.values() if token.kind == kind]
            for kind in ("access", "refresh", "client")
        }
        return {
            "access_tokens": found["access"],
            "refresh_tokens": found["refresh"],
            "client_tokens": found["client"],
            "codes": list(self._codes),
            "client_secrets": self._file.client_secrets(),
        }

    def _save_grant(self, grant: Grant) -> None:
        self._file.save(grants=(grant,))
        self._grants[grant.store_code] = grant

    def _remember(self, tokens: Iterable[Token]) -> None:
        for token in tokens:
            self._tokens[token.value] = token
            newest = self._newest.get((token.store_code, token.kind))
            if newest is None or newest.generation <= token.generation:
                self._newest[token.store_code, token.kind] = token


def new_value(prefix: str) -> str:
    """A fresh token or code, with `*` and `!` where recorded ones have them (`…*0!6410.va`)."""
    body = secrets.token_urlsafe(36)
    return f"{prefix}{body}*{secrets.randbelow(4)}!{4000 + secrets.randbelow(3000)}.va"
