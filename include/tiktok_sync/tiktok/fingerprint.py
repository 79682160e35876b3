"""Which TikTok app is this? A name for it that does not reveal its client key."""

from __future__ import annotations

import hashlib


def fingerprint_of(client_key: str) -> str:
    """A name for an app that does not reveal its client key: 12 hex digits.

    It is the same wherever it is computed, so that a grant can be compared with a setting.
    """
    return hashlib.sha256(b"tiktok_sync app fingerprint\0" + client_key.encode()).hexdigest()[:12]
