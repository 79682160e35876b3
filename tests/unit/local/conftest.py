"""A workspace in a temporary folder, and settings that need no stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from include.local.envfile import load
from include.local.settings import LocalSettings
from include.local.workspace import Workspace

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Bench:
    workspace: Workspace

    def settings(self, environ: Mapping[str, str] | None = None) -> LocalSettings:
        return LocalSettings.from_env(load(self.workspace, environ or {}))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    # As odd as a path can be: nothing here may be split, expanded or cut off as a comment.
    state = tmp_path / 'it\'s 100% "odd" #1 ;2'
    workspace = Workspace(root=ROOT, state=state, env_file=state / ".env")
    workspace.create_folders()
    return Bench(workspace)
