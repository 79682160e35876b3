"""Commands around connecting stores: ``stores link``, ``db connect-role``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from include.tiktok_sync.cli import db as cli_db
from include.tiktok_sync.cli import stores as cli_stores
from include.tiktok_sync.cli.common import (
    EXIT_CODES,
    AsOption,
    CodeArgument,
    JsonOption,
    actor_of,
    errors_for_people,
    print_json,
    store_database,
)
from include.tiktok_sync.jobs import Api
from include.tiktok_sync.links.connect_links import DEFAULT_DAYS, LinkMaker
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.connect_role import DEFAULT_ROLE, ensure_connect_role, may_log_in


@cli_stores.app.command("link", epilog=EXIT_CODES)
def stores_link(
    store_code: CodeArgument,
    *,
    days: Annotated[int, typer.Option(help="How many days the link works.")] = DEFAULT_DAYS,
    account: Annotated[
        str | None,
        typer.Option(help="The only TikTok username that may be connected, such as @my.store."),
    ] = None,
    business: Annotated[
        bool,
        typer.Option(
            "--business",
            help="Connect it to the Accounts API (history, reach, watch time) instead; a manager"
            " who has just used an ordinary link is offered that anyway.",
        ),
    ] = False,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """Print a link with which the store's manager connects the TikTok account.

    Send it to the manager alone: anyone who has it can connect the store. It works until the store
    is connected or the link expires; the store's older unused links end now. Needs CONNECT_SECRET
    and CONNECT_BASE_URL, with the connect app's values.
    """
    with errors_for_people():
        maker = LinkMaker.from_env(os.environ, actor_of(as_name))
        with store_database(Settings.from_env()) as conn:
            api: Api = "business" if business else "display"
            link = maker.make(conn, store_code, api=api, days=days, expected_account=account)
    ends = link.expires_at.isoformat(timespec="minutes")
    if as_json:
        print_json({"store_code": link.store_code, "url": link.url, "expires_at": ends})
        return
    typer.echo(
        f"For the manager of {link.store_name} ({link.store_code}), until {ends}; older links of"
        " this store no longer work.",
        err=True,
    )
    typer.echo(link.url)


@cli_db.app.command("connect-role", epilog=EXIT_CODES)
def db_connect_role(
    role: Annotated[str, typer.Option(help="Name of the role.")] = DEFAULT_ROLE,
) -> None:
    """Create the connect app's database role, or update its rights; safe to repeat.

    CONNECT_DB_PASSWORD, if set, becomes its password and lets it log in. STORE_DB_URL must log in
    as the owner of the store database, who may also create roles unless the role exists already.
    """
    with errors_for_people(), store_database(Settings.from_env()) as conn:
        password = os.environ.get("CONNECT_DB_PASSWORD") or None
        functions = ensure_connect_role(conn, role=role, password=password)
        shut_out = not may_log_in(conn, role)
    typer.echo(f"The role {role} may call {len(functions)} functions and read no table.")
    if shut_out:
        typer.echo(
            f"warning: {role} cannot log in yet. Set CONNECT_DB_PASSWORD and run this again.",
            err=True,
        )
