"""The doctor's checks of the Accounts API: the app, and the stores' grants for it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from include.tiktok_sync.app import BusinessApp
from include.tiktok_sync.business.oauth import BusinessOAuth
from include.tiktok_sync.doctor.finding import Finding, Status, named
from include.tiktok_sync.errors import ConfigurationError, NeedsConsentError, SyncError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection, connect, database_errors
from include.tiktok_sync.stores import accounts
from include.tiktok_sync.tokens.grant_app import app_use, next_step, other_app_message
from include.tiktok_sync.tokens.grant_table import BUSINESS
from include.tiktok_sync.tokens.scopes import split_scope
from include.tiktok_sync.tokens.vault import TokenVault

ASKED = 20
"""Stores whose token TikTok is asked about: a sample, because each costs a call."""

_GRANTS = """
SELECT store_code, status FROM business_tokens JOIN stores USING (store_code) WHERE is_active
ORDER BY store_code
"""

# TikTok approves permissions of an app, not of a store: any login it accepted since ends it.
_NOT_APPROVED = """
SELECT array_agg(DISTINCT store_code ORDER BY store_code), max(finished_at) AT TIME ZONE 'UTC'
FROM connect_attempts JOIN stores USING (store_code)
WHERE is_active AND api = 'business' AND outcome = 'not_approved' AND finished_at > coalesce((
    SELECT max(finished_at) FROM connect_attempts
    WHERE api = 'business' AND outcome IN ('connected', 'missing_scope')), '-infinity')
HAVING count(*) > 0
"""

# Tokens that still live; none is refreshed for a check. At random: each check asks about others.
_LIVING = """
SELECT store_code, open_id, scope, access_token
FROM business_tokens JOIN stores USING (store_code)
WHERE is_active AND status <> 'needs_consent' AND access_expires_at > now() + interval '1 minute'
ORDER BY random()
"""


def check(settings: Settings) -> Iterator[Finding]:
    """What is wrong with the Accounts API; one line if it is not used."""
    if not settings.business_enabled:
        if settings.business_app_id or settings.business_secret:
            text = "only one of TIKTOK_BUSINESS_APP_ID and TIKTOK_BUSINESS_SECRET is set"
            yield Finding("Accounts API", "fail", text, "Set both, or neither.")
            return
        yield Finding("Accounts API", "ok", "not used (TIKTOK_BUSINESS_APP_ID is not set)")
        return
    app = BusinessApp.from_settings(settings)
    found = _app(app)
    yield found
    try:
        url = settings.required("store_db_url")
        with connect(url, application_name="tiktok_sync:doctor") as conn, database_errors():
            yield from _grants(conn, app)
            yield from _approval(conn)
            if found.status == "ok":
                yield _scopes(conn, settings, app)
    except SyncError as error:
        yield Finding(
            "Accounts API grants", "skip", f"the database cannot be read: {error.message}"
        )


def _app(app: BusinessApp) -> Finding:
    try:
        app.check()
    except ConfigurationError as error:
        todo = (
            "Set TIKTOK_BUSINESS_APP_ID and TIKTOK_BUSINESS_SECRET as in TikTok's developer portal"
            " for the Accounts API, load the settings (python plugins/load_airflow_settings.py) and"
            " start again."
        )
        return Finding("Accounts API app", "fail", str(error), todo)
    except SyncError as error:
        return Finding("Accounts API app", "warn", str(error), "Try again in some minutes.")
    return Finding("Accounts API app", "ok", "TikTok accepts app id and secret")


def _grants(conn: Connection, app: BusinessApp) -> Iterator[Finding]:
    grants: dict[str, str] = dict(conn.execute(_GRANTS).fetchall())
    text = f"{len(grants)} active stores have a grant for the Accounts API"
    trouble = []
    for state, words in (("needs_consent", "need consent"), ("missing_scope", "miss a permission")):
        codes = [code for code, status in grants.items() if status == state]
        if codes:
            trouble.append(f"{len(codes)} {words} ({named(codes)})")
    if trouble:
        text += f": {', '.join(trouble)}"
        todo = "stores list says why; have them connected again: stores link CODE --business"
        yield Finding("Accounts API grants", "warn", text, todo)
    else:
        yield Finding("Accounts API grants", "ok", text)
    use = app_use(conn, app.fingerprint, table=BUSINESS)
    if use.of_others:
        status: Status = "fail" if len(use.of_others) == use.grants else "warn"
        message = other_app_message(use, with_next_step=False, table=BUSINESS)
        yield Finding("app of the Accounts API grants", status, message, next_step(BUSINESS))
    doubles = accounts.doubles(conn, BUSINESS.api)
    conflicts = accounts.conflicts(conn, BUSINESS)
    if doubles or conflicts:
        pairs = [" and ".join(codes) for codes in doubles] + conflicts
        yield Finding(
            "accounts of the Accounts API",
            "fail",
            f"TikTok accounts with more than one store: {named(pairs, separator='; ')}",
            "Decide whose account it is, and disconnect the other store: stores disconnect CODE"
            " --no-revoke.",
        )


def _approval(conn: Connection) -> Iterator[Finding]:
    """Do managers fail because TikTok has not approved what the app asks them for?"""
    for codes, last in conn.execute(_NOT_APPROVED).fetchall():
        yield Finding(
            "Accounts API approval",
            "warn",
            f"TikTok refused the login of the managers of {len(codes)} stores ({named(codes)}),"
            f" last on {last:%Y-%m-%d}: the app lacks a permission that it asks for (not_approved)",
            "Leave out of CONNECT_BUSINESS_SCOPES what TikTok has not approved yet, restart the"
            " connect app, and send these managers a new link: stores link CODE --business",
        )


def _scopes(conn: Connection, settings: Settings, app: BusinessApp) -> Finding:
    """Ask TikTok what some living tokens may do, and compare it with what is stored and wanted."""
    try:
        vault = TokenVault(settings.token_keys)
    except ConfigurationError:
        return Finding("Accounts API permissions", "skip", "no usable key to read the tokens with")
    rows = conn.execute(_LIVING).fetchall()
    lacking, others = [], []
    with app.transport() as http:
        oauth = app.oauth(http)
        for code, open_id, scope, sealed in islice(rows, ASKED):
            try:
                token = vault.decrypt(sealed, store_code=code, kind=BUSINESS.access)
                granted, account = _token_info(oauth, token)
            except NeedsConsentError:
                lacking.append(f"{code}: TikTok rejects its token")
                continue
            except SyncError as error:
                return Finding("Accounts API permissions", "warn", str(error), "Try again later.")
            missing = BUSINESS.scopes - granted
            if missing:
                lacking.append(f"{code}: {', '.join(sorted(missing))}")
            elif granted != split_scope(scope) or account not in {None, open_id}:
                others.append(code)
    stores = f"{min(len(rows), ASKED)} of {len(rows)} stores"
    if len(rows) > ASKED:
        stores += ", picked at random: each check asks about others"
    if lacking:
        text = (
            "TikTok does not grant everything that is asked for:"
            f" {named(sorted(lacking), '; ')} (asked about {stores})"
        )
        return Finding("Accounts API permissions", "warn", text, "Connect these stores again.")
    if others:
        text = (
            "what TikTok says of these grants differs from what is stored:"
            f" {named(sorted(others))} (asked about {stores})"
        )
        return Finding("Accounts API permissions", "warn", text, "The next refresh corrects it.")
    return Finding("Accounts API permissions", "ok", f"complete for {stores}")


def _token_info(oauth: BusinessOAuth, token: str) -> tuple[frozenset[str], str | None]:
    info = oauth.token_info(token)
    return split_scope(info.scope or ""), info.open_id
