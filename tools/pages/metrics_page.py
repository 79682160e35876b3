"""Which metrics are there? ``docs/metrics.md``, from the table that the tasks send from."""

from __future__ import annotations

from tiktok_airflow.metrics import METRICS

_HEAD = """\
# Metrics

Generated from `plugins/tiktok_airflow/metrics.py` by `make metrics-doc`; change the code, not this
file. A test receives them over UDP and compares.

The tasks send these as well as Airflow's own, to the same place: StatsD (`[metrics] statsd_on`,
with the package `statsd` installed), OpenTelemetry (`otel_on`) or Datadog. Without such a setting
nothing is sent. Airflow puts its prefix before the name (`airflow.` by default). Plain StatsD has
no tags: there a metric is the sum over all of them; `statsd_influxdb_enabled` or OpenTelemetry
keep them.

No tag grows with the stores: `job` is the Dag, `endpoint` one of `user_info`, `video_list` and
`video_query`, `status` and `kind` those of `sync_logs` and its `details`. Which store it was is a
question for `sync_logs`. Counters that stay 0 are not sent. Timers are milliseconds.

| metric | type | tags | what it says |
| --- | --- | --- | --- |
"""

_FOOT = """
What to watch: `tiktok.rate_limited` above 0 (another program uses the same TikTok app),
`tiktok.failures` with `kind=needs_consent` (stores to be connected again), `tiktok.runs` without a
count for a day (nothing ran), and Airflow's own `pool.open_slots`, `pool.starving_tasks` and
`dagrun.schedule_delay`.
"""


def metrics_page() -> str:
    """The page as Markdown."""
    rows = (
        f"| `{one.name}` | {one.kind} | {', '.join(f'`{tag}`' for tag in one.tags)}"
        f" | {one.meaning} |\n"
        for one in METRICS
    )
    return _HEAD + "".join(rows) + _FOOT
