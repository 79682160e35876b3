"""plugins/ is a folder of modules to import; only what registers itself is run as a plugin."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Probe

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "plugins"
PROBE = Path(__file__).parent / "probes" / "plugin_scan.py"

REGISTERED = "tiktok_sync_plugin.py"
"""The one plugin file."""

IMPORTED = {"sync_deadline.py", "__init__.py", "deadline.py"}
"""What every process of Airflow pays for with it."""

PLUGIN = """
from airflow.plugins_manager import AirflowPlugin
class Found(AirflowPlugin):
    name = "found"
"""


def test_no_module_is_run_as_a_plugin(probe: Probe) -> None:
    found = probe(PROBE)

    assert found["folder"] == str(PLUGINS)
    assert found["errors"] == {}
    assert {Path(file).name for file in found["executed"]} == {REGISTERED, *IMPORTED}
    assert found["plugins"] == ["tiktok_sync"]


def test_every_module_but_the_plugin_is_hidden_by_name() -> None:
    lines = (PLUGINS / ".airflowignore").read_text(encoding="utf-8").splitlines()
    hidden = {line for line in lines if line and not line.startswith("#")}
    modules = {file.name for file in PLUGINS.glob("*.py")}
    packages = {f"{file.parent.name}/" for file in PLUGINS.glob("*/__init__.py")}

    assert hidden == (modules | packages) - {REGISTERED}


def test_a_module_that_is_not_hidden_would_be_found(probe: Probe, tmp_path: Path) -> None:
    ignored = (PLUGINS / ".airflowignore").read_text(encoding="utf-8")
    (tmp_path / ".airflowignore").write_text(ignored, encoding="utf-8")
    (tmp_path / "sync_deadline.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "forgotten.py").write_text(PLUGIN, encoding="utf-8")

    found = probe(PROBE, env={"AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path)})

    assert found["executed"] == [str(tmp_path / "forgotten.py")]
    assert found["plugins"] == ["found"]
