"""What tasks tell Airflow's metrics, as a StatsD server receives it over UDP."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

from include.tiktok_sync.errors import SyncError
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.tiktok import client
from tests.database.bench import Bench
from tests.database.task_bodies import prepare_tasks, task_context
from tiktok_airflow.metrics import METRICS
from tiktok_airflow.tasks import sync as sync_tasks

FRESH, EXPIRED, DEAD = "S001", "S004", "S008"

_LINE = re.compile(
    r"airflow\.(?P<name>[a-z_.]+)(?P<tags>(?:,[a-z_]+=\w+)*):(?P<value>[\d.]+)\|(?P<kind>c|ms)"
)

pytestmark = pytest.mark.usefixtures("no_waits")


@dataclass
class StatsD:
    """A StatsD server: what it was sent since it was last asked.

    Attributes:
        lines: Every datagram, as it came.
    """

    socket: socket.socket
    lines: list[str] = field(default_factory=list)

    def received(self) -> Counter[tuple[str, ...]]:
        """Sum by name, type and tags (``key=value``, sorted)."""
        sums: Counter[tuple[str, ...]] = Counter()
        while True:
            try:
                line = self.socket.recv(8_192).decode()
            except BlockingIOError:  # what was sent on the loopback interface has arrived
                return sums
            self.lines.append(line)
            match = _LINE.fullmatch(line)
            assert match is not None, line
            tags = sorted(match["tags"].split(",")[1:])
            sums[(match["name"], match["kind"], *tags)] += float(match["value"])  # type: ignore[assignment] # times are not whole


@pytest.fixture
def statsd(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsD]:
    """Airflow's metrics as in a task, sent to this test."""
    prepare_tasks(bench, monkeypatch)
    none = get_stats_factory()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0)
        port = str(listening.getsockname()[1])
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", port)
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
        sending = get_stats_factory()()
        stats.initialize(factory=lambda: sending, export_legacy_names=True)
        try:
            yield StatsD(listening)
        finally:
            stats.initialize(factory=none, export_legacy_names=True)
            sending.statsd.close()


def test_a_store_reports_its_cost_and_its_result(bench: Bench, statsd: StatsD) -> None:
    sync_tasks.sync_stores(USER_JOB, [EXPIRED], task_context())

    row = bench.log_row(EXPIRED)
    user, calls = f"job={USER_JOB}", "endpoint=user_info"
    got = statsd.received()
    waited = got.pop(("tiktok.rate_limit_wait", "ms", calls, user))
    assert waited == pytest.approx(row["details"]["waited_s"] * 1000, abs=1)
    assert got == {
        ("tiktok.calls", "c", calls, user): 1,
        ("tiktok.refreshes", "c", user): 1,
        ("tiktok.rows", "c", user): 1,
        ("tiktok.stores", "c", user, "status=success"): 1,
        ("tiktok.store_duration", "ms", user, "status=success"): row["duration_ms"],
    }


def test_each_metric_of_the_list_is_sent_and_no_other_and_no_tag_grows(
    bench: Bench, statsd: StatsD, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAUSE_AFTER_429_S", 0.05)
    bench.grant(DEAD, revoke=True)
    rules = [
        {"fault": name, "times_per_store": 1, "stores": [FRESH]}
        for name in ("rate_limited", "internal_error")
    ]
    bench.sandbox.admin("POST", "/faults", json={"rules": rules})
    sync_tasks.sync_stores(VIDEO_JOB, [FRESH], task_context())
    sync_tasks.sync_stores(USER_JOB, [EXPIRED], task_context())
    with pytest.raises(AirflowSkipException):
        sync_tasks.sync_stores(USER_JOB, [DEAD], task_context())
    bench.conn.execute("UPDATE store_tokens SET access_token = 'x' WHERE store_code = 'S002'")
    with pytest.raises(SyncError):
        sync_tasks.sync_stores(USER_JOB, ["S002"], task_context())
    sync_tasks.record_summary(task_context(xcom_pull=lambda **_: [[EXPIRED], [DEAD]]))

    got = statsd.received()

    kinds = {"counter": "c", "timer": "ms"}
    told = {(name, kind, *(tag.split("=")[0] for tag in tags)) for name, kind, *tags in got}
    assert told == {(one.name, kinds[one.kind], *sorted(one.tags)) for one in METRICS}
    assert got["tiktok.repeats", "c", "endpoint=video_list", f"job={VIDEO_JOB}"] == 1
    assert got["tiktok.rate_limited", "c", "endpoint=video_list", f"job={VIDEO_JOB}"] == 1
    assert got["tiktok.failures", "c", f"job={USER_JOB}", "kind=needs_consent"] == 1
    assert got["tiktok.stores", "c", f"job={USER_JOB}", "status=failed"] == 1
    assert got["tiktok.runs", "c", f"job={USER_JOB}", "status=success"] == 1
    assert not re.search(r"S0\d\d", "\n".join(statsd.lines))


def test_a_dry_run_counts_its_calls_and_no_rows(statsd: StatsD) -> None:
    context = task_context()
    context["params"]["dry_run"] = True
    sync_tasks.sync_stores(USER_JOB, [FRESH], context)

    names = {name for name, *_ in statsd.received()}

    assert "tiktok.calls" in names
    assert "tiktok.rows" not in names
