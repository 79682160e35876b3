"""The Dags as Airflow's Dag processor sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from include.tiktok_sync.jobs import INSIGHTS_SWITCH

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "dags"


def declared_pools() -> dict[str, int]:
    """Pools of ``airflow_settings.yaml``: name -> slots."""
    settings = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text(encoding="utf-8"))
    return {pool["pool_name"]: pool["pool_slot"] for pool in settings["airflow"]["pools"]}


APP_ID = "7300000000000000017"


@pytest.fixture(autouse=True)
def _with_insights(monkeypatch: pytest.MonkeyPatch) -> None:
    """All Dags that there can be."""
    monkeypatch.setenv(INSIGHTS_SWITCH, APP_ID)


@pytest.fixture(scope="session")
def pools() -> dict[str, int]:
    """Declared pools: name -> slots."""
    return declared_pools()


@pytest.fixture(scope="session")
def dagbag(pools: dict[str, int]) -> DagBag:
    """All Dags of the project, with warnings about pools that nobody declares."""
    with pytest.MonkeyPatch.context() as patch:  # not for the tests of other folders
        patch.setenv(INSIGHTS_SWITCH, APP_ID)
        return DagBag(str(DAGS), known_pools={*pools, "default_pool"})


@pytest.fixture(params=sorted(file.stem for file in DAGS.glob("*.py")))
def dag(request: pytest.FixtureRequest, dagbag: DagBag) -> DAG:
    """Each Dag in turn; a Dag is named as its file."""
    found: Any = dagbag.dags[request.param]
    assert isinstance(found, DAG)
    return found
