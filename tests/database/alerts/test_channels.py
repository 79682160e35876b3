"""Do the channels get every alert once, and is the result recorded?"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from include.tiktok_sync.alerts.log import TRIED_FOR, AlertLog, NewAlert
from include.tiktok_sync.store_db.database import Connection
from tests.alert_receiver import SECRET, Receiver
from tests.database.bench import DAY, row, rows
from tests.database.rows.alert_runs import FAILED, RUN, tell
from tiktok_airflow import channels


def test_a_channel_gets_one_message_and_no_second_one(
    conn: Connection, receiver: Receiver, stores: list[str]
) -> None:
    dead = [NewAlert("needs_consent", "Ended.", code, subject="since") for code in stores]
    for _ in range(2):  # the task is tried again, or cleared
        tell(conn, FAILED, *dead)

    (message,) = receiver.messages
    assert message["title"].startswith("run failed, 3 stores need consent: TikTok sync_user_daily")
    assert "S1, S2, S3: Ended." in message["message"]
    told = rows(conn, "SELECT notified_at, notify_error FROM alerts")
    assert len(told) == 4
    assert all(line["notified_at"] and line["notify_error"] is None for line in told)


def test_a_channel_that_fails_is_recorded_without_its_secret_and_fails_nobody(
    conn: Connection, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.status = 500
    tell(conn, FAILED)

    found = row(conn, "SELECT * FROM alerts")
    assert found["notified_at"] is None
    assert found["notify_error"] == "Of tiktok_alerts: channel 1 (JSON) did not accept it."
    assert SECRET not in str(found) + "".join(capfd.readouterr())


def test_one_of_several_channels_is_enough(
    conn: Connection,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    more = (f"json://x:{SECRET}@127.0.0.1:1/", f"nosuch://{SECRET}/")
    monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_ALERTS", receiver.connection(*more))
    tell(conn, FAILED)

    found = row(conn, "SELECT * FROM alerts")
    assert len(receiver.messages) == 1
    assert found["notified_at"] is not None
    assert "channel 3 is not an Apprise URL" in found["notify_error"]
    assert "(JSON) did not accept it" in found["notify_error"]
    assert SECRET not in str(found) + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("connection", "error"),
    [
        pytest.param('{"conn_type": "apprise"}', "No channel is configured", id="blank"),
        pytest.param(
            '{"conn_type": "apprise", "extra": {"config": "no JSON s3cr3t"}}',
            "could not be used: JSONDecodeError",
            id="broken",
        ),
    ],
)
def test_without_a_channel_it_is_logged_and_recorded(
    conn: Connection,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    connection: str,
    error: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_ALERTS", connection)
    tell(conn, FAILED)

    found = row(conn, "SELECT * FROM alerts")
    assert receiver.messages == []
    assert (found["notified_at"], error in found["notify_error"]) == (None, True)
    said = "".join(capfd.readouterr())
    assert "no channel accepted it" in said
    assert "It failed." in said
    assert "s3cr3t" not in said


def test_what_a_killed_sender_left_is_sent_by_the_next_try(
    conn: Connection, db_url: str, receiver: Receiver
) -> None:
    AlertLog(conn).raise_new([FAILED], **RUN, day=DAY.date)
    with psycopg.connect(db_url, autocommit=True) as other, AlertLog(other).unsent(**RUN) as held:
        assert len(held) == 1
        tell(conn, FAILED)  # is being sent at this moment
        assert receiver.messages == []

    tell(conn, FAILED)
    assert len(receiver.messages) == 1


def test_a_channel_that_stumbles_gets_the_message_all_the_same(
    conn: Connection, receiver: Receiver
) -> None:
    receiver.refusals = channels.TRIES_AGAIN
    tell(conn, FAILED)

    assert len(receiver.messages) == 1 + channels.TRIES_AGAIN
    found = row(conn, "SELECT notified_at, notify_error FROM alerts")
    assert (found["notified_at"] is not None, found["notify_error"]) == (True, None)


def outage(conn: Connection, receiver: Receiver, *nights: str) -> None:
    """Nights that fail while the channel is down."""
    receiver.status = 503
    for run_id in nights:
        tell(conn, FAILED, run_id=run_id)
    receiver.status = 200
    receiver.messages.clear()


def runs_told(receiver: Receiver) -> list[str]:
    return [
        message["message"].partition(", run ")[2].split("\n")[0] for message in receiver.messages
    ]


def test_what_a_channel_refused_goes_along_with_the_next_run_once(
    conn: Connection, receiver: Receiver
) -> None:
    outage(conn, receiver, "night-1", "night-2")

    tell(conn, FAILED, run_id="night-3")
    assert runs_told(receiver) == ["night-3", "night-2", "night-1"]
    assert ["Delayed: raised at" in m["message"] for m in receiver.messages] == [False, True, True]
    assert rows(conn, "SELECT FROM alerts WHERE notified_at IS NULL OR notify_error <> ''") == []
    tell(conn, run_id="night-4")
    assert len(receiver.messages) == 3


def test_a_good_night_brings_what_a_channel_refused(conn: Connection, receiver: Receiver) -> None:
    outage(conn, receiver, "night-1")

    tell(conn, run_id="night-2")
    assert runs_told(receiver) == ["night-1"]


def test_a_channel_that_is_still_down_is_asked_for_one_run_only(
    conn: Connection, receiver: Receiver
) -> None:
    outage(conn, receiver, "night-1", "night-2")
    receiver.status = 503

    tell(conn, FAILED, run_id="night-3")
    assert set(runs_told(receiver)) == {"night-3"}


def test_an_old_alert_is_no_news(conn: Connection, receiver: Receiver) -> None:
    outage(conn, receiver, "night-1", "night-2")
    conn.execute(
        "UPDATE alerts SET raised_at = now() - %s WHERE run_id = 'night-1'",
        [TRIED_FOR + timedelta(minutes=1)],
    )

    tell(conn, run_id="night-3")
    assert runs_told(receiver) == ["night-2"]


def test_without_a_channel_nothing_waits_for_one(
    conn: Connection, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_TIKTOK_ALERTS", '{"conn_type": "apprise"}')
        tell(conn, FAILED)

    tell(conn, run_id="night-2")
    assert receiver.messages == []


def test_two_that_send_at_once_send_what_is_left_once(
    conn: Connection, db_url: str, receiver: Receiver
) -> None:
    outage(conn, receiver, "night-1", "night-2")
    at_once = threading.Barrier(4)

    def send() -> None:
        with psycopg.connect(db_url, autocommit=True) as mine:
            at_once.wait(timeout=60)
            tell(mine, run_id="night-3")

    with ThreadPoolExecutor(4) as pool:
        for sent in [pool.submit(send) for _ in range(4)]:
            sent.result()

    assert sorted(runs_told(receiver)) == ["night-1", "night-2"]


def test_no_alert_url_is_in_the_repository() -> None:
    text = (Path(__file__).resolve().parents[3] / "airflow_settings.yaml").read_text()
    assert "conn_id: tiktok_alerts" in text
    assert "://" not in text.split("tiktok_alerts\n")[1]


DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
TELEGRAM = "tgram://123456789:AAG-hijklmnopqrstuvwxyz0123456789ab/12315544/"


def connection_to(url: str) -> str:
    return json.dumps({"conn_type": "apprise", "extra": {"config": [{"path": url}]}})


def point(monkeypatch: pytest.MonkeyPatch, receiver: Receiver, plugin: str, attribute: str) -> None:
    """Let a service's plugin send to this machine; all else of it is real."""
    monkeypatch.setattr(
        f"apprise.plugins.{plugin}.{attribute}", f"http://127.0.0.1:{receiver.port}/x"
    )


@pytest.mark.parametrize(
    ("url", "plugin", "attribute", "text", "most"),
    [
        (DISCORD, "discord.NotifyDiscord", "notify_url", "content", 2000),
        (TELEGRAM, "telegram.NotifyTelegram", "notify_url", "text", 4096),
    ],
    ids=["Discord", "Telegram"],
)
def test_a_night_of_dead_grants_arrives_whole_at_services_with_a_limit(
    conn: Connection,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    plugin: str,
    attribute: str,
    text: str,
    most: int,
) -> None:
    codes = [f"STORE-{number:04}" for number in range(400)]
    with conn.cursor() as cursor:
        cursor.executemany("INSERT INTO stores VALUES (%s, 'x')", [[code] for code in codes])
    monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_ALERTS", connection_to(url))
    point(monkeypatch, receiver, plugin, attribute)
    receiver.most = most

    tell(conn, *(NewAlert("needs_consent", "It ended <today> & for good.", code) for code in codes))

    told = [message[text] for message in receiver.messages]
    assert 1 < len(told) <= 5
    assert all(len(one) <= most for one in told)
    assert "400 stores need consent" in told[0].splitlines()[0]
    assert all(f"({number}/{len(told)})" in one for number, one in enumerate(told, 1))
    for code in codes:
        assert sum(code in one for one in told) == 1
    markup = receiver.messages[0].get("parse_mode") == "HTML"
    escaped = "It ended &lt;today&gt; &amp; for good." if markup else "It ended <today> & for good."
    assert escaped in told[0]
    found = rows(conn, "SELECT DISTINCT notify_error, notified_at IS NULL AS unsent FROM alerts")
    assert found == [{"notify_error": None, "unsent": False}]


def test_a_part_that_is_refused_leaves_the_alert_unsent(
    conn: Connection, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TIKTOK_ALERTS", connection_to(DISCORD))
    point(monkeypatch, receiver, "discord.NotifyDiscord", "notify_url")
    receiver.status = 400
    tell(conn, FAILED)

    found = row(conn, "SELECT notified_at, notify_error FROM alerts")
    assert found["notified_at"] is None
    assert found["notify_error"] == "Of tiktok_alerts: channel 1 (Discord) did not accept it."
