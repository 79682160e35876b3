"""What does ``airflow_settings.yaml`` say? Pools, connections and variables, checked.

Environment variables of the same meaning win over the file, and secrets only ever come from them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

SETTINGS_FILE = Path(__file__).resolve().parents[1] / "airflow_settings.yaml"

POOL_VARIABLES = {
    "tiktok_users": "SYNC_CONCURRENCY",
    "tiktok_videos": "VIDEO_SYNC_CONCURRENCY",
    "tiktok_business": "BUSINESS_SYNC_CONCURRENCY",
}

FIELDS: Mapping[str, frozenset[str]] = {
    "pools": frozenset({"pool_name", "pool_slot", "pool_description"}),
    "connections": frozenset(
        {
            "conn_id",
            "conn_type",
            "conn_host",
            "conn_schema",
            "conn_login",
            "conn_password",
            "conn_port",
            "conn_uri",
            "conn_extra",
        }
    ),
    "variables": frozenset({"variable_name", "variable_value"}),
}
"""Fields of each section as the Astro CLI reads them."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "pools": ("pool_name", "pool_slot"),
    "connections": ("conn_id",),
    "variables": ("variable_name", "variable_value"),
}
"""Fields without which an entry says nothing."""


class SettingsFileError(Exception):
    """The file cannot be used; the message says why."""


def read_settings(
    path: Path, env: Mapping[str, str] = os.environ
) -> dict[str, list[dict[str, Any]]]:
    """Sections ``pools``, ``connections``, ``variables``, with the environment's values put in.

    Raises:
        SettingsFileError: Not YAML, an unknown section or field, a field that is missing, a
            value that cannot be.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        message = f"{path} cannot be read: {error}"
        raise SettingsFileError(message) from error
    sections = content.get("airflow") or {} if isinstance(content, dict) else None
    if not isinstance(sections, dict):
        message = f"{path}: everything must stand in sections below `airflow:`."
        raise SettingsFileError(message)
    unknown = sorted(set(sections) - set(FIELDS))
    if unknown:
        message = f"{path}: unknown section {', '.join(unknown)}; known are {', '.join(FIELDS)}."
        raise SettingsFileError(message)
    settings = {name: list(sections.get(name) or []) for name in FIELDS}
    for name, entries in settings.items():
        for entry in entries:
            _check(entry, name, path)
    if not env.get("TIKTOK_BUSINESS_APP_ID"):
        _leave_out_business(settings)
    _override_pools(settings["pools"], env)
    _override_connections(settings["connections"], env)
    _override_variables(settings["variables"], env)
    return settings


def connection_variables(settings: Mapping[str, list[dict[str, Any]]]) -> dict[str, str]:
    """The connections as ``AIRFLOW_CONN_…`` variables: a task that finds one there asks nobody.

    One that says nothing but its type is left out: it may have been filled in in the UI.
    """
    filled = {
        entry["conn_id"]: {
            name if name == "conn_type" else name.removeprefix("conn_"): value
            for name, value in entry.items()
            if name != "conn_id" and value not in (None, "", {})
        }
        for entry in settings["connections"]
    }
    return {
        f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(values)
        for conn_id, values in filled.items()
        if set(values) - {"conn_type"}
    }


def _check(entry: Any, section: str, path: Path) -> None:
    if not isinstance(entry, dict):
        message = f"{path}: an entry of {section} is not a list of fields: {entry!r}."
        raise SettingsFileError(message)
    strange = sorted(set(entry) - FIELDS[section])
    if strange:
        message = f"{path}: unknown field {', '.join(strange)} in {section}."
        raise SettingsFileError(message)
    missing = [field for field in REQUIRED[section] if entry.get(field) in (None, "")]
    if missing:
        message = f"{path}: an entry of {section} has no {', '.join(missing)}."
        raise SettingsFileError(message)
    if isinstance(entry.get("conn_extra"), str):  # Astro takes JSON text as well as a mapping
        try:
            entry["conn_extra"] = json.loads(entry["conn_extra"] or "{}")
        except ValueError as error:
            message = f"{path}: conn_extra of {entry['conn_id']} is not JSON."
            raise SettingsFileError(message) from error


def _leave_out_business(settings: dict[str, list[dict[str, Any]]]) -> None:
    """Where the Accounts API is not used, nothing of it is loaded."""
    for section, key in (("pools", "pool_name"), ("connections", "conn_id")):
        settings[section] = [one for one in settings[section] if one[key] != "tiktok_business"]


def _override_pools(pools: list[dict[str, Any]], env: Mapping[str, str]) -> None:
    for pool in pools:
        variable = POOL_VARIABLES.get(pool["pool_name"], "")
        slots = env.get(variable) or pool["pool_slot"]
        if not str(slots).isdecimal() or int(slots) < 1:
            message = (
                f"The pool {pool['pool_name']} needs a whole number of slots from 1 on, not"
                f" {slots!r} ({variable or 'pool_slot'})."
            )
            raise SettingsFileError(message)
        pool["pool_slot"] = int(slots)


def _override_connections(connections: list[dict[str, Any]], env: Mapping[str, str]) -> None:
    for connection in connections:
        if connection["conn_id"] == "tiktok_default":
            values: dict[str, Any] = {
                "conn_host": env.get("TIKTOK_API_URL"),
                "conn_login": env.get("TIKTOK_CLIENT_KEY"),
                "conn_password": env.get("TIKTOK_CLIENT_SECRET"),
            }
        elif connection["conn_id"] == "tiktok_business":
            values = {
                "conn_host": env.get("TIKTOK_BUSINESS_URL"),
                "conn_login": env.get("TIKTOK_BUSINESS_APP_ID"),
                "conn_password": env.get("TIKTOK_BUSINESS_SECRET"),
            }
        elif connection["conn_id"] == "store_db" and env.get("STORE_DB_URL"):
            parts = _parts_of_url(env["STORE_DB_URL"])
            values = {
                "conn_host": parts.pop("host", None),
                "conn_port": parts.pop("port"),
                "conn_schema": parts.pop("dbname", None),
                "conn_login": parts.pop("user", None),
                "conn_password": parts.pop("password", None),
                "conn_extra": {
                    **(connection.get("conn_extra") or {}),
                    **parts,
                    **_extra_for_pooler(env),
                },
            }
        elif connection["conn_id"] == "tiktok_alerts" and env.get("ALERTS_URL"):
            values = {"conn_extra": {"config": _channels("ALERTS_URL", env["ALERTS_URL"])}}
        elif connection["conn_id"] == "tiktok_reports" and env.get("REPORT_URL"):
            values = {"conn_extra": {"config": _channels("REPORT_URL", env["REPORT_URL"])}}
        else:
            continue
        connection.update({name: value for name, value in values.items() if value})


def _channels(variable: str, text: str) -> list[dict[str, str]]:
    # A comma may be a part of a URL (several recipients); before another scheme it is not.
    urls = [url.strip() for url in re.split(r",\s*(?=[a-zA-Z][a-zA-Z0-9+.-]*://)", text)]
    if not all("://" in url for url in urls):
        message = (  # without the value, which holds secrets
            f"{variable} must be Apprise URLs, separated by commas (mailto://…, slack://…,"
            " msteams://…, jsons://…; github.com/caronc/apprise lists them)."
        )
        raise SettingsFileError(message)
    return [{"path": url} for url in urls]


def _extra_for_pooler(env: Mapping[str, str]) -> dict[str, Any]:
    """What the hook must know of a pooler; see ``StoreDbHook.session``."""
    pooler = env.get("STORE_DB_POOLER") or "none"
    if pooler not in {"none", "transaction"}:
        message = (
            f"STORE_DB_POOLER must be transaction (STORE_DB_URL leads to PgBouncer in transaction"
            f" mode) or none, not {pooler!r}."
        )
        raise SettingsFileError(message)
    return {"prepare_threshold": None} if pooler == "transaction" else {}


def _parts_of_url(url: str) -> dict[str, Any]:
    try:
        parts: dict[str, Any] = conninfo_to_dict(url)
        parts["port"] = int(parts.get("port") or 5432)
    except (ProgrammingError, ValueError):
        # libpq's text can hold a part of the password.
        message = "STORE_DB_URL is not a libpq URL (postgresql://user:password@host:port/database)."
        raise SettingsFileError(message) from None
    return parts


def _override_variables(variables: list[dict[str, Any]], env: Mapping[str, str]) -> None:
    for variable in variables:
        if variable["variable_name"] != "tiktok_min_success_rate":
            continue
        value = env.get("MIN_SUCCESS_RATE") or str(variable["variable_value"])
        try:
            in_range = 0 <= float(value) <= 1
        except ValueError:
            in_range = False
        if not in_range:  # reported now, not in the summary of the first night
            message = f"MIN_SUCCESS_RATE (tiktok_min_success_rate) must be 0 to 1, not {value!r}."
            raise SettingsFileError(message)
        variable["variable_value"] = value
