"""Do imports point one way, and does the core stay light?"""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import include.tiktok_sync

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(include.tiktok_sync.__path__, "include.tiktok_sync.")
    if not module.name.endswith("__main__")
)


def _loaded_after_importing(*modules: str) -> set[str]:
    """What a fresh interpreter has loaded after these imports."""
    code = f"import json, sys\n{''.join(f'import {name}; ' for name in modules)}\n"
    code += "print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return set(json.loads(done.stdout))


def test_the_core_runs_without_airflow_and_without_the_layers_above() -> None:
    loaded = _loaded_after_importing(*MODULES)
    assert set(MODULES) <= loaded
    forbidden = (
        *("airflow", "tiktok_airflow", "dags", "tests", "tools", "benchmarks"),
        *("include.connect", "include.sandbox", "include.local"),
    )
    above = {name for name in loaded if name.startswith(forbidden)}
    assert above == set()
    assert "pyarrow" not in loaded  # optional: imported by the export alone, when it runs


def test_a_sync_does_not_load_what_only_the_upgrade_needs() -> None:
    loaded = _loaded_after_importing(
        "include.tiktok_sync.sync.store_run", "include.tiktok_sync.store_db.schema"
    )
    assert not loaded & {"sqlalchemy", "alembic", "typer"}
