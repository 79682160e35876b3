"""Do a run's rows make sense? One of the core's SQL files as one task."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.sql.operators.sql import SQLCheckOperator, SQLCheckResult
from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:  # heavy; preloaded in workers, not paid at parse
    from include.tiktok_sync.sync.data_checks.check import Outcome
    from tiktok_airflow.hooks.store_db_hook import StoreDbHook


class DataCheckOperator(SQLCheckOperator):
    """Runs one check; a finding is a warning and never fails the run.

    Green: nothing found. Skipped (pink): stores found, or nothing to check. Red: the check itself
    could not run. The summary reports all of it.

    :param check: File in ``include/tiktok_sync/sync/data_checks``, without ``.sql``; also the
        task's id.
    """

    # The file is read when the task runs; Airflow itself would read it at every parse.
    template_ext = ()

    def __init__(self, *, check: str, conn_id: str = "store_db", **kwargs: Any) -> None:
        super().__init__(task_id=check, sql=f"{check}.sql", conn_id=conn_id, **kwargs)
        self.check = check

    def get_db_hook(self) -> StoreDbHook:
        """The store database, bounded and named as for every task."""
        from tiktok_airflow.hooks.store_db_hook import StoreDbHook  # noqa: PLC0415 - see TYPE_CHECKING

        return StoreDbHook.for_task(get_current_context())

    def execute(self, context: Any) -> None:
        """Run the check on the rows of this run.

        Raises:
            AirflowSkipException: Something was found, or there is nothing to check.
            SyncError: The check could not run; the retry policy decides what follows.
        """
        from include.tiktok_sync.settings import Settings  # noqa: PLC0415 - see TYPE_CHECKING
        from include.tiktok_sync.sync.data_checks.check import (  # noqa: PLC0415 - see TYPE_CHECKING
            CheckedRun,
            DataCheck,
        )
        from tiktok_airflow.tasks.context import (  # noqa: PLC0415 - see TYPE_CHECKING
            OUTCOME_KEY,
            run_key,
            stores_to_check,
        )

        stores = stores_to_check(context)
        check = DataCheck.read(self.check)
        self.sql = check.sql  # what listeners see
        run = CheckedRun(
            run_key(context),
            stores,
            _began(context["dag_run"]),
            Settings.from_env().consent_warning_days,
        )
        with self.get_db_hook().session() as conn:
            outcome = check.run(conn, run)
        context["ti"].xcom_push(OUTCOME_KEY, outcome.as_dict())
        self.check_results = [self._result(outcome)]
        if outcome.found:
            self.log.warning(
                "Data check %s found something in %s stores (%s): %s",
                outcome.check,
                outcome.found,
                ", ".join(outcome.examples),
                outcome.message,
            )
            raise AirflowSkipException(outcome.message)
        self.log.info("Data check %s passed for %s stores", self.check, len(stores))

    def _result(self, outcome: Outcome) -> SQLCheckResult:
        return SQLCheckResult(
            name=self.check,
            check_type="stores",
            success=not outcome.found,
            severity="warn",
            expected="0",
            actual=str(outcome.found),
            content=self.sql,
            description=outcome.message,
        )


def _began(dag_run: Any) -> datetime:
    # Clearing a task of an ended run moves its start, so that the check would forget what the first
    # half of the run did. A backfilled run is due long before it really runs.
    began: datetime = dag_run.start_date if dag_run.run_type == "backfill" else dag_run.run_after
    return began
