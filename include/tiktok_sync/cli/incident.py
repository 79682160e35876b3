"""The command for the day when somebody may have got in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.cli.common import (
    EXIT_CODES,
    EXIT_FAILED,
    AsOption,
    JsonOption,
    actor_of,
    errors_for_people,
    print_json,
    store_database,
)
from include.tiktok_sync.days import utc_now
from include.tiktok_sync.doctor.airflow_dags import DagsPaused, pause_dags
from include.tiktok_sync.errors import ConfigurationError, SyncError
from include.tiktok_sync.settings import Settings
from include.tiktok_sync.store_db.database import Connection
from include.tiktok_sync.stores.at_once.reach import Reach, reach
from include.tiktok_sync.stores.at_once.revoking import (
    NEXT_STEP,
    Revocation,
    living_grants,
    revoke_all,
    unanswered_consents,
)
from include.tiktok_sync.stores.lifecycle import GRANT_STATES, Lifecycle

_REASON = "Incident"
_PAUSED = "SELECT store_code FROM stores WHERE paused_reason LIKE %s ORDER BY 1"

_TERMS = "https://www.tiktok.com/legal/page/global/tik-tok-developer-terms-of-service/en"
_GDPR = "https://eur-lex.europa.eu/eli/reg/2016/679/oj"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("incident", epilog=EXIT_CODES)(incident)


def incident(
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without it: a dry run, nothing is changed.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="New file for the report (default: incident-TIME.txt here)."
        ),
    ] = None,
    as_json: JsonOption = False,
    as_name: AsOption = None,
) -> None:
    """After a break-in: pause every Dag and store, revoke every grant, list what was reachable.

    Without --yes: a dry run. Airflow (AIRFLOW_API_URL, AIRFLOW_ADMIN_PASSWORD) may be down: the
    stores are then paused in the database alone, so that nothing syncs. What fails is named and the
    rest is done; run it again for it. Stores that were paused before stay as they are.

    The report, on the terminal and in a file, says which stores, columns, roles and backups were
    reachable, whom to notify, and how to come back: docs/security.md, "An incident".

    Exit status: 0 all was done, 1 something failed, 2 wrong usage or configuration.
    """
    with errors_for_people():
        # First, and before the database is asked, which may be down as well.
        dags = pause_dags(os.environ, dry_run=not yes)
        if dags.problem:
            typer.echo(f"warning: {dags.problem}", err=True)
        settings = Settings.from_env()
        with store_database(settings) as conn:
            found = reach(conn, os.environ)  # as it was before anything is changed
            active = [one.store_code for one in found.stores if one.state in GRANT_STATES]
            grants = len(living_grants(conn)) + unanswered_consents(conn)
            if not yes:
                plan = [*_planned(dags, active, grants), *_reachable(found), *_to_tell(found)]
                _show(plan, found, as_json=as_json)
                return
            lifecycle = Lifecycle(conn, actor_of(as_name))
            not_paused = list(_pause(lifecycle, active))
            revoked, problem = _revoke(conn, settings, lifecycle.actor, grants)
            ours = [row[0] for row in conn.execute(_PAUSED, [f"{_REASON} on %"])]
    lines = [
        *_done(dags, active, revoked, [*not_paused, *problem], lifecycle.actor),
        *_reachable(found),
        *_to_tell(found),
        *_way_back(ours),
    ]
    _show(lines, found, as_json=as_json, revoked=revoked, dags=dags)
    written = _write(to or Path(f"incident-{utc_now():%Y%m%d-%H%M%S}.txt"), lines)
    failed = [one for one in revoked if not one.ok]
    if dags.problem or not_paused or problem or failed or not written:
        raise typer.Exit(EXIT_FAILED)


def _pause(lifecycle: Lifecycle, codes: Sequence[str]) -> Iterator[str]:
    """What failed: a store that somebody removed meanwhile does not keep the others in."""
    for code in codes:
        try:
            lifecycle.pause(code, f"{_REASON} on {utc_now():%Y-%m-%d %H:%M} UTC")
        except SyncError as error:
            yield f"{code} NOT PAUSED: {error}"


def _revoke(
    conn: Connection, settings: Settings, actor: str, grants: int
) -> tuple[list[Revocation], list[str]]:
    """Whatever is wrong with the settings: the stores are paused, and the report is needed."""
    if not grants:
        return [], []
    try:
        tiktok = TikTokApp.from_settings(settings)
        return revoke_all(conn, settings, tiktok, actor, "Revoked in an incident"), []
    except ConfigurationError as error:
        return [], [f"{grants} grants are not revoked: {error}"]


def _planned(dags: DagsPaused, active: Sequence[str], grants: int) -> Iterator[str]:
    yield "Dry run: nothing was changed. incident --yes would"
    yield f"  pause {len(dags.paused)} Dags: {', '.join(dags.paused) or 'none'}"
    yield f"  pause {len(active)} stores: {', '.join(active) or 'none'}"
    yield f"  revoke {grants} grants at TikTok"


def _done(
    dags: DagsPaused,
    paused: Sequence[str],
    revoked: Sequence[Revocation],
    problems: Sequence[str],
    actor: str,
) -> Iterator[str]:
    failed = [one for one in revoked if not one.ok]
    yield f"INCIDENT, {utc_now():%Y-%m-%d %H:%M} UTC, by {actor}"
    yield ""
    yield "What was done"
    yield f"  Dags paused: {', '.join(dags.paused) or 'none'}"
    if dags.problem:
        yield f"  {dags.problem}"
    yield f"  Stores paused now: {', '.join(paused) or 'none (they were paused before)'}"
    yield f"  Grants that work no longer: {len(revoked) - len(failed)}; not revoked: {len(failed)}"
    for problem in problems:
        yield f"  {problem}"
    for one in failed:
        yield f"  {one.store_code} NOT REVOKED: {one.message}"
    if failed or problems:
        yield f"  Run incident --yes again for these. {NEXT_STEP}"
    yield "  Tasks that were running end by themselves: their stores' tokens no longer work."


def _reachable(found: Reach) -> Iterator[str]:
    connected = [one for one in found.stores if one.held_since]
    since = min((one.held_since for one in connected if one.held_since), default=None)
    last = max((one.last_sync for one in connected if one.last_sync), default=None)
    yield ""
    yield "What was reachable"
    yield (
        f"  Accounts of {len(connected)} stores, the oldest held since {_day(since)}; last sync"
        f" {_day(last)}. Tokens are ciphertext: readable only with TIKTOK_TOKEN_KEYS."
    )
    for one in connected:
        grant = f"grant for {one.scope or 'no scope'}" if one.has_grant else "no grant"
        if one.business_scope is not None:
            grant += f", grant of the Accounts API for {one.business_scope or 'no scope'}"
        yield (
            f"    {one.store_code} {one.store_name}: {one.state}, {grant}, since"
            f" {_day(one.held_since)}, last sync {_day(one.last_sync)}"
        )
    yield "  Personal columns, by table or view:"
    for table, columns in found.columns.items():
        yield f"    {table}: {', '.join(columns)}"
    yield "  Roles of the database that read them:"
    every = sum(map(len, found.columns.values()))
    for role in found.roles:
        what = "all of them" if len(role.columns) == every else ", ".join(role.columns)
        yield f"    {role.name}{'' if role.logs_in else ' (cannot log in)'}: {what}"
    yield "    tiktok_connect: the account of a link's store, by the connect app's functions"
    yield f"  {found.backups.said()}"


def _to_tell(found: Reach) -> Iterator[str]:
    contact = os.environ.get("PRIVACY_CONTACT") or os.environ.get("CONNECT_CONTACT")
    yield ""
    yield "Whom to notify (decide with counsel, and soon)"
    yield (
        "  The supervisory authority, where the GDPR applies: within 72 hours of knowing, unless no"
        f" risk is likely (article 33); the people concerned if the risk is high (34): {_GDPR}"
    )
    yield (
        "  TikTok: its developer terms ask for prompt disconnection and notice"
        f" ({_TERMS}). Reset the app's client secret in the portal: https://developers.tiktok.com/"
    )
    yield f"  The contact of the privacy notice: {contact or 'none set (PRIVACY_CONTACT)'}"
    yield "  The managers of the stores; after each code, who sent the last link and so knows them:"
    for one in found.stores:
        if one.held_since:
            yield f"    {one.store_code} {one.store_name}: {one.contact or 'not known'}"


def _way_back(codes: Sequence[str]) -> Iterator[str]:
    yield ""
    yield 'How to come back (docs/security.md, "An incident"), once the cause is closed'
    yield "  1. Change every secret that was within reach."
    if codes:
        yield f"  2. stores resume {' '.join(codes)}"
    else:
        yield "  2. stores resume CODE …: no store was paused by this command."
    yield "  3. Send each manager a new link (stores link): a revoked grant does not come back."
    yield "  4. airflow dags unpause NAME, for each Dag."


def _show(
    lines: Sequence[str],
    found: Reach,
    *,
    as_json: bool,
    revoked: Sequence[Revocation] = (),
    dags: DagsPaused | None = None,
) -> None:
    if not as_json:
        typer.echo("\n".join(lines))
        return
    report: Mapping[str, object] = {
        "dags": asdict(dags) if dags else None,
        "grants": [asdict(one) for one in revoked],
        "reachable": asdict(found),
    }
    print_json(report)


def _write(path: Path, lines: Sequence[str]) -> bool:
    """For the owner of the file only: it names people."""
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        typer.echo(
            f"error: the report cannot be written to {path}: {error.strerror}. Everything else is"
            " done; copy it from the terminal, or run the command again with --to FILE.",
            err=True,
        )
        return False
    typer.echo(f"Report: {path}", err=True)
    return True


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
