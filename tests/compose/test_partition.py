"""Two worker machines, one of which is cut off from the network in the middle of a run.

Its tasks live on and reach nothing; they are tried again on the other machine. Later the wire is
mended: what the lost ones then still try changes nothing.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from datetime import date

import pytest

from include.local.parts.airflow_api import AirflowApi
from tests.compose.conftest import STORES
from tests.compose.native_stack import NativeStack
from tests.compose.night import new_day, play, problems
from tests.compose.worker_host import WorkerHost

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="network namespaces need root and Debian's package iproute2",
)


@pytest.fixture
def host(stack: NativeStack) -> Iterator[WorkerHost]:
    """The second worker's machine."""
    services = ("redis", "api-server", "metadata-db", "pgbouncer", "sandbox")
    with WorkerHost(port for (name, _), port in stack.ports.items() if name in services) as host:
        stack.stop("worker-2")
        stack.start_again("worker-2", host)
        yield host
        stack.running["worker-2"].kill()


@pytest.mark.usefixtures("fresh_tokens")
@pytest.mark.timeout(1800)
def test_a_machine_that_is_cut_off_costs_nothing(
    stack: NativeStack, api: AirflowApi, host: WorkerHost
) -> None:
    new_day(stack, date(2026, 12, 2))

    def strike() -> int:
        host.cut()
        return stack.running["worker-2"].tasks()

    night = play(stack, api, strike, stores=STORES)
    assert problems(stack, night, stores=STORES) == []
    # Only what was over there, at work or on its way: until then both machines worked.
    assert 0 < night.again <= 2 * int(stack.env["WORKER_CONCURRENCY"])

    host.mend()
    deadline = time.monotonic() + 180
    while stack.running["worker-2"].tasks() and time.monotonic() < deadline:
        time.sleep(2)  # until each has heard that it is no longer wanted, or has ended
    assert problems(stack, night, stores=STORES) == []
