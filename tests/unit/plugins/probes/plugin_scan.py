"""Ask Airflow's plugin manager for plugins; print what it took for one."""

from __future__ import annotations

import json
import sys

from airflow import plugins_manager
from airflow.settings import PLUGINS_FOLDER

before = set(sys.modules)
plugins, errors = plugins_manager._get_plugins()
print(  # noqa: T201 - a probe's answer
    json.dumps(
        {
            "folder": PLUGINS_FOLDER,
            "plugins": [
                plugin.name
                for plugin in plugins
                if isinstance(plugin.source, plugins_manager.PluginsDirectorySource)
            ],
            "errors": errors,
            "executed": [
                str(sys.modules[name].__file__)
                for name in sorted(set(sys.modules) - before)
                if str(getattr(sys.modules[name], "__file__", "")).startswith(str(PLUGINS_FOLDER))
            ],
        }
    )
)
