"""`make audit`: what it makes of pip-audit's report, and that the files it reads can be audited."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from tools.dependency_audit import (
    ACCEPTED,
    CLEAN,
    CONSTRAINTS,
    FOUND,
    ROOT,
    Acceptance,
    AuditError,
    Vulnerability,
    accepted,
    judge,
    pinned,
    read_report,
)

TODAY = date(2026, 11, 25)
PACKAGES = {"urllib3": "2.8.0", "typing-extensions": "4.16.0"}
LEAK = Vulnerability(
    "urllib3", "2.8.0", ("GHSA-aaaa-bbbb-cccc", "CVE-2026-99999"), ("2.9.0",), "Redirects leak."
)


def report(*dependencies: dict[str, Any]) -> str:
    """As pip-audit 2.10.1 prints it."""
    return json.dumps({"dependencies": dependencies, "fixes": []})


def entry(**changes: object) -> str:
    """A file with one accepted finding; ``None`` leaves a field out."""
    fields = {
        "id": "CVE-2026-99999",
        "package": "urllib3",
        "reason": "only its server",
        "reviewed": "2026-11-01",
        **changes,
    }
    return "- " + "\n  ".join(f"{k}: {v}" for k, v in fields.items() if v is not None) + "\n"


def test_every_line_of_the_constraints_can_be_audited() -> None:
    packages = pinned(CONSTRAINTS.read_text(encoding="utf-8"))

    assert {"apache-airflow-core", "cryptography", "psycopg"} <= packages.keys()
    # What `make audit` installs is pinned just so.
    tools = pinned((ROOT / "requirements-audit.txt").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"AUDIT_TOOLS := pip-audit=={tools['pip-audit']} PyYAML=={tools['pyyaml']}" in makefile


def test_what_is_accepted_is_pinned_and_says_why() -> None:
    packages = pinned(CONSTRAINTS.read_text(encoding="utf-8"))

    accepted(ACCEPTED.read_text(encoding="utf-8"), packages)


@pytest.mark.parametrize("line", ["requests>=2", "requests", "requests==2.*", "-e .", "a @ b"])
def test_a_line_that_is_not_pinned_is_named(line: str) -> None:
    with pytest.raises(AuditError, match="is not pinned by =="):
        pinned(f"urllib3==2.8.0\n    # via requests\n{line}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (entry(reason=None), "must have id, package, reason and reviewed"),
        (entry(reason=""), "needs a reason"),
        (entry(reviewed="last week"), "reviewed as a date"),
        (entry(package="requests"), "requests is not pinned any more"),
        (entry() + entry(package="URLLIB3"), "is there twice"),
        ("- CVE-2026-99999\n", "must have id, package"),
    ],
)
def test_an_acceptance_without_its_parts_is_refused(text: str, said: str) -> None:
    with pytest.raises(AuditError, match=said):
        accepted(text, PACKAGES)


def test_a_service_that_answers_nothing_is_no_clean_audit() -> None:
    """As seen: pip-audit itself says "No known vulnerabilities found" then, and ends with 0."""
    skipped = [
        {"name": name, "skip_reason": f"Dependency not found on PyPI: {name}"} for name in PACKAGES
    ]

    with pytest.raises(AuditError, match=r"2 of 2 packages got no answer.*not found on PyPI"):
        read_report(report(*skipped), PACKAGES)
    one = {"name": "urllib3", "version": "2.8.0", "vulns": []}
    with pytest.raises(AuditError, match="1 of 2 packages got no answer, typing-extensions"):
        read_report(report(one, skipped[1]), PACKAGES)
    with pytest.raises(AuditError, match="1 of 2 packages got no answer"):
        read_report(report(one), PACKAGES)
    with pytest.raises(AuditError, match="no report"):
        read_report("Traceback", PACKAGES)


def test_a_finding_is_read_and_fails() -> None:
    found = read_report(
        report(
            {
                "name": "urllib3",
                "version": "2.8.0",
                "vulns": [
                    {
                        "id": LEAK.names[0],
                        "aliases": [LEAK.names[1]],
                        "fix_versions": ["2.9.0"],
                        "description": "Redirects leak.\nAnd more.",
                    }
                ],
            },
            {"name": "typing_extensions", "version": "4.16.0", "vulns": []},
        ),
        PACKAGES,
    )

    assert found == [LEAK]
    status, lines = judge(found, [], TODAY)
    assert status == FOUND
    assert lines[0].startswith("FOUND     urllib3 2.8.0: GHSA-aaaa-bbbb-cccc = CVE-2026-99999")


def test_what_is_accepted_does_not_fail_and_is_asked_about_again() -> None:
    (young,) = accepted(entry(), PACKAGES)
    (old,) = accepted(entry(reviewed="2026-07-01"), PACKAGES)
    other = Acceptance("CVE-2026-99999", "typing-extensions", "another package", TODAY)

    assert judge([LEAK], [young], TODAY)[0] == CLEAN
    assert [line[:8] for line in judge([LEAK], [young], TODAY)[1]] == ["accepted"]
    status, lines = judge([LEAK], [old], TODAY)
    assert status == CLEAN
    assert "was last reviewed 2026-07-01" in lines[-1]
    status, lines = judge([LEAK], [other], TODAY)
    assert status == FOUND
    assert "is not found any more" in lines[-1]
    assert judge([], [], TODAY) == (CLEAN, [])
