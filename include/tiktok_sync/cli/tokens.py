"""Commands for the stores' tokens: the keys that encrypt them, and grants marked as dead."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer
from cryptography.fernet import Fernet

from include.tiktok_sync.app import app_of
from include.tiktok_sync.cli.common import (
    EXIT_CODES,
    EXIT_FAILED,
    AsOption,
    JsonOption,
    actor_of,
    errors_for_people,
    for_each_store,
    print_json,
    print_table,
    progress_bar,
    require_known,
    store_database,
)
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.tokens.grant_app import check_app_of_grants
from include.tiktok_sync.tokens.grant_table import GRANT_TABLES
from include.tiktok_sync.tokens.key_rotation import rotate_keys
from include.tiktok_sync.tokens.recheck import marked_stores, recheck
from include.tiktok_sync.tokens.sealed_rows import KeyUse, check_keys, key_use, unreadable_message
from include.tiktok_sync.tokens.source import TokenSource
from include.tiktok_sync.tokens.store import TokenStore
from include.tiktok_sync.tokens.vault import TokenVault


class GrantApi(str, Enum):
    """The values of ``--api``."""

    display = "display"
    business = "business"


app = typer.Typer(
    no_args_is_help=True,
    help="Tokens: their keys (TIKTOK_TOKEN_KEYS: the first encrypts, all decrypt), and grants that"
    " are marked as dead.",
)


@app.command("generate-key")
def generate_key() -> None:
    """Print a fresh key for TIKTOK_TOKEN_KEYS."""
    typer.echo(Fernet.generate_key().decode())


@app.command("status", epilog=EXIT_CODES)
def status(*, as_json: JsonOption = False) -> None:
    """Show how many stores' tokens are under which key; keys are named by a fingerprint.

    Exit status: 1 if no key opens some of the tokens, 2 if no key opens any of them.
    """
    use, vault = _use_of_keys()
    if as_json:
        print_json(_as_json(use, vault))
    else:
        print_table(
            {"key": {}, "place in TIKTOK_TOKEN_KEYS": {}, "stores": {"justify": "right"}},
            _lines(use, vault),
        )
    if use.unreadable:
        typer.echo(f"error: {unreadable_message(use, vault)}", err=True)
        raise typer.Exit(EXIT_FAILED)


@app.command("check", epilog=EXIT_CODES)
def check() -> None:
    """Check the keys at the start of a deployment. Exit status 2: they open no token at all.

    Stores whose tokens are under a lost key are named, but do not prevent the start.
    """
    use, vault = _use_of_keys()
    if use.unreadable:
        typer.echo(f"warning: {unreadable_message(use, vault)}", err=True)
    typer.echo(f"The keys open the tokens of {use.rows - len(use.unreadable)} stores.")


@app.command("rotate-keys", epilog=EXIT_CODES)
def rotate(
    *,
    only_check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit status 1 if a row is under an old key."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Re-encrypt all tokens with the first key of TIKTOK_TOKEN_KEYS. Syncs may run meanwhile.

    Put the new key before the old one (new,old) everywhere the syncs run. Once this command and its
    --check exit with 0, the old key can be removed; keep a copy for as long as you keep dumps made
    before, because their tokens are under it. If the command is interrupted, run it again.
    """
    with errors_for_people():
        settings = Settings.from_env()
        vault = TokenVault(settings.token_keys)
        with store_database(settings) as conn:
            use = check_keys(conn, vault)
            if only_check:
                _report(use, vault, renewed=0, as_json=as_json)
                return
            with progress_bar("Rotating keys", use.rows) as advance:
                done = rotate_keys(conn, vault, on_progress=advance)
            left = key_use(conn, vault)
        for code, reason in done.unreadable.items():
            typer.echo(f"{code}: {reason}", err=True)
        for code in done.busy:
            typer.echo(
                f"{code}: its row was being refreshed all the time; run this again.", err=True
            )
    _report(left, vault, renewed=done.renewed, as_json=as_json)


@app.command("recheck", epilog=EXIT_CODES)
def recheck_(
    codes: Annotated[
        list[str] | None,
        typer.Argument(help="Store codes; default: all stores marked needs_consent."),
    ] = None,
    *,
    api: Annotated[
        GrantApi, typer.Option("--api", help="Whose grants: the Display or the Accounts API's.")
    ] = GrantApi.display,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Ask TikTok again about stores marked needs_consent, and restore those with a valid grant.

    Each store's token is refreshed once. A store that TikTok still refuses keeps its mark and is
    named with the reason. So is a store that TikTok cannot be asked about: its consent has ended,
    it was never connected, it has left, it has connected another account since, or its grant
    belongs to another TikTok app.

    Stores that you name are checked even if they are not marked, and even if another app is
    recorded for their grant (an import records the app whose key is set at the time): if TikTok
    renews the grant, the configured app is recorded; if not, nothing changes.

    Exit status: 0 if no named store must be connected again, 1 if one must.
    """
    with errors_for_people():
        settings = Settings.from_env()
        table = GRANT_TABLES[api.value]
        tiktok = app_of(settings, table.api)
        vault = TokenVault(settings.token_keys)
        with store_database(settings) as conn, tiktok.transport() as http:
            wanted = codes or marked_stores(conn, table)
            require_known(conn, wanted)
            if not codes:
                check_app_of_grants(conn, tiktok.fingerprint, wanted, dead=True, table=table)
            if not wanted:
                typer.echo("[]" if as_json else "No store is marked needs_consent.")
                return
            tiktok.check()

            def work(code: str) -> str:
                source = TokenSource(
                    code,
                    store=TokenStore(conn, table),
                    vault=vault,
                    oauth=tiktok.oauth(http),
                    actor=actor_of(as_name),
                )
                return recheck(code, source, conn, utc_now(), any_app=bool(codes))

            for_each_store(conn, wanted, work, as_json=as_json)


def _use_of_keys() -> tuple[KeyUse, TokenVault]:
    with errors_for_people():
        settings = Settings.from_env()
        vault = TokenVault(settings.token_keys)
        with store_database(settings) as conn:
            return check_keys(conn, vault), vault


def _report(use: KeyUse, vault: TokenVault, *, renewed: int, as_json: bool) -> None:
    left = use.on_old_keys + len(use.unreadable)
    if as_json:
        print_json({**_as_json(use, vault), "renewed": renewed, "left": left})
    else:
        typer.echo(
            f"{use.rows - left} of {use.rows} stores are under key {vault.fingerprints[0]}"
            + (f", {renewed} of them newly" if renewed else "")
        )
    if left:
        raise typer.Exit(EXIT_FAILED)


def _lines(use: KeyUse, vault: TokenVault) -> list[tuple[str, str, int]]:
    lines = [
        (name, f"{place + 1}, {'encrypts' if place == 0 else 'decrypts only'}", use.by_place[place])
        for place, name in enumerate(vault.fingerprints)
    ]
    if use.unreadable:
        lines.append(("unknown", "none", len(use.unreadable)))
    return lines


def _as_json(use: KeyUse, vault: TokenVault) -> dict[str, Any]:
    return {
        "keys": [
            {"fingerprint": name, "place": place + 1, "stores": use.by_place[place]}
            for place, name in enumerate(vault.fingerprints)
        ],
        "unreadable": list(use.unreadable),
    }
