"""How is a token kept secret at rest? Fernet, several keys, bound to its store."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from include.tiktok_sync.errors import ConfigurationError

TokenKind = Literal["access", "refresh", "business_access", "business_refresh"]


def fingerprint(key: str) -> str:
    """A name for a key: 8 hex digits that reveal nothing of its 256 random bits."""
    return hashlib.sha256(b"tiktok_sync key fingerprint\0" + key.encode()).hexdigest()[:8]


class TokenVault:
    """Encrypts and decrypts tokens.

    The store code and the kind are sealed in with the token, so that a ciphertext copied to
    another row (or from the refresh to the access column) is refused instead of used.

    Args:
        keys: Fernet keys; the first encrypts, every one decrypts (key rotation).

    Raises:
        ConfigurationError: No key, or one that is not a Fernet key.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        if not keys:
            message = (
                "TIKTOK_TOKEN_KEYS is empty: tokens would be unreadable or unprotected. Set it to a"
                " Fernet key (python -m include.tiktok_sync tokens generate-key) and start again."
            )
            raise ConfigurationError(message)
        try:
            self._keys = [Fernet(key) for key in keys]
        except ValueError as error:
            message = (
                "TIKTOK_TOKEN_KEYS holds a value that is not a Fernet key"
                " (44 characters of url-safe base64, comma-separated)."
            )
            raise ConfigurationError(message) from error

        self._fernet = MultiFernet(self._keys)
        self.fingerprints = tuple(map(fingerprint, keys))

    def encrypt(self, token: str, *, store_code: str, kind: TokenKind) -> bytes:
        """Ciphertext of ``token`` for this store and kind."""
        sealed = json.dumps([store_code, kind, token]).encode()
        return self._fernet.encrypt(sealed)

    def decrypt(self, ciphertext: bytes, *, store_code: str, kind: TokenKind) -> str:
        """The token in ``ciphertext``.

        Raises:
            ConfigurationError: No key fits, or the ciphertext belongs to another store or kind.
        """
        try:
            sealed_store, sealed_kind, token = json.loads(self._fernet.decrypt(bytes(ciphertext)))
        except InvalidToken as error:
            message = (
                f"The {_named(kind)} token of store {store_code} cannot be decrypted with"
                " TIKTOK_TOKEN_KEYS. Add the key it was written with, or import the store's"
                " tokens again."
            )
            raise ConfigurationError(message) from error
        if (sealed_store, sealed_kind) != (store_code, kind):
            message = (
                f"The {_named(kind)} token stored for {store_code} belongs to {sealed_store}"
                f" ({_named(sealed_kind)}). Rows with tokens were mixed up; import the store's"
                " tokens again."
            )
            raise ConfigurationError(message)
        return str(token)

    def place_of(self, ciphertext: bytes) -> int | None:
        """Which key of ``keys`` the ciphertext was written with, from 0; ``None`` = none of them.

        This does not check whether it belongs to the row it was found in.
        """
        for place, key in enumerate(self._keys):
            try:
                key.decrypt(bytes(ciphertext))
            except InvalidToken:
                continue
            return place
        return None

    def renew(self, ciphertext: bytes, *, store_code: str, kind: TokenKind) -> bytes:
        """The same token under the first key.

        Raises:
            ConfigurationError: See :meth:`decrypt`.
        """
        token = self.decrypt(ciphertext, store_code=store_code, kind=kind)
        return self.encrypt(token, store_code=store_code, kind=kind)


def _named(kind: str) -> str:
    return kind.replace("_", " ")
