"""How does the local TikTok get its bad nights, and how do they end? ``FAULTS=…`` of ``sync``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from include.local.console import result, say
from include.local.errors import LocalSyncError
from include.local.run.sandbox_admin import ask
from include.local.run.seed import import_stores
from include.local.stack import Stack

_ENDS_GRANT = "grant_revoked"


def switch_faults(stack: Stack, stores: Iterable[str]) -> None:
    """Put the wanted scenario in force, or end the one of an earlier sync.

    Rules that somebody gave the sandbox by hand stay as they are while no scenario is wanted.

    Args:
        stack: Whose sandbox.
        stores: The stores of this sync: trouble that lasts strikes among them.

    Raises:
        SyncError: The sandbox did not answer.
    """
    wanted = stack.settings.faults
    if wanted:
        plan = ask(stack, "POST", f"/faults/{wanted}", json={"stores": list(stores)}).json()
        say(f"  faults       {wanted}, seed {plan['seed']}{_lasting_text(plan)}")
        return
    plan = ask(stack, "GET", "/faults").json()
    if plan["scenario"]:
        again = _connect_again(stack, plan)
        ask(stack, "DELETE", "/faults")
        text = f"; {', '.join(again)} connected again" if again else ""
        say(f"  faults       none: the {plan['scenario']} is over{text}")
    elif plan["rules"]:
        say(f"  faults       rules set by hand: {len(plan['rules'])}")


def report_faults(stack: Stack) -> None:
    """Print how often each fault of the scenario has struck, if there is one.

    Raises:
        SyncError: The sandbox did not answer.
    """
    if not stack.settings.faults:
        return
    rules = ask(stack, "GET", "/faults").json()["rules"]
    struck: dict[str, int] = {}
    for rule in rules:
        struck[rule["fault"]] = struck.get(rule["fault"], 0) + rule["hits"]
    ranked = sorted(struck.items(), key=lambda item: -item[1])
    text = ", ".join(f"{name} {hits}" for name, hits in ranked if hits)
    heading = f"\nWhat TikTok did wrong ({stack.settings.faults}), in answers:"
    result.print(f"{heading}\n  {text or 'nothing'}", markup=False)


def _lasting(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(code, rule["fault"]) for rule in plan["rules"] for code in rule["stores"] or ()]


def _lasting_text(plan: Mapping[str, Any]) -> str:
    found = ", ".join(f"{code} {fault}" for code, fault in sorted(_lasting(plan)))
    return f"; for good: {found}" if found else ""


def _connect_again(stack: Stack, plan: Mapping[str, Any]) -> list[str]:
    """Do what the stores' managers would: give a fresh grant where the storm had ended it."""
    ended = [code for code, fault in _lasting(plan) if fault == _ENDS_GRANT]
    try:
        with psycopg.connect(stack.settings.store_db_url) as connection:
            rows = connection.execute(
                "SELECT store_code FROM store_tokens"
                " WHERE (status = 'needs_consent' OR refresh_refused)"
                " AND store_code = ANY(%s) ORDER BY 1",
                [ended],
            ).fetchall()
    except psycopg.Error as error:
        message = f"The product's database did not answer ({type(error).__name__})."
        raise LocalSyncError(message) from error
    codes = [row[0] for row in rows]
    import_stores(stack, codes)
    return codes
