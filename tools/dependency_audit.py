"""Is a pinned package known to be vulnerable? ``make audit`` asks pip-audit about constraints.txt.

Runs in the environment of ``requirements-audit.txt``, which is apart from what it audits. pip-audit
by itself ends with 0 and "No known vulnerabilities found" where the service answered nothing (each
package is then "skipped"); here that is exit status 2.

Exit status: 0 nothing is known, or only what ``audit-accepted.yaml`` accepts; 1 something is;
2 nothing was audited, so there is no result.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
ACCEPTED = ROOT / "audit-accepted.yaml"

REVIEW_AFTER = timedelta(days=90)
"""An accepted finding that nobody has looked at for so long is named, without failing anything."""

CLEAN, FOUND, NOT_AUDITED = 0, 1, 2


class AuditError(Exception):
    """Nothing was audited; the message says why and what to do."""


@dataclass(frozen=True)
class Acceptance:
    """A finding that somebody has looked at and lives with."""

    vulnerability: str
    package: str
    reason: str
    reviewed: date


@dataclass(frozen=True)
class Vulnerability:
    """What is known about a pinned version. ``names``: its id and aliases."""

    package: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]
    about: str


def pinned(text: str) -> dict[str, str]:
    """Versions by package, of a constraints file.

    Raises:
        AuditError: A line is not pinned by ``==``, so it could not be audited.
    """
    found = {}
    for line in text.splitlines():
        requirement = line.partition("#")[0].strip()
        if not requirement:
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;,*]+)", requirement)
        if match is None:
            message = (
                f"{CONSTRAINTS.name}: {requirement!r} is not pinned by ==. Run make constraints."
            )
            raise AuditError(message)
        found[_plain(match[1])] = match[2]
    return found


def accepted(text: str, packages: Mapping[str, str]) -> list[Acceptance]:
    """The accepted findings, checked.

    Args:
        text: Of ``audit-accepted.yaml``.
        packages: Versions of what is pinned.

    Raises:
        AuditError: An entry lacks something, is there twice, or is about a package that is not
            pinned (any more).
    """
    found: dict[tuple[str, str], Acceptance] = {}
    for entry in yaml.safe_load(text) or []:
        if not isinstance(entry, dict) or set(entry) != {"id", "package", "reason", "reviewed"}:
            message = f"{ACCEPTED.name}: {entry!r} must have id, package, reason and reviewed."
            raise AuditError(message)
        package, reviewed = _plain(str(entry["package"])), entry["reviewed"]
        item = Acceptance(str(entry["id"]), package, str(entry["reason"] or ""), reviewed)
        if type(reviewed) is not date or not item.reason.strip():
            message = (
                f"{ACCEPTED.name}: {item.vulnerability} needs a reason, and reviewed as a date."
            )
            raise AuditError(message)
        if package not in packages:
            message = f"{ACCEPTED.name}: {package} is not pinned any more; remove {entry['id']}."
            raise AuditError(message)
        if (package, item.vulnerability) in found:
            message = f"{ACCEPTED.name}: {item.vulnerability} of {package} is there twice."
            raise AuditError(message)
        found[package, item.vulnerability] = item
    return list(found.values())


def read_report(text: str, packages: Mapping[str, str]) -> list[Vulnerability]:
    """What pip-audit found (``--format json``).

    Args:
        text: Its standard output.
        packages: Versions of what had to be audited.

    Raises:
        AuditError: It is no report, or a package is missing or was skipped.
    """
    try:
        dependencies = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        message = "what pip-audit printed is no report."
        raise AuditError(message) from None
    audited = {_plain(item["name"]): item for item in dependencies if "vulns" in item}
    missing = sorted(packages.keys() - audited.keys())
    if missing:
        skipped = [item["skip_reason"] for item in dependencies if "skip_reason" in item]
        why = f" pip-audit says: {skipped[0]}." if skipped else ""
        message = (
            f"{len(missing)} of {len(packages)} packages got no answer, {missing[0]} is the first."
            f"{why} {_NETWORK}"
        )
        raise AuditError(message)
    return [
        Vulnerability(
            package,
            item["version"],
            (found["id"], *found.get("aliases", ())),
            tuple(found["fix_versions"]),
            (found.get("description") or "").strip().partition("\n")[0],
        )
        for package, item in audited.items()
        for found in item["vulns"]
    ]


def judge(
    found: Sequence[Vulnerability], acceptances: Sequence[Acceptance], today: date
) -> tuple[int, list[str]]:
    """The exit status, and what a person should read."""
    lines, status, used = [], CLEAN, set()
    for vulnerability in found:
        by = [
            item
            for item in acceptances
            if item.package == vulnerability.package and item.vulnerability in vulnerability.names
        ]
        used.update(by)
        name = f"{vulnerability.package} {vulnerability.version}: {' = '.join(vulnerability.names)}"
        if by:
            lines.append(f"accepted  {name} ({by[0].reason}, reviewed {by[0].reviewed})")
            continue
        status = FOUND
        fix = ", ".join(vulnerability.fixed_in) or "no version yet"
        lines += [f"FOUND     {name}, fixed in: {fix}", f"          {vulnerability.about}".rstrip()]
    for item in acceptances:
        name = f"WARN      {item.vulnerability} of {item.package}"
        if item not in used:
            lines.append(f"{name} is not found any more: remove it from {ACCEPTED.name}")
        elif today - item.reviewed > REVIEW_AFTER:
            lines.append(f"{name} was last reviewed {item.reviewed}: is it still right to accept?")
    return status, lines


def audit(arguments: Sequence[str]) -> int:
    """Audit, tell, and give the exit status.

    Args:
        arguments: More arguments of pip-audit, such as ``-s osv``.
    """
    try:
        packages = pinned(CONSTRAINTS.read_text(encoding="utf-8"))
        acceptances = accepted(ACCEPTED.read_text(encoding="utf-8"), packages)
        found = read_report(_run_pip_audit(arguments), packages)
    except AuditError as error:
        sys.stderr.write(f"NOT AUDITED: {error}\n")
        return NOT_AUDITED
    status, lines = judge(found, acceptances, datetime.now(timezone.utc).date())
    lines.append(f"{len(packages)} packages of {CONSTRAINTS.name} audited: {_SUMMARY[status]}")
    sys.stdout.write("\n".join(lines) + "\n")
    return status


_SUMMARY = {
    CLEAN: "nothing known that is not accepted.",
    FOUND: (
        "raise what was FOUND in requirements.txt or requirements-dev.txt and run make constraints;"
        f" or accept it, with a reason, in {ACCEPTED.name}."
    ),
}


def _run_pip_audit(arguments: Sequence[str]) -> str:
    """Its report. Nothing is resolved or installed: the file holds exact versions of everything."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"),
        *("--no-deps", "--disable-pip", "--requirement", str(CONSTRAINTS), *arguments),
    ]
    done = subprocess.run(  # noqa: S603 - fixed but for what the caller of make gives
        command, capture_output=True, text=True, check=False
    )
    if not done.stdout.strip():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        message = f"pip-audit ended with {done.returncode}: {last[:500]}. {_NETWORK}"
        raise AuditError(message)
    return done.stdout


_NETWORK = (
    "Is the vulnerability service in reach? By default that is the JSON API of PyPI, which a mirror"
    ' of packages does not have; make audit ARGS="-s osv" asks api.osv.dev instead.'
)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(audit(sys.argv[1:]))
