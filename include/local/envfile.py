"""Which keys and ports does this clone use? Written to ``.env`` once, never changed after."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.fernet import Fernet
from dotenv import dotenv_values

from include.local.ports import choose_port
from include.local.workspace import Workspace, write_private

HEADER = """\
# Keys and ports of this clone's local stack, made on first use. Never commit this file.
# Delete a line to get a fresh value; variables of the environment win over this file.
"""

_JWT_BYTES = 64  # HS512 wants a key as long as its hash


@dataclass(frozen=True)
class Key:
    """One variable of ``.env``.

    Attributes:
        name: The variable.
        comment: What it is for, for the reader of the file.
        make: Makes a fresh value; None = a free port.
    """

    name: str
    comment: str
    make: Callable[[], str] | None = None


def _fernet() -> str:
    return Fernet.generate_key().decode()


def _password() -> str:
    return secrets.token_urlsafe(24)


KEYS = (
    Key("AIRFLOW_PORT", "Airflow's UI and API"),
    Key("AIRFLOW_EXECUTION_PORT", "Airflow's API for tasks"),
    Key("CONNECT_PORT", "the page on which managers connect their accounts"),
    Key("POSTGRES_PORT", "the embedded Postgres"),
    Key("SANDBOX_PORT", "the local TikTok"),
    Key("SUPERVISOR_PORT", "supervisord's control port"),
    Key("AIRFLOW_ADMIN_PASSWORD", "user admin of Airflow's UI", _password),
    Key("AIRFLOW_FERNET_KEY", "encrypts connections in Airflow's metadata database", _fernet),
    Key(
        "AIRFLOW_JWT_SECRET",
        "signs the tokens between Airflow's parts",
        lambda: secrets.token_urlsafe(_JWT_BYTES),
    ),
    Key(
        "AIRFLOW_API_SECRET_KEY",
        "signs what Airflow's API server hands out",
        lambda: secrets.token_urlsafe(32),
    ),
    Key(
        "TIKTOK_TOKEN_KEYS",
        "encrypts the stores' TikTok tokens: lose it and every store must consent again;"
        " to rotate, put a new Fernet key and a comma in front",
        _fernet,
    ),
    Key("CONNECT_SECRET", "signs the links for store managers: a new one ends them", _password),
    Key("SANDBOX_CLIENT_KEY", "the app's key at the sandbox", lambda: "sb" + secrets.token_hex(8)),
    Key("SANDBOX_CLIENT_SECRET", "the app's secret at the sandbox", _password),
    Key(
        "SANDBOX_BUSINESS_APP_ID",
        "the number of the app of the Accounts API at the sandbox (SANDBOX_BUSINESS=1)",
        lambda: str(10**18 + secrets.randbelow(9 * 10**18)),
    ),
    Key("SANDBOX_BUSINESS_SECRET", "the secret of that app", _password),
    Key("POSTGRES_PASSWORD", "Postgres superuser postgres", _password),
    Key("AIRFLOW_DB_PASSWORD", "Postgres role airflow", _password),
    Key("STORE_DB_PASSWORD", "Postgres role tiktok_sync", _password),
    Key("CONNECT_DB_PASSWORD", "Postgres role tiktok_connect", _password),
    Key("SUPERVISOR_PASSWORD", "supervisord's control port", _password),
)


def load(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of the stack: ``.env`` (completed if need be) under the real one.

    An empty variable of the environment counts as not set, as ``make sync STORES=`` means it.

    Returns:
        Every variable of the file and of the environment.
    """
    with workspace.exclusive("env"):
        in_file = _read(workspace)
        missing = [key for key in KEYS if key.name not in in_file]
        if missing:
            _append(workspace, missing, in_file)
            in_file = _read(workspace)
    return {**in_file, **{name: value for name, value in environ.items() if value}}


def _read(workspace: Workspace) -> dict[str, str]:
    # No interpolation: a $ in a secret is a $.
    values = dotenv_values(workspace.env_file, interpolate=False)
    return {name: value or "" for name, value in values.items()}


def _append(workspace: Workspace, missing: list[Key], in_file: Mapping[str, str]) -> None:
    file = workspace.env_file
    lines = [file.read_text(encoding="utf-8").rstrip("\n") + "\n" if file.exists() else HEADER]
    taken = {int(v) for name, v in in_file.items() if name.endswith("_PORT") and v.isdecimal()}
    for key in missing:
        if key.make:
            value = key.make()
        else:
            port = choose_port(taken)
            taken.add(port)
            value = str(port)
        lines.append(f"# {key.comment}\n{key.name}={value}\n")
    write_private(file, "".join(lines))
