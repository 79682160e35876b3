"""The little StatsD server hears Airflow's own client."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

from benchmarks.measure.loop_times import LoopTimesListener


def test_it_keeps_the_loops_and_nothing_else() -> None:
    with LoopTimesListener() as listener:
        env = listener.airflow_env
        port = int(env["AIRFLOW__METRICS__STATSD_PORT"])
        statsd: Any = import_module("statsd")  # it has no types
        client = statsd.StatsClient(env["AIRFLOW__METRICS__STATSD_HOST"], port, "airflow")
        assert listener.times() is None
        client.incr("scheduler_heartbeat")
        client.timing("dag_processing.last_duration", 9_999)
        for milliseconds in (*[10.0] * 19, 110.0):
            client.timing("scheduler.scheduler_loop_duration", milliseconds)
        client.close()
        deadline = time.monotonic() + 60
        while not (found := listener.times()) or found.loops < 20:
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        assert (found.mean_ms, found.p95_ms, found.longest_ms) == (15.0, 110.0, 110.0)
        listener.begin()
        assert listener.times() is None
