"""What would a container give its program? Host names, ports, folders, variables of the image."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from airflow.utils.net import get_hostname

from include.local.parts.postgres import binary, system_user
from include.local.ports import HOST, choose_port
from tests.compose.compose_file import ROOT, Service

AS_NOBODY = ("pgbouncer",)
"""Refuses to run as root, as the machine of a test may."""

_NO_LOG_SERVER = ("triggerer", "worker")
"""Airflow's log server listens on every interface: right in a container's network, not here."""


class Containers:
    """The services of the file, as this machine can run them.

    Args:
        services: By name.
        folder: For volumes.
    """

    def __init__(self, services: Mapping[str, Service], folder: Path) -> None:
        self.services = services
        self._folder = folder
        self.ports = self._choose_ports()
        """(service, its own port) -> the loopback port that stands for it."""

    def _choose_ports(self) -> dict[tuple[str, int], int]:
        found: set[tuple[str, int]] = set()
        names = "|".join(map(re.escape, self.services))
        for name, service in self.services.items():
            texts = [*service.command, *service.environment.values(), service.health]
            for text in texts:
                pattern = rf"(?<![\w-])({names}):(\d+)"
                found |= {(other, int(port)) for other, port in re.findall(pattern, text)}
            own = re.findall(r"127\.0\.0\.1[:\", ]+(?:-p )?(\d+)", service.health)
            found |= {(name, int(port)) for port in own}
        chosen: dict[tuple[str, int], int] = {}
        for key in sorted(found):
            chosen[key] = choose_port(set(chosen.values()))
        return chosen

    def localised(self, service: Service, text: str) -> str:
        """A text of the file with loopback ports and local folders in it."""
        for (other, port), local in self.ports.items():
            text = re.sub(rf"(?<![\w-]){re.escape(other)}:{port}\b", f"{HOST}:{local}", text)
        for (other, port), local in self.ports.items():
            if other == service.name:
                text = re.sub(rf"(?<![\w.]){port}\b", str(local), text)
        text = text.replace("0.0.0.0", HOST)  # noqa: S104 - replaced, not bound
        folders = self._folders(service)
        if not folders:
            return text
        paths = "|".join(map(re.escape, sorted(folders, key=len, reverse=True)))
        return re.sub(rf"(?<![\w.-])({paths})(?![\w.-])", lambda path: str(folders[path[0]]), text)

    def localise_files(self, service: Service) -> None:
        """Put loopback ports and local folders into the configuration files it is given."""
        for volume in service.spec.get("volumes", []):
            source = Path(volume.split(":")[0])
            if source.suffix == ".yaml":
                copy = self._folder / "volumes" / source.name
                text = (ROOT / source).read_text(encoding="utf-8")
                copy.write_text(self.localised(service, text), encoding="utf-8")

    def _folders(self, service: Service) -> dict[str, Path]:
        """Folders and files inside the container -> here."""
        found = {}
        for volume in service.spec.get("volumes", []):
            source, inside = volume.split(":")[:2]
            if source.startswith("."):
                copy = self._folder / "volumes" / Path(source).name
                if not copy.exists():
                    shutil.copy(ROOT / source, copy)  # where another user can read it
                found[inside] = copy
            else:
                found[inside] = self._folder / "volumes" / source
        for mount in service.spec.get("tmpfs", []):
            inside = mount.split(":")[0]
            if inside != "/tmp":  # noqa: S108 - every container has it, and so have we
                found[inside] = (
                    self._folder / "volumes" / f"{service.name}{inside.replace('/', '-')}"
                )
        for folder in found.values():
            if not folder.exists():
                folder.mkdir(mode=0o700)
                user = system_user()
                if user and service.name in AS_NOBODY:
                    shutil.chown(folder, user)
        return found

    def argv(self, service: Service, instance: str) -> list[str]:
        """The program and its arguments."""
        words = [self.localised(service, word) for word in service.command]
        if (
            service.spec["image"].startswith("tiktok-store-sync")
            and "entrypoint" not in service.spec
        ):
            words = ["airflow", *words]  # what the image's own entrypoint does with them
        if service.spec["image"].startswith("prom/prometheus:"):
            words = ["prometheus", *words]
        if service.name in _NO_LOG_SERVER:
            words.append("--skip-serve-logs")
        if service.name == "worker":
            # Two containers have two host names; two processes here have one.
            words += ["--celery-hostname", f"celery@{instance}"]
        return words

    def environment(self, service: Service, instance: str) -> dict[str, str]:
        """Its variables: the image's and the file's."""
        own = {name: self.localised(service, text) for name, text in service.environment.items()}
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        here = str(get_hostname())  # type: ignore[no-untyped-call]  # Airflow has no types for it
        return {
            "PATH": f"{Path(sys.executable).parent}:{binary('psql').parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "HOSTNAME": instance if service.name == "worker" else here,
            # As in the image.
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self._folder / "volumes" / "logs"),
            **own,
        }
