"""The doctor's checks of the stores' grants: can they be read and used, and whose are they?"""

from __future__ import annotations

from collections.abc import Iterator

from include.tiktok_sync.doctor.finding import Finding, Status, named
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.stores.consents import consents_ending
from include.tiktok_sync.tiktok.fingerprint import fingerprint_of
from include.tiktok_sync.tokens.grant_app import app_use, next_step, other_app_message
from include.tiktok_sync.tokens.vault import TokenVault


def check(conn: Connection, settings: Settings) -> Iterator[Finding]:
    """What is wrong with the stores' grants and accounts."""
    yield from _grants(conn, settings)
    yield _accounts(conn)


def _grants(conn: Connection, settings: Settings) -> Iterator[Finding]:
    [(stores, connected, dead, partial)] = conn.execute(
        "SELECT count(*), count(t.store_code),"
        " count(*) FILTER (WHERE coalesce(t.status, 'needs_consent') = 'needs_consent'),"
        " count(*) FILTER (WHERE t.status = 'missing_scope')"
        " FROM stores LEFT JOIN store_tokens AS t USING (store_code) WHERE is_active"
    ).fetchall()
    soon = consents_ending(conn, settings.consent_warning_days, api="display", active=True)
    ending = len(soon)
    if not connected:
        todo = "python -m include.tiktok_sync stores import stores.csv"
        yield Finding("stores", "warn", "no active store has tokens", todo)
        return
    yield _decrypted(conn, settings)
    yield _app(conn, settings)
    text = f"{stores} active stores"
    if dead or partial or ending:
        text += (
            f": {dead} need consent, {partial} miss a permission,"
            f" {ending} end within {settings.consent_warning_days} days"
        )
        todo = "The view sync_freshness names them; connect them again."
        yield Finding("grants", "warn", text, todo)
    else:
        yield Finding("grants", "ok", text)


def _decrypted(conn: Connection, settings: Settings) -> Finding:
    try:
        vault = TokenVault(settings.token_keys)
    except ConfigurationError:
        return Finding("stored tokens", "skip", "no usable key to read them with")
    rows = conn.execute(
        "SELECT store_code, refresh_token FROM store_tokens ORDER BY store_code"
    ).fetchall()
    bad = [code for code, token in rows if not _readable(vault, code, token)]
    if not bad:
        return Finding("stored tokens", "ok", f"{len(rows)} read, all decrypted")
    return Finding(
        "stored tokens",
        "fail",
        f"{len(bad)} of {len(rows)} cannot be decrypted with TIKTOK_TOKEN_KEYS ({named(bad)})",
        "Append the key they were encrypted with to TIKTOK_TOKEN_KEYS, after a comma; if it is"
        " lost, connect or import these stores again.",
    )


def _accounts(conn: Connection) -> Finding:
    doubles = accounts.doubles(conn)
    if not doubles:
        return _account_conflicts(conn)
    pairs = named([" and ".join(codes) for codes in doubles], separator="; ")
    return Finding(
        "accounts",
        "fail",
        f"{len(doubles)} TikTok accounts have more than one store ({pairs}): each refresh"
        " ends the other's tokens, and the videos change owner with every sync",
        "Decide whose account it is, and take it from the other: stores disconnect CODE"
        " --no-revoke (revoking would end both). If that one has an account of its own: stores"
        " resume CODE --without-grant, then stores link CODE.",
    )


def _account_conflicts(conn: Connection) -> Finding:
    codes = accounts.conflicts(conn)
    if not codes:
        return Finding("accounts", "ok", "no two stores have the same TikTok account")
    return Finding(
        "accounts",
        "fail",
        f"TikTok says that the tokens of {len(codes)} stores ({named(codes)}) belong to an account"
        " that another store holds: was the open_id column of an import shifted?",
        "Compare each store with its account. If the tokens are the right ones, disconnect one of"
        " these stores: stores disconnect CODE --no-revoke. The others take their own accounts"
        " with their next refresh. Then stores resume CODE --without-grant, and stores link CODE.",
    )


def _app(conn: Connection, settings: Settings) -> Finding:
    check = "app of the grants"
    if not settings.client_key:
        return Finding(check, "skip", "TIKTOK_CLIENT_KEY is not set")
    use = app_use(conn, fingerprint_of(settings.client_key))
    if use.of_others:
        status: Status = "fail" if len(use.of_others) == use.grants else "warn"
        return Finding(check, status, other_app_message(use, with_next_step=False), next_step())
    text = f"{use.grants - use.unknown} of {use.grants} living grants were given to this app"
    if use.unknown:
        text += f"; of {use.unknown} it is not known before their next refresh"
    return Finding(check, "ok", text)


def _readable(vault: TokenVault, store_code: str, token: bytes) -> bool:
    try:
        vault.decrypt(token, store_code=store_code, kind="refresh")
    except ConfigurationError:
        return False
    return True
