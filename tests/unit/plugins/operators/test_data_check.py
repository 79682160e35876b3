"""DataCheckOperator: since when does what changed count as the run's own doing?"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from tiktok_airflow.operators.data_check import DataCheckOperator, _began

DUE = datetime(2026, 3, 10, 2, tzinfo=timezone.utc)


@pytest.mark.parametrize("kind", [DagRunType.SCHEDULED, DagRunType.MANUAL])
def test_clearing_a_task_the_day_after_does_not_forget_the_night(kind: DagRunType) -> None:
    cleared = SimpleNamespace(run_type=kind, run_after=DUE, start_date=DUE + timedelta(hours=30))

    assert _began(cleared) == DUE


def test_a_backfilled_run_does_not_answer_for_the_days_since_it_was_due() -> None:
    started = DUE + timedelta(days=40)
    run = SimpleNamespace(run_type=DagRunType.BACKFILL, run_after=DUE, start_date=started)

    assert _began(run) == started


def test_a_check_is_the_task_of_its_file_on_the_store_database() -> None:
    check = DataCheckOperator(check="videos_lost")

    assert (check.task_id, check.sql, check.conn_id) == (
        *("videos_lost", "videos_lost.sql", "store_db"),
    )
