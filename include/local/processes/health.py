"""Is each part up, and if not, why? One check a part, and one wait that fails early."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import requests

from include.connect.settings import HEALTH_PATH
from include.local.errors import AirflowApiError, NotReadyError, StartError
from include.local.parts.airflow_api import AirflowApi, moment_of
from include.local.parts.migrations import tail
from include.local.polling import wait_for
from include.local.ports import HOST
from include.local.processes.programs import CONNECT, EXECUTION_API, SANDBOX
from include.local.processes.supervisor import FAILED_STATES, ProgramState, Supervisor
from include.local.settings import LocalSettings
from include.local.workspace import Workspace

_POLL_SECONDS = 0.25
_HEARTBEATS = {
    "scheduler": "scheduler",
    "dag_processor": "dag-processor",
    "triggerer": "triggerer",
}

Check = Callable[[], None]
"""Raises ``NotReadyError`` while a part is not ready."""


def check_sandbox(settings: LocalSettings) -> None:
    """Whether the sandbox answers.

    Raises:
        NotReadyError: It does not.
    """
    _check_answers(f"{settings.sandbox_url}/admin/health", SANDBOX)


def check_connect(settings: LocalSettings) -> None:
    """Whether the connect app answers, on its port of this machine.

    Raises:
        NotReadyError: It does not.
    """
    _check_answers(f"http://{HOST}:{settings.port('CONNECT_PORT')}{HEALTH_PATH}", CONNECT)


def check_execution_api(settings: LocalSettings) -> None:
    """Whether the API that tasks call answers.

    Raises:
        NotReadyError: It does not.
    """
    _check_answers(f"{settings.execution_url}/health", EXECUTION_API)


def check_airflow(api: AirflowApi, supervisor: Supervisor) -> None:
    """Whether every part of Airflow has reported a heartbeat since it was started.

    Raises:
        NotReadyError: One has not.
    """
    try:
        beats = api.heartbeats()
    except AirflowApiError as error:
        raise NotReadyError(str(error), program="api-server") from error
    states = supervisor.states()
    for part, program in _HEARTBEATS.items():
        beat = beats[part]
        # A heartbeat counts for 30 s in Airflow: it may be of the process before a restart.
        if beat is None or beat.timestamp() < states[program].started:
            reason = "no heartbeat yet"
            raise NotReadyError(reason, program=program)


def check_dags(api: AirflowApi, workspace: Workspace, dags: Sequence[str]) -> None:
    """Whether these Dags are parsed.

    Raises:
        NotReadyError: Not yet.
        StartError: A Dag file cannot be imported.
    """
    try:
        for error in api.import_errors():
            _check_import_error(error, workspace)
        missing = [dag_id for dag_id in dags if not api.dag(dag_id)]
    except AirflowApiError as error:
        raise NotReadyError(str(error), program="api-server") from error
    if missing:
        reason = f"not parsed yet: {', '.join(missing)}"
        raise NotReadyError(reason, program="dag-processor")


def wait_until_ready(
    check: Check,
    *,
    what: str,
    workspace: Workspace,
    supervisor: Supervisor,
    programs: Collection[str],
    timeout_seconds: float,
) -> None:
    """Repeat a check until it passes.

    Args:
        check: Raises ``NotReadyError`` while the part is not ready.
        what: Name of the part, for the message.
        workspace: Whose stack.
        supervisor: Watched for programs that end.
        programs: Those that the part needs.
        timeout_seconds: When to give up.

    Raises:
        StartError: A program ended, or the time is over; names cause, log and its last lines.
    """
    first = {name: state for name, state in supervisor.states().items() if name in programs}
    missing: NotReadyError | None = None

    def is_ready() -> bool:
        nonlocal missing
        for name, state in supervisor.states().items():
            if name in first and has_ended(first[name], state):
                supervisor.stop([name])  # no endless restarts while a person reads the reason
                reason = state.reason or "the process ended"
                raise start_error(workspace, what, name, reason)
        try:
            check()
        except NotReadyError as error:
            missing = error
            return False
        missing = None
        return True

    wait_for(is_ready, seconds=timeout_seconds, every=_POLL_SECONDS)
    if missing:
        reason = f"{missing} after {timeout_seconds:.0f} s"
        raise start_error(workspace, what, missing.program, reason) from missing


def has_ended(first: ProgramState, now: ProgramState) -> bool:
    """Whether a program ended since it was first seen, even if it was started again."""
    restarted = bool(first.pid and now.pid and now.pid != first.pid)
    return now.state in FAILED_STATES or restarted


def start_error(workspace: Workspace, what: str, program: str, reason: str) -> StartError:
    """The message for a part that does not come up."""
    log = workspace.log_file(program)
    return StartError(
        f"{what} is not up: {program}: {reason}.\nIts log {log} ends:\n{tail(log)}\n"
        "Correct the cause, then run the same command again."
    )


def _check_answers(url: str, program: str) -> None:
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy to the loopback interface
            session.get(url, timeout=3).raise_for_status()
    except requests.RequestException as error:
        reason = f"no answer from {url}"
        raise NotReadyError(reason, program=program) from error


def _check_import_error(error: dict[str, str], workspace: Workspace) -> None:
    file = workspace.root / "dags" / error["filename"]
    seen = moment_of(error["timestamp"]).timestamp()
    if not file.exists() or file.stat().st_mtime > seen:
        return  # of an older state of the file; the next parse clears it
    trace = error["stack_trace"].rstrip().splitlines()[-8:]
    raise StartError(
        f"Airflow cannot import {file}:\n" + "\n".join(f"    {line}" for line in trace)
    )
