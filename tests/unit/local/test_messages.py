"""What a person reads when something fails: cause, log, next step."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console
from typer.testing import CliRunner

from include.local.cli import app
from include.local.errors import NotReadyError, PortInUseError, StartError
from include.local.parts.migrations import Step, run_together
from include.local.processes.health import Check, has_ended, wait_until_ready
from include.local.processes.supervisor import ProgramState, Supervisor
from include.local.run.progress import Count, clock
from include.local.run.report import print_warnings, summary_table
from include.local.stack import Stack

if TYPE_CHECKING:
    from tests.unit.local.conftest import Bench

RUNNING = ProgramState("sandbox", "RUNNING", pid=10, started=1, reason="")


class FakeSupervisor:
    def __init__(self, *looks: ProgramState) -> None:
        self.looks = list(looks)
        self.stopped: list[str] = []

    def states(self) -> dict[str, ProgramState]:
        state = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return {state.name: state}

    def stop(self, names: list[str]) -> None:
        self.stopped += names


def wait(bench: Bench, supervisor: FakeSupervisor, check: Check, seconds: float = 0.0) -> None:
    wait_until_ready(
        check,
        what="The sandbox",
        workspace=bench.workspace,
        supervisor=cast("Supervisor", supervisor),
        programs=["sandbox"],
        timeout_seconds=seconds,
    )


def never() -> None:
    reason = "no answer"
    raise NotReadyError(reason, program="sandbox")


def test_time_over_names_part_reason_log_and_its_end(bench: Bench) -> None:
    bench.workspace.log_file("sandbox").write_text("first\nlast words\n")

    with pytest.raises(StartError) as caught:
        wait(bench, FakeSupervisor(RUNNING), never)

    text = str(caught.value)
    assert text.startswith("The sandbox is not up: sandbox: no answer after 0 s.")
    assert f"Its log {bench.workspace.log_file('sandbox')} ends:\n    first\n    last words" in text


def test_an_ended_program_fails_at_once_and_is_not_restarted_forever(bench: Bench) -> None:
    dead = ProgramState("sandbox", "BACKOFF", pid=0, started=1, reason="Exited too quickly")
    supervisor = FakeSupervisor(RUNNING, dead)

    with pytest.raises(StartError, match=r"Exited too quickly[\s\S]*the log is empty"):
        wait(bench, supervisor, never, seconds=60)
    assert supervisor.stopped == ["sandbox"]


@pytest.mark.parametrize(
    ("now", "ended"),
    [
        (RUNNING, False),
        (ProgramState("sandbox", "RUNNING", pid=11, started=2, reason=""), True),
        (ProgramState("sandbox", "FATAL", pid=0, started=1, reason=""), True),
        (ProgramState("sandbox", "STARTING", pid=10, started=1, reason=""), False),
    ],
)
def test_a_restart_counts_as_an_end(now: ProgramState, *, ended: bool) -> None:
    assert has_ended(RUNNING, now) is ended


def test_a_failed_migration_shows_its_last_words_and_is_tried_again(bench: Bench) -> None:
    step = Step("a-step", "The step", ("/bin/sh", "-c", "echo why; exit 3"), {}, "1")

    with pytest.raises(StartError, match=r"The step failed with status 3[\s\S]*why"):
        run_together(bench.workspace, [step])
    assert not step.is_applied(bench.workspace)


def test_an_applied_step_is_not_run_again(bench: Bench) -> None:
    step = Step("a-step", "The step", ("/bin/sh", "-c", "exit 0"), {}, "1")
    run_together(bench.workspace, [step])

    broken = Step("a-step", "The step", ("/bin/sh", "-c", "exit 1"), {}, "1")
    run_together(bench.workspace, [broken])


def test_a_port_in_use_names_port_variable_and_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.local.processes.supervisor._ANSWER_SECONDS", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        stack = Stack(bench.workspace, bench.settings({"SUPERVISOR_PORT": str(port)}))

        with pytest.raises(PortInUseError) as caught:
            stack.up_database()

    text = str(caught.value)
    assert f"port {port} of 127.0.0.1 is in use by" in text
    assert f"SUPERVISOR_PORT another value in {bench.workspace.env_file}" in text


Invoke = Callable[..., Any]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    monkeypatch.setenv("LOCAL_STATE_DIR", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_db_url_prints_the_url_alone(invoke: Invoke) -> None:
    result = invoke("db-url")

    assert result.exit_code == 0
    assert result.stdout.startswith("postgresql://tiktok_sync:")
    assert result.stdout.count("\n") == 1


def test_an_expected_error_is_one_message_and_exit_status_1(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORES", "many")

    result = invoke("db-url")

    assert (result.exit_code, result.stdout) == (1, "")
    assert isinstance(result.exception, SystemExit)


def test_a_missing_csv_is_named_before_anything_starts(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("stores-import", str(tmp_path / "none.csv"))

    assert result.exit_code == 1
    assert not (tmp_path / "supervisord.conf").exists()


def test_down_without_a_stack_is_harmless(invoke: Invoke) -> None:
    assert invoke("down").exit_code == 0


@pytest.mark.parametrize(
    ("state", "ends_with"),
    [("running", "0.5/s, 1:00 left"), ("success", "0.5/s, success"), ("queued", "0.5/s, queued")],
)
def test_progress_line(state: str, ends_with: str) -> None:
    count = Count(total=40, done=8, failed=1, skipped=1, seconds=20.0, state=state)

    assert count.text() == f"    8/40 stores, 1 failed, 1 skipped, {ends_with}"


@pytest.mark.parametrize(
    ("retries", "ends_with"),
    [
        (1, "0.1/s, waiting for 1 retry"),
        (12, "0.1/s, waiting for 12 retries"),
        (0, "0.1/s, finishing"),
    ],
)
def test_progress_line_says_what_it_waits_for_when_every_store_has_an_outcome(
    retries: int, ends_with: str
) -> None:
    count = Count(
        total=10, done=8, failed=1, skipped=1, seconds=100.0, state="running", retries=retries
    )

    assert count.text() == f"    8/10 stores, 1 failed, 1 skipped, {ends_with}"


def test_clock_never_runs_backwards() -> None:
    assert [clock(-3), clock(59.6), clock(125)] == ["0:00", "1:00", "2:05"]


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_message_leaves_the_other_columns_whole(width: int) -> None:
    when = datetime(2026, 11, 24, 22, 44, 43, tzinfo=timezone.utc)
    message = "37 of 40 stores synced, 1 failed: " + "a long story " * 20
    console = Console(width=width, record=True, file=io.StringIO())

    console.print(summary_table([("sync_video_daily", "partial", message, 347_100, when)]))

    text = console.export_text()
    line = next(line for line in text.splitlines() if "sync_video_daily" in line)
    assert line.split()[:4] == ["sync_video_daily", "partial", "37", "of"]
    assert line.split()[-3:] == ["347.1", "s", "22:44:43"]
    assert max(len(line) for line in text.splitlines()) <= width


def test_warnings_are_shown_whole_on_a_narrow_screen(capsys: pytest.CaptureFixture[str]) -> None:
    finding = (
        "Videos vanished: 7 stores: S001 (12 of 14), [S002] and 5 more. Look at them " + 20 * "x "
    )
    warnings: list[dict[str, Any]] = [
        {"check": "videos_lost", "found": 7, "examples": ["S001"], "message": finding.strip()},
        {"check": "user_rows_late", "found": None, "examples": [], "message": "It could not run."},
    ]

    print_warnings("sync_video_daily", warnings)
    print_warnings("sync_user_daily", [])

    assert capsys.readouterr().out.splitlines() == [
        "",
        "Warnings of sync_video_daily:",
        f"  videos_lost  {finding.strip()}",
        "  user_rows_late  It could not run.",
    ]
