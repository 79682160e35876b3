"""Counting the requests of tasks in a log that is renamed when it is full."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from benchmarks.measure.meter import ExecutionCalls

CALL = "PATCH /execution/task-instances/1/run HTTP/1.1\n"
OTHER = "GET /api/v2/monitor/health HTTP/1.1\n"


def test_calls_are_counted_from_now_on_and_over_a_renamed_log(tmp_path: Path) -> None:
    log = tmp_path / "api-server.log"
    log.write_text(CALL * 5)
    stack: Any = SimpleNamespace(workspace=SimpleNamespace(log_file=lambda _: log))
    calls = ExecutionCalls(cast("Any", stack))
    assert calls.count() == 0

    with log.open("a") as more:
        more.write(CALL + OTHER + CALL)
    assert calls.count() == 2

    log.rename(tmp_path / "api-server.log.1")
    log.write_text(CALL + OTHER)
    assert calls.count() == 3

    (tmp_path / "api-server.log.1").rename(tmp_path / "api-server.log.2")
    log.rename(tmp_path / "api-server.log.1")
    log.write_text(CALL)
    assert calls.count() == 4
