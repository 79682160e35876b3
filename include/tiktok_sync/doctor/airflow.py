"""The doctor's checks of Airflow, over its REST API: no import of Airflow, from any host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from include.tiktok_sync.doctor.airflow_client import AirflowClient
from include.tiktok_sync.doctor.finding import Finding
from include.tiktok_sync.jobs import OTHER_DAGS, has_insights, nightly_jobs

POOLS = {"tiktok_users": ("SYNC_CONCURRENCY", 30), "tiktok_videos": ("VIDEO_SYNC_CONCURRENCY", 20)}
"""Pool -> the variable that sets its slots, and the default."""

INSIGHTS_POOLS = {"tiktok_business": ("BUSINESS_SYNC_CONCURRENCY", 10)}
"""Those of the Accounts API, where it is used."""

CONNECTIONS = ("store_db", "tiktok_default")
ALERTS_CONNECTION = "tiktok_alerts"
INSIGHTS_CONNECTION = "tiktok_business"

PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")

LOAD_SETTINGS = "python plugins/load_airflow_settings.py"

_HEADROOM = 4  # list, checks and summary, as well as the stores


def check_capacity(env: Mapping[str, str]) -> Iterator[Finding]:
    """Can the pools fill, as far as the environment says?"""
    text = env.get("AIRFLOW__CORE__PARALLELISM", "")
    if not text.isdecimal():
        return
    slots = sum(_slots(env, pool) for pool in _pools_of(env))
    if int(text) >= slots + _HEADROOM:
        yield Finding("parallelism", "ok", f"{text}, for {slots} stores at once")
        return
    yield Finding(
        "parallelism",
        "warn",
        f"AIRFLOW__CORE__PARALLELISM is {text}, the pools have {slots} slots: they never fill",
        f"Set it (AIRFLOW_PARALLELISM of the compose file) to {slots + _HEADROOM} or more.",
    )


def check(env: Mapping[str, str]) -> list[Finding]:
    """Ask Airflow itself: parts, pools, connections, Dags."""
    url, password = env.get("AIRFLOW_API_URL", ""), env.get("AIRFLOW_ADMIN_PASSWORD", "")
    if not url:
        return [
            Finding("Airflow", "skip", "AIRFLOW_API_URL is not set"),
            alerts_finding(env, loaded=None),
        ]
    with AirflowClient(url, password) as api:
        try:
            found = list(_parts(api))
            return [
                *found,
                *_pools(api, env),
                *_connections(api, env),
                *_alerts(api, env),
                *_dags(api, env),
            ]
        except requests.HTTPError as error:
            text = f"{error.response.url} answered with HTTP {error.response.status_code}"
            todo = "Check AIRFLOW_ADMIN_PASSWORD; the api-server's log says more."
            return [Finding("Airflow", "fail", text, todo)]
        except (requests.RequestException, ValueError) as error:
            text = f"{url} does not answer ({type(error).__name__})"
            todo = "Start the api-server, or correct AIRFLOW_API_URL; see its log."
            return [Finding("Airflow", "fail", text, todo)]


def _get(api: AirflowClient, path: str) -> Any:
    """The answer's JSON; ``None`` if there is no such thing."""
    try:
        return api.ask("GET", f"/api/v2{path}")
    except requests.HTTPError as error:
        if error.response.status_code == requests.codes.not_found:
            return None
        raise


def _parts(api: AirflowClient) -> Iterator[Finding]:
    health = api.ask("GET", "/api/v2/monitor/health", log_in=False)
    for part in PARTS:
        state = (health.get(part) or {}).get("status") or "not there"
        if state == "healthy":
            yield Finding(f"Airflow's {part}", "ok", "healthy")
        else:
            name = part.replace("_", "-")
            text = f"{state}: no heartbeat in time"
            yield Finding(f"Airflow's {part}", "fail", text, f"Start {name}; its log says why.")


def _pools(api: AirflowClient, env: Mapping[str, str]) -> Iterator[Finding]:
    for name, (variable, _) in _pools_of(env).items():
        pool, wanted = _get(api, f"/pools/{name}"), _slots(env, name)
        if pool is None:
            text = "does not exist: its tasks stay scheduled forever"
            yield Finding(f"pool {name}", "fail", text, LOAD_SETTINGS)
        elif pool["slots"] != wanted:
            text = f"has {pool['slots']} slots, {variable} says {wanted}"
            todo = f"{LOAD_SETTINGS}, or set {variable} to what was meant"
            yield Finding(f"pool {name}", "warn", text, todo)
        else:
            yield Finding(f"pool {name}", "ok", f"{wanted} slots")


def _connections(api: AirflowClient, env: Mapping[str, str]) -> Iterator[Finding]:
    for name in (*CONNECTIONS, *([INSIGHTS_CONNECTION] if has_insights(env) else [])):
        connection = _get(api, f"/connections/{name}")
        if connection is None:
            text = "does not exist (variables AIRFLOW_CONN_… of workers are not seen from here)"
            yield Finding(f"connection {name}", "fail", text, LOAD_SETTINGS)
        else:
            yield Finding(f"connection {name}", "ok", f"to {connection['host']}")


def _alerts(api: AirflowClient, env: Mapping[str, str]) -> Iterator[Finding]:
    connection = _get(api, f"/connections/{ALERTS_CONNECTION}") or {}
    extra = str(connection.get("extra") or "")
    try:
        loaded = bool(json.loads(extra or "{}").get("config"))
    except (ValueError, AttributeError):  # what a person typed; alerting says what is wrong with it
        loaded = bool(extra)
    yield alerts_finding(env, loaded=loaded)


def alerts_finding(env: Mapping[str, str], *, loaded: bool | None) -> Finding:
    """Does anybody get a message when a night fails?

    Args:
        env: Variables, as the sync reads them.
        loaded: Whether Airflow's connection has a channel; ``None`` = Airflow was not asked.
    """
    if env.get(f"AIRFLOW_CONN_{ALERTS_CONNECTION.upper()}"):  # wins over what is stored
        return Finding("alerts", "ok", f"AIRFLOW_CONN_{ALERTS_CONNECTION.upper()} is set")
    if loaded:
        return Finding("alerts", "ok", f"the connection {ALERTS_CONNECTION} has a channel")
    if env.get("ALERTS_URL") and loaded is None:
        return Finding("alerts", "ok", "ALERTS_URL is set")
    if env.get("ALERTS_URL"):
        text = f"ALERTS_URL is set, but the connection {ALERTS_CONNECTION} has no channel"
        return Finding("alerts", "warn", f"{text}: nobody gets a message", LOAD_SETTINGS)
    return Finding(
        "alerts",
        "warn",
        "nobody gets a message when a night fails or is late: ALERTS_URL is not set"
        + ("" if loaded is None else f", and the connection {ALERTS_CONNECTION} has no channel"),
        f"Set ALERTS_URL (docs/alerts.md), then {LOAD_SETTINGS}",
    )


def _dags(api: AirflowClient, env: Mapping[str, str]) -> Iterator[Finding]:
    errors = _get(api, "/importErrors")["import_errors"]
    if errors:
        files = ", ".join(sorted(error["filename"] or "?" for error in errors))
        todo = "airflow dags list-import-errors shows the lines; deploy code that imports."
        yield Finding("Dags", "fail", f"cannot be imported: {files}", todo)
        return
    # Those that the night does not need may stay paused.
    names = (*OTHER_DAGS, *nightly_jobs(env))
    dags = {name: _get(api, f"/dags/{name}") for name in names}
    yield dags_finding({name: dag and dag["is_paused"] for name, dag in dags.items()})


def dags_finding(is_paused: Mapping[str, bool | None]) -> Finding:
    """Are all Dags there, and those of the night switched on? ``None`` = Airflow knows none."""
    missing = [name for name, paused in is_paused.items() if paused is None]
    if missing:
        todo = "See the dag-processor's log, and whether its Dags folder is the right one."
        return Finding("Dags", "fail", f"not parsed: {', '.join(missing)}", todo)
    paused = [name for name, paused in is_paused.items() if paused]
    asleep = [name for name in paused if name not in OTHER_DAGS]
    if asleep:
        todo = "airflow dags unpause NAME, or the switch in the UI, when the nights should begin."
        return Finding("Dags", "warn", f"paused: {', '.join(asleep)}", todo)
    rest = f"; paused, and not of the night: {', '.join(paused)}" if paused else ", none paused"
    return Finding("Dags", "ok", f"{len(is_paused)} parsed{rest}")


def _pools_of(env: Mapping[str, str]) -> Mapping[str, tuple[str, int]]:
    return {**POOLS, **INSIGHTS_POOLS} if has_insights(env) else POOLS


def _slots(env: Mapping[str, str], pool: str) -> int:
    variable, default = {**POOLS, **INSIGHTS_POOLS}[pool]
    text = env.get(variable, "")
    return int(text) if text.isdecimal() else default
