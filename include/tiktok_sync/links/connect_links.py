"""Links that let a store's manager connect the TikTok account: made, signed, read, revoked.

The token in a link is signed and names its store and its end, so that a forged one never reaches
the database; the database keeps its hash and whether it was used.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from itsdangerous import BadData, URLSafeSerializer

from include.tiktok_sync.days import utc_now
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.jobs import APIS, INSIGHTS_SWITCH, Api, has_insights
from include.tiktok_sync.store_db import audit
from include.tiktok_sync.store_db.database import Connection

DEFAULT_DAYS = 7
MAX_DAYS = 90
MIN_SECRET_LENGTH = 32

_SALT = "connect-link"
_HANDLE = re.compile(r"[a-z0-9._]{2,64}")
_PLACEHOLDERS = ("change", "default", "example", "secret", "password")


_END_ATTEMPTS = """
UPDATE connect_attempts SET outcome = 'expired', finished_at = now(), access_token = NULL,
    refresh_token = NULL, open_id = NULL, union_id = NULL, username = NULL, display_name = NULL
WHERE store_code = %(code)s AND finished_at IS NULL AND (%(api)s::text IS NULL OR api = %(api)s)
"""

_END_LINKS = """
UPDATE connect_links SET revoked_at = now()
WHERE store_code = %(code)s AND used_at IS NULL AND revoked_at IS NULL
    AND (%(api)s::text IS NULL OR api = %(api)s)
"""


@dataclass(frozen=True)
class ConnectLink:
    """A fresh link. ``url`` opens it: anyone who has it can connect the store."""

    store_code: str
    store_name: str
    url: str = field(repr=False)
    expires_at: datetime


def check_secret(secret: str) -> str:
    """``CONNECT_SECRET``, if it can sign anything.

    Raises:
        ConfigurationError: It is empty, short, or a placeholder.
    """
    weak = (
        len(secret) < MIN_SECRET_LENGTH
        or len(set(secret)) < MIN_SECRET_LENGTH // 4
        or secret.lower().startswith(_PLACEHOLDERS)
    )
    if weak:
        what = "is not set" if not secret else "is too short or a placeholder"
        message = (
            f"CONNECT_SECRET {what}: anybody could make connect links. Set it to"
            f" {MIN_SECRET_LENGTH} random characters or more (python -c"
            " 'import secrets; print(secrets.token_urlsafe(32))'), the same for the connect app"
            " and wherever links are made."
        )
        raise ConfigurationError(message)
    return secret


def hash_of(value: str) -> bytes:
    """SHA-256 of a random value (link, state, cookie): what the database knows of it."""
    return hashlib.sha256(value.encode()).digest()


class LinkSigner:
    """Signs and reads the tokens of links.

    Args:
        secret: ``CONNECT_SECRET``.

    Raises:
        ConfigurationError: The secret cannot be used.
    """

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeSerializer(
            check_secret(secret), salt=_SALT, signer_kwargs={"digest_method": hashlib.sha256}
        )

    def sign(self, store_code: str, expires_at: datetime) -> str:
        """A token that nobody can guess, for one store, until then."""
        nonce = secrets.token_urlsafe(16)
        return str(self._serializer.dumps([store_code, int(expires_at.timestamp()), nonce]))

    def store_of(self, token: str) -> str | None:
        """The store that a token was signed for, expired or not; ``None`` = not ours."""
        try:
            store_code, _, _ = self._serializer.loads(token)
        except (BadData, ValueError, TypeError):
            return None
        return str(store_code)


@dataclass(frozen=True)
class LinkMaker:
    """Who makes links, and with what.

    Attributes:
        secret: ``CONNECT_SECRET``.
        base_url: Where the connect app is reached from outside (``CONNECT_BASE_URL``).
        created_by: Who makes them, for the record.
        apis: Which of TikTok's APIs they may connect.

    Raises:
        ConfigurationError: Secret or address cannot be used.
    """

    secret: str = field(repr=False)
    base_url: str
    created_by: str
    apis: tuple[Api, ...] = ("display",)

    def __post_init__(self) -> None:
        check_secret(self.secret)
        if not self.base_url.startswith(("https://", "http://")):
            message = (
                "CONNECT_BASE_URL is not set: where do managers reach the connect app? For example"
                " https://connect.example.com"
            )
            raise ConfigurationError(message)

    @classmethod
    def from_env(cls, env: Mapping[str, str], created_by: str) -> LinkMaker:
        """As the environment says.

        Raises:
            ConfigurationError: One of the two is missing or cannot be used.
        """
        secret, base_url = env.get("CONNECT_SECRET", ""), env.get("CONNECT_BASE_URL", "")
        return cls(secret, base_url, created_by, APIS if has_insights(env) else APIS[:1])

    def make(
        self,
        conn: Connection,
        store_code: str,
        *,
        api: Api = "display",
        days: int = DEFAULT_DAYS,
        expected_account: str | None = None,
    ) -> ConnectLink:
        """A new link for a store, with a row in ``store_audit``; its older unused ones end.

        Args:
            conn: Autocommit connection of the product's own role.
            store_code: Which store.
            api: Which of TikTok's APIs it connects; links for the other go on working.
            days: How long it works, 1 to 90.
            expected_account: TikTok username that alone may be connected; ``None`` = any.

        Raises:
            ConfigurationError: A value cannot be used, there is no such store, or it is paused or
                has left.
        """
        if api not in self.apis:
            message = (
                f"{INSIGHTS_SWITCH} is not set, so no store is connected to the Accounts API"
                " (docs/business.md)."
            )
            raise ConfigurationError(message)
        if not 1 <= days <= MAX_DAYS:
            message = f"A link works for 1 to {MAX_DAYS} days, not {days}."
            raise ConfigurationError(message)
        handle = _handle(expected_account) if expected_account else None
        expires_at = utc_now() + timedelta(days=days)
        token = LinkSigner(self.secret).sign(store_code, expires_at)
        with conn.transaction():
            # The lock keeps two that make a link at once from leaving both of them open.
            store = conn.execute(
                "SELECT store_name, is_active, removed_at FROM stores WHERE store_code = %s"
                " FOR NO KEY UPDATE",  # the syncs' rows, which name the store, need not wait for it
                [store_code],
            ).fetchone()
            if store is None:
                message = f"There is no store {store_code} in the table stores. Add it first."
                raise ConfigurationError(message)
            if not store[1]:
                state = "is paused" if store[2] is None else "has left"
                message = f"Store {store_code} {state}. Take it back in first (stores resume)."
                raise ConfigurationError(message)
            revoke_links(conn, store_code, api)
            conn.execute(
                "INSERT INTO connect_links"
                " (link_hash, store_code, expected_account, created_by, expires_at, api)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [hash_of(token), store_code, handle, self.created_by, expires_at, api],
            )
            details = {"days": days, **({"api": api} if api != "display" else {})}
            audit.record(conn, "link", [store_code], actor=self.created_by, details=details)
        url = f"{self.base_url.rstrip('/')}/c/{token}"
        return ConnectLink(store_code, str(store[0]), url, expires_at)


def revoke_links(conn: Connection, store_code: str, api: Api | None = None) -> int:
    """End a store's links that are still unused, for one API or both; returns how many.

    With them end the attempts that wait for TikTok or for the manager's answer: they could connect
    nothing any more, and nothing of the account that they hold is kept.
    """
    # In the order in which the connect app locks them.
    values = {"code": store_code, "api": api}
    conn.execute(_END_ATTEMPTS, values)
    return conn.execute(_END_LINKS, values).rowcount


def _handle(text: str) -> str:
    handle = text.strip().removeprefix("@").lower()
    if not _HANDLE.fullmatch(handle):
        message = (
            f"{text!r} is no TikTok username: letters, digits, dots and underscores, as in"
            " the profile's address (tiktok.com/@username)."
        )
        raise ConfigurationError(message)
    return handle
