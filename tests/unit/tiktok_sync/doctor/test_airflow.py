"""Does the doctor look at every Dag, and mind only that the night's are switched on?"""

from __future__ import annotations

from pathlib import Path

import pytest

from include.tiktok_sync.doctor.airflow import dags_finding
from include.tiktok_sync.jobs import ALL_DAGS

ALL_ON: dict[str, bool | None] = dict.fromkeys(ALL_DAGS, False)


def test_the_doctor_knows_every_dag_of_the_project() -> None:
    folder = Path(__file__).resolve().parents[4] / "dags"
    assert set(ALL_DAGS) == {file.stem for file in folder.glob("*.py")}


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({}, "ok", "7 parsed, none paused"),
        (
            {"apply_retention": True},
            "ok",
            "7 parsed; paused, and not of the night: apply_retention",
        ),
        ({"sync_user_daily": True, "apply_retention": True}, "warn", "paused: sync_user_daily"),
        ({"apply_retention": None}, "fail", "not parsed: apply_retention"),
    ],
)
def test_which_finding_the_dags_give(
    changes: dict[str, bool | None], status: str, text: str
) -> None:
    found = dags_finding({**ALL_ON, **changes})
    assert (found.status, found.text) == (status, text)
