"""Does anything still name the account of an erased store: our tables, Airflow's, its logs?

The runs are real ones of Airflow; what people write into its history is written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from psycopg import sql
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from include.connect.database import ConnectDatabase
from include.tiktok_sync.cli.app import app
from include.tiktok_sync.jobs import ALL_DAGS, USER_JOB, VIDEO_JOB
from include.tiktok_sync.stores.lifecycle import Lifecycle
from tests.database.bench import UTC, Bench
from tests.database.servers.airflow_runs import ROOT, Airflow, airflow_on

_ACCOUNT = """
SELECT open_id FROM store_tokens UNION SELECT union_id FROM user_daily_stats
UNION SELECT display_name FROM user_daily_stats UNION SELECT username FROM user_daily_stats
UNION SELECT title FROM videos UNION SELECT video_id FROM videos
UNION SELECT share_url FROM videos
"""
_CODE = "S001"

Erase = Callable[..., Any]


@pytest.fixture
def airflow(
    bench: Bench, new_database: Callable[[str], str], metadata_template: str, tmp_path: Path
) -> Airflow:
    return airflow_on(bench, new_database(metadata_template), tmp_path)


@pytest.fixture
def erase(airflow: Airflow, command_env: dict[str, str]) -> Erase:
    """``stores erase`` as a container of Airflow runs it."""

    def run(*options: str, **changes: str) -> Any:
        before = structlog.get_config()
        env = {**airflow.env, **command_env, "BACKUP_KEEP": "3", **changes}
        done = CliRunner().invoke(app, ["stores", "erase", _CODE, *options], env=env)
        structlog.configure(**before)
        return done

    return run


def account(bench: Bench) -> list[str]:
    """Everything that names the store's account or its videos."""
    found = [row[0] for row in bench.conn.execute(_ACCOUNT) if row[0]]
    assert len(found) > 10, found
    return found


def rows(url: str) -> Iterator[tuple[str, str]]:
    """Every row of every table as text, with the table's name."""
    with psycopg.connect(url) as conn:
        conn.execute("SET bytea_output = 'escape'")
        tables = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind = 'r'"
        ).fetchall()
        for (table,) in tables:
            query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table))
            for (text,) in conn.execute(query):
                yield table, text


def files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_text(encoding="utf-8", errors="replace")


def named(names: list[str], texts: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    """Where a name stands, plainly or as JSON writes it, and which."""
    forms = {form for name in names for form in (name, json.dumps(name)[1:-1])}
    return [(place, form) for place, text in texts for form in forms if form in text]


def event(bench: Bench, number: int, account_id: str) -> str:
    return ConnectDatabase(bench.conn).webhook(
        "display",
        f"event {number}".encode(),
        event="authorization.removed",
        open_id=account_id,
        reason=1,
        happened_at=datetime.now(UTC) + timedelta(seconds=2),
        message="TikTok ended the access.",
    )


def write_everywhere(airflow: Airflow, name: str) -> None:
    """What an operator, an older version or a bug may have left in Airflow's history."""
    with psycopg.connect(airflow.metadata_url) as conn:
        (run,) = conn.execute("SELECT min(id) FROM dag_run").fetchall()[0]
        said = Jsonb({"note": f"for {name}!", "stores": [_CODE]})
        conn.execute("UPDATE dag_run SET conf = %s WHERE id = %s", [said, run])
        conn.execute(
            "INSERT INTO dag_run_note (dag_run_id, content, created_at, updated_at)"
            " VALUES (%s, %s, now(), now())",
            [run, f"{name} called"],
        )
        conn.execute(
            "UPDATE task_instance SET rendered_map_index = %s WHERE task_id = 'sync_store_user'",
            [f"{_CODE} · {name}"],
        )
        conn.execute(
            "INSERT INTO task_instance_note (ti_id, content, created_at, updated_at)"
            " SELECT id, %s, now(), now() FROM task_instance WHERE task_id = 'list_stores' LIMIT 1",
            [f"see {name}"],
        )
        assert conn.execute("UPDATE xcom SET value = %s", [Jsonb(f"about {name}.")]).rowcount
        fields = conn.execute(
            "UPDATE rendered_task_instance_fields SET rendered_fields = %s", [Jsonb({"a": [name]})]
        )
        assert fields.rowcount
        conn.execute(
            "INSERT INTO log (dttm, dag_id, event, extra) VALUES (now(), %s, 'trigger', %s),"
            " (now(), 'of_others', 'trigger', %s)",
            [USER_JOB, json.dumps({"conf": name}), "nothing of ours"],
        )
        conn.execute(
            "INSERT INTO asset_event (asset_id, extra, source_dag_id, timestamp)"
            " VALUES (1, %s, %s, now())",
            [Jsonb({"by": name}), USER_JOB],
        )
        conn.execute(
            "INSERT INTO callback (id, type, fetch_method, data, priority_weight, created_at)"
            " VALUES (gen_random_uuid(), 'triggerer', 'import_path', %s, 1, now())",
            [json.dumps({"dag_id": USER_JOB, "text": name})],
        )
    logs = Path(airflow.env["AIRFLOW_HOME"], "logs")
    for dag in (USER_JOB, "of_others"):
        folder = logs / f"dag_id={dag}" / "run_id=r" / "task_id=t"
        folder.mkdir(parents=True)
        lines = (json.dumps({"event": f"row\n{name}"}), repr({"title": name}), "Store synced")
        (folder / "attempt=1.log").write_text("\n".join(lines))
    (logs / "dag_processor").mkdir()
    (logs / "dag_processor" / "old.log.gz").write_bytes(b"\x1f\x8b")


def test_the_history_of_real_runs_names_nobody_and_what_was_written_into_it_is_hidden(
    bench: Bench, airflow: Airflow, erase: Erase
) -> None:
    bench.import_stores(_CODE)
    said = airflow.run(USER_JOB) + airflow.run(VIDEO_JOB, dry_run=False, stores=[_CODE])
    names = account(bench)
    bench.conn.execute(
        "UPDATE videos SET removed_at = now() WHERE video_id = (SELECT min(video_id) FROM videos)"
    )
    logs = Path(airflow.env["AIRFLOW_HOME"], "logs")
    # Nothing has to be cleaned that was never written.
    assert named(names, iter([("output", said), *rows(airflow.metadata_url), *files(logs)])) == []

    (open_id,) = bench.rows("SELECT open_id FROM store_tokens")[0].values()
    title = max((name for name in names if " " in name), key=len)
    write_everywhere(airflow, title)
    assert event(bench, 1, open_id) == "needs_consent"
    _write_into_kept_rows(bench, title)
    Lifecycle(bench.conn, "anna").remove(_CODE)
    bench.conn.execute(
        "INSERT INTO backups (finished_at, file_name, bytes, stores)"
        " SELECT now() + n * interval '1 millisecond', 'dump-' || n, 1, 1"
        " FROM generate_series(1, 5) AS n"
    )

    counted = json.loads(erase("--dry-run", "--json").stdout)
    assert named([title], rows(airflow.metadata_url))
    done = erase("--yes", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == counted
    assert event(bench, 2, open_id) == "erased"

    ours = [found for found in files(logs) if "of_others" not in found[0]]
    assert named(names, rows(airflow.metadata_url)) == []
    assert named(names, iter(ours)) == []
    assert named(names, rows(bench.db_url)) == []
    beyond = counted["beyond"]
    assert set(beyond["airflow"]["values"]) == {
        "asset_event.extra",
        "callback.data",
        "dag_run.conf",
        "dag_run_note.content",
        "log.extra",
        "rendered_task_instance_fields.rendered_fields",
        "task_instance.rendered_map_index",
        "task_instance_note.content",
        "xcom.value",
    }
    assert beyond["airflow"]["files"] == 1
    assert "old.log.gz" in beyond["airflow"]["unsearched"][0]
    assert beyond["backups"]["files"] == ["dump-3", "dump-4", "dump-5"]
    # What is another Dag's is none of ours, and what stays readable stays so.
    assert named([title], files(logs / "dag_id=of_others"))
    with psycopg.connect(airflow.metadata_url) as conn:
        conf = conn.execute("SELECT conf FROM dag_run ORDER BY id LIMIT 1").fetchall()[0][0]
    assert conf == {"note": f"for {'*' * len(title.encode())}!", "stores": [_CODE]}
    audit = bench.rows("SELECT * FROM store_audit ORDER BY id")[-1]
    assert (audit["action"], audit["details"]["hidden"]) == (
        "erase",
        {"alerts": 1, "store_audit": 1, "sync_logs": 1},
    )


def _write_into_kept_rows(bench: Bench, name: str) -> None:
    """Rows of whole runs, and of the store's audit, that quote what they should not."""
    bench.conn.execute(
        "INSERT INTO alerts (kind, job_name, run_id, message, details)"
        " VALUES ('run_failed', 'j', 'r', %s, '{}')",
        [f"First: S001: {name}"],
    )
    changed = bench.conn.execute(
        "UPDATE sync_logs SET details = details || %s WHERE id ="
        " (SELECT min(id) FROM sync_logs WHERE store_code IS NULL)",
        [Jsonb({"failures": [{"message": name}]})],
    )
    assert changed.rowcount == 1
    bench.conn.execute(
        "INSERT INTO store_audit (store_code, action, actor, details)"
        " VALUES (%s, 'pause', 'anna', %s)",
        [_CODE, Jsonb({"reason": name})],
    )


def test_nothing_is_erased_while_airflows_database_is_away(bench: Bench, erase: Erase) -> None:
    bench.import_stores(_CODE)
    bench.conn.execute("UPDATE store_tokens SET status = 'needs_consent'")
    Lifecycle(bench.conn, "anna").remove(_CODE)
    away = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://a:s3cret@127.0.0.1:1/a"}

    done = erase("--yes", **away)

    assert done.exit_code == 1
    assert "so nothing was erased" in done.stderr
    assert "--skip-airflow" in done.stderr
    assert "s3cret" not in done.output
    assert bench.rows("SELECT store_code FROM stores") == [{"store_code": _CODE}]
    assert erase("--yes", "--skip-airflow", **away).exit_code == 0
    assert bench.rows("SELECT store_code FROM stores") == []


def test_every_dag_of_the_product_is_searched() -> None:
    assert {path.stem for path in (ROOT / "dags").glob("*.py")} == set(ALL_DAGS)
