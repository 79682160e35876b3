"""What does docker-compose.yaml say, once its variables are filled in? Read as Compose reads it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yaml"
ENV_EXAMPLE = ROOT / ".env.example"

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<how>:-|:\?)(?P<word>[^}]*))?\})"
)


class VariableMissingError(Exception):
    """A variable that must be set is empty; the message is Compose's."""


@dataclass(frozen=True)
class Service:
    """One service, ready to be run.

    Attributes:
        name: Its name, which is its host name too.
        command: Entrypoint and command, in one; what the image's own entrypoint would add is not
            there.
        environment: Its variables.
        health: The health check's shell command; empty = none.
        spec: Everything, as it stands in the file.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    health: str
    spec: Mapping[str, Any] = field(repr=False)


def interpolated(value: Any, env: Mapping[str, str]) -> Any:
    """A value of the file with its variables filled in.

    Raises:
        VariableMissingError: One that must be set (``:?``) is empty.
    """
    if isinstance(value, Mapping):
        return {name: interpolated(inner, env) for name, inner in value.items()}
    if isinstance(value, list):
        return [interpolated(inner, env) for inner in value]
    return _VARIABLE.sub(lambda found: _filled(found, env), value) if _is_text(value) else value


def read_services(env: Mapping[str, str]) -> dict[str, Service]:
    """Every service by name.

    Args:
        env: As ``.env`` has it.

    Raises:
        VariableMissingError: See ``interpolated``.
    """
    content = interpolated(read_file(), env)
    return {name: _service(name, spec) for name, spec in content["services"].items()}


def read_file() -> dict[str, Any]:
    """The file as it stands."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return content


def variables_of_file() -> dict[str, bool]:
    """Every variable of the file, and whether it must be set."""
    found: dict[str, bool] = {}
    for match in _VARIABLE.finditer(_without_comments()):
        if match["name"]:
            found[match["name"]] = found.get(match["name"], False) or match["how"] == ":?"
    return found


def read_env(text: str) -> dict[str, str]:
    """Variables of a ``.env`` of plain lines."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def new_env(file: Path) -> dict[str, str]:
    """A fresh ``.env``, as deploy/new-env.sh makes it."""
    subprocess.run(["/bin/sh", "deploy/new-env.sh", str(file)], cwd=ROOT, check=True)  # noqa: S603 - the product's own script
    return read_env(file.read_text(encoding="utf-8"))


def _without_comments() -> str:
    lines = COMPOSE_FILE.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _filled(found: re.Match[str], env: Mapping[str, str]) -> str:
    if found["escaped"]:
        return "$"
    value = env.get(found["name"], "")
    if value:
        return value
    if found["how"] == ":?":
        message = f"required variable {found['name']} is missing a value: {found['word']}"
        raise VariableMissingError(message)
    return found["word"] or ""


def _service(name: str, spec: Mapping[str, Any]) -> Service:
    words = [*spec.get("entrypoint", []), *spec.get("command", [])]
    kind, *test = spec.get("healthcheck", {}).get("test", ["NONE"])
    assert kind in {"NONE", "CMD-SHELL"}, f"{name}: a health check is CMD-SHELL here"
    return Service(
        name=name,
        command=tuple(map(str, words)),
        environment={key: str(value) for key, value in spec.get("environment", {}).items()},
        health=test[0] if test else "",
        spec=spec,
    )
