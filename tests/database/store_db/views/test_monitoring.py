"""Dashboards and alert rules: each panel's SQL on a seeded database, its PromQL on a Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import yaml

from include.local.ports import HOST, choose_port
from include.tiktok_sync.jobs import USER_JOB, VIDEO_JOB
from include.tiktok_sync.store_db.roles import prepare
from tests.postgres_server import PostgresServer, scratch_postgres

MONITORING = Path(__file__).resolve().parents[4] / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana" / "tiktok_sync.json").read_text(encoding="utf-8"))
ALERTING = yaml.safe_load((MONITORING / "grafana" / "alerting.yaml").read_text(encoding="utf-8"))
SOURCES = {
    source["uid"]: source["type"]
    for source in yaml.safe_load(
        (MONITORING / "grafana" / "datasources.yaml").read_text(encoding="utf-8")
    )["datasources"]
}
RULES = {rule["uid"]: rule for group in ALERTING["groups"] for rule in group["rules"]}

SQL = [
    (panel["title"], target["rawSql"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
    if "rawSql" in target
]
PROMQL = [
    (panel["title"], target["expr"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
    if "expr" in target
]

_NEEDED = ("prometheus", "promtool")
needs_prometheus = pytest.mark.skipif(
    not all(map(shutil.which, _NEEDED)), reason="Debian's package prometheus is not installed"
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Two stores and two nights: one good, one in which a grant died and a store failed."""
    with scratch_postgres() as server:
        url = server.url("tiktok_sync").replace(
            f"postgres:{server.password}", "tiktok_sync:sync-Pa55word"
        )
        prepare(server.url(), url, monitor_password="monitor-Pa55word")
        with psycopg.connect(url) as conn:
            _seed(conn)
        yield server


def _seed(conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO stores (store_code, store_name) VALUES ('S001', 'One'), ('S002', 'Two')"
    )
    conn.execute(
        "INSERT INTO store_tokens (store_code, open_id, scope, access_token, refresh_token,"
        " refresh_expires_at, status) SELECT store_code, store_code, '', '', '',"
        " now() + CASE store_code WHEN 'S001' THEN 200 ELSE 20 END * interval '1 day', 'active'"
        " FROM stores"
    )
    for night, status, kind in ((1, "success", None), (0, "failed", "fatal")):
        for job in (USER_JOB, VIDEO_JOB):
            details = json.dumps({"kind": kind, "rate_limited": 1, "waited_s": 2.5})
            conn.execute(
                "INSERT INTO sync_logs (job_name, store_code, status, message, duration_ms,"
                " run_time, run_id, snapshot_date, details)"
                " SELECT %(job)s, code, CASE code WHEN 'S001' THEN 'success' ELSE %(status)s END,"
                " '', 1000, now() - %(night)s * interval '1 day', %(run)s, current_date,"
                " %(details)s FROM unnest(ARRAY['S001', 'S002', NULL]) AS code",
                {
                    "job": job,
                    "status": status,
                    "night": night,
                    "run": f"night-{night}",
                    "details": details,
                },
            )
    conn.execute("INSERT INTO rate_limits (endpoint, grants) VALUES ('user_info', 2)")
    conn.execute(
        "INSERT INTO rate_limit_grants VALUES ('user_info', 0, now()), ('user_info', 1, now())"
    )


@pytest.fixture
def monitor(server: PostgresServer) -> Iterator[psycopg.Connection]:
    """As Grafana's role; what a test changes is taken back."""
    url = server.url("tiktok_sync").replace(
        f"postgres:{server.password}", "monitor:monitor-Pa55word"
    )
    with psycopg.connect(server.url("tiktok_sync")) as conn:
        conn.execute("UPDATE rate_limit_grants SET granted_at = now()")  # within the last minute
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


@pytest.mark.parametrize(("title", "query"), SQL, ids=[title for title, _ in SQL])
def test_every_panel_of_the_database_shows_something(
    monitor: psycopg.Connection, title: str, query: str
) -> None:
    # As Grafana fills in the time that the person looks at.
    query = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 > now() - interval '14 days'", query)
    assert "$" not in query

    cursor = monitor.execute(query.encode())
    rows, columns = cursor.fetchall(), [column.name for column in cursor.description or []]

    assert rows, title
    assert len(set(columns)) == len(columns)
    if title == "Progress of the newest runs":
        assert rows == [(USER_JOB, 100), (VIDEO_JOB, 100)]
    if title == "Failures and skips by kind":
        assert rows == [("fatal", 2)]
    if title == "Calls in the last minute":
        assert rows == [("user_info", 2)]
    if title == "Share of stores that succeeded":
        assert {float(row[2]) for row in rows} == {50.0, 100.0}


def fires(conn: psycopg.Connection, rule: str) -> bool:
    """Whether a rule of Grafana's does: its condition, worked out as Grafana works it out."""
    return node(conn, rule, RULES[rule]["condition"]) != 0


def node(conn: psycopg.Connection, rule: str, ref: str) -> float:
    """What one query or expression of a rule comes to."""
    (found,) = [query for query in RULES[rule]["data"] if query["refId"] == ref]
    model = found["model"]
    if found["datasourceUid"] != "__expr__":
        assert model["format"] == "time_series"
        cursor = conn.execute(model["rawSql"].encode())
        # A series of one value, and no text that would make several of it.
        assert (cursor.description or [])[0].name == "time"
        ((moment, value),) = cursor.fetchall()
        assert moment.tzinfo
        return float(value)
    value = node(conn, rule, model["expression"])
    if model["type"] == "reduce":
        return value
    assert model["type"] == "threshold"
    (evaluator,) = [condition["evaluator"] for condition in model["conditions"]]
    assert evaluator["type"] == "gt"
    return float(value > evaluator["params"][0])


def test_rules_fire_for_what_they_are_named_after(server: PostgresServer) -> None:
    url = server.url("tiktok_sync")
    changes = {
        "sync-late": "UPDATE sync_logs SET run_time = run_time - interval '27 hours'"
        " WHERE job_name = 'sync_video_daily'",
        "sync-failing": "UPDATE sync_logs SET status = 'failed' WHERE store_code IS NULL"
        " AND run_id = 'night-0' AND job_name = 'sync_user_daily'",
        "stores-stale": "UPDATE sync_logs SET run_time = run_time - interval '3 days'"
        " WHERE store_code = 'S001'",
        "grants-dead": "UPDATE store_tokens SET status = 'needs_consent' WHERE store_code = 'S002'",
    }
    assert changes.keys() == RULES.keys()
    with psycopg.connect(url) as conn:
        # The seeded last night failed; a sound one begins here.
        conn.execute("UPDATE sync_logs SET status = 'success'")
        for rule, change in changes.items():
            assert not fires(conn, rule), rule
            with conn.transaction(force_rollback=True):
                conn.execute(change.encode())
                assert fires(conn, rule), rule
        conn.rollback()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_is_built_as_grafana_takes_it(rule: dict[str, Any]) -> None:
    """What Grafana would say only when it starts, or at the first evaluation."""
    assert {"summary", "todo"} == set(rule["annotations"])
    assert rule["execErrState"] == "Error", "a database away is not what the rule is named after"
    assert rule["title"]
    assert rule["for"]
    seen: list[str] = []
    for query in rule["data"]:
        model, uid = query["model"], query["datasourceUid"]
        assert model["refId"] == query["refId"]
        assert model["datasource"]["uid"] == uid
        if uid == "__expr__":
            assert model["datasource"]["type"] == "__expr__"
            assert model["expression"] in seen
        else:
            assert SOURCES[uid] == model["datasource"]["type"]
            assert query["relativeTimeRange"]["from"] > query["relativeTimeRange"]["to"]
        seen.append(query["refId"])
    assert len(set(seen)) == len(seen)
    # Grafana refuses a series as a condition: the last step compares one number.
    assert rule["condition"] == seen[-1]
    kinds = [query["model"].get("type") for query in rule["data"]]
    assert kinds == [None, "reduce", "threshold"]


def test_panels_and_sources_belong_together() -> None:
    for panel in DASHBOARD["panels"]:
        source = panel["datasource"]
        assert SOURCES[source["uid"]] == source["type"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len(SQL) >= 9
    assert len(PROMQL) >= 6


METRICS = """
airflow_scheduler_heartbeat {beat}
airflow_executor_running_tasks 3
airflow_executor_queued_tasks 1
airflow_pool_running_slots{{pool_name="tiktok_users"}} 20
airflow_pool_open_slots{{pool_name="tiktok_users"}} 10
airflow_pool_starving_tasks{{pool_name="tiktok_users"}} 0
airflow_tiktok_calls{{job="sync_user_daily",endpoint="user_info"}} {beat}
airflow_tiktok_rate_limited{{job="sync_user_daily",endpoint="user_info"}} {beat}
"""


@pytest.fixture(scope="module")
def prometheus() -> Iterator[str]:
    """A Prometheus with the product's configuration that scrapes what Airflow would have sent."""
    beats = iter(range(10**6))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = METRICS.format(beat=next(beats)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            del args

    port = choose_port(())
    with (
        HTTPServer((HOST, 0), Handler) as exporter,
        tempfile.TemporaryDirectory(prefix="tiktok-prometheus-") as name,
    ):
        threading.Thread(target=exporter.serve_forever).start()
        text = (MONITORING / "prometheus.yaml").read_text(encoding="utf-8")
        for ours, here in (
            ("statsd-exporter:9102", f"{HOST}:{exporter.server_port}"),
            ("127.0.0.1:9090", f"{HOST}:{port}"),
            ("/etc/prometheus", str(MONITORING)),
            ("15s", "1s"),
            ("30s", "1s"),
        ):
            assert ours in text
            text = text.replace(ours, here)
        config = Path(name) / "prometheus.yaml"
        config.write_text(text, encoding="utf-8")
        process = subprocess.Popen(  # noqa: S603 - fixed arguments
            [
                shutil.which("prometheus") or "",
                f"--config.file={config}",
                f"--storage.tsdb.path={name}/data",
                f"--web.listen-address={HOST}:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"http://{HOST}:{port}"
        finally:
            process.terminate()
            process.wait()
            exporter.shutdown()


def ask(url: str, path: str, **parameters: str) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{url}/api/v1/{path}", params=parameters, timeout=60)
    answer.raise_for_status()
    return answer.json()["data"]


@needs_prometheus
def test_every_panel_of_prometheus_shows_something(prometheus: str) -> None:
    queries, deadline = {expr for _, expr in PROMQL}, time.monotonic() + 300
    assert queries
    while queries and time.monotonic() < deadline:
        time.sleep(0.5)
        try:
            queries -= {q for q in queries if ask(prometheus, "query", query=q)["result"]}
        except requests.RequestException:  # not there yet, or 503: it is reading its storage
            continue
    assert queries == set()
    groups = ask(prometheus, "rules")["groups"]
    rules = {rule["name"]: rule["state"] for group in groups for rule in group["rules"]}
    assert set(rules.values()) == {"inactive"}
    assert "SchedulerSilent" in rules


@needs_prometheus
def test_rules_of_prometheus_fire(tmp_path: Path) -> None:
    """Promtool plays ten minutes in which the scheduler stops and a pool starves."""
    series = {
        "up{job='airflow'}": "1x40",
        "airflow_scheduler_heartbeat": "0+60x10 600x30",
        "airflow_pool_starving_tasks{pool_name='tiktok_users'}": "5x40",
        "airflow_pool_open_slots{pool_name='tiktok_users'}": "9x40",
        "airflow_executor_queued_tasks": "4x40",
        "airflow_executor_running_tasks": "0x40",
    }
    fires = {
        "SchedulerSilent": ({"severity": "critical"}, "25m"),
        "PoolStarving": ({"severity": "warning", "pool_name": "tiktok_users"}, "15m"),
        "NoWorker": ({"severity": "critical"}, "15m"),
    }
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
    texts = {rule["alert"]: rule["annotations"] for rule in rules["groups"][0]["rules"]}
    test = {
        "rule_files": [str(MONITORING / "alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "alert_rule_test": [
                    {
                        "eval_time": moment,
                        "alertname": name,
                        "exp_alerts": [
                            {
                                "exp_labels": labels,
                                "exp_annotations": {
                                    key: text.replace("{{ $labels.pool_name }}", "tiktok_users")
                                    for key, text in texts[name].items()
                                },
                            }
                        ],
                    }
                    for name, (labels, moment) in fires.items()
                ]
                + [{"eval_time": "5m", "alertname": name, "exp_alerts": []} for name in texts],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")

    done = subprocess.run(  # noqa: S603 - fixed arguments
        [shutil.which("promtool") or "", "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
