"""One version: in pyproject.toml, in the code, in the changelog, on the command line."""

from __future__ import annotations

from pathlib import Path

import tomllib
from typer.testing import CliRunner

from include.tiktok_sync import __version__
from include.tiktok_sync.cli.app import app

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1].split()[0]

    assert (project["version"], newest) == (__version__, __version__)


def test_the_command_prints_it() -> None:
    done = CliRunner().invoke(app, ["--version"])

    assert (done.exit_code, done.stdout) == (0, f"{__version__}\n")
