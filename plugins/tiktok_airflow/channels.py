"""How does a message reach people? Through the Apprise URLs of an Airflow connection.

The URLs hold secrets: no log line, no row and no error shows them.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from include.tiktok_sync.alerts.message import LEAST_ROOM, Message

SEND_SECONDS = 40
"""Time for all channels together, including retries: a callback in the Dag processor is killed
after 50 s (``dag_file_processor_timeout``). The next run sends what was cut off."""

TRIES_AGAIN = 2
WAIT_SECONDS = 5.0
"""Between two tries of a channel that did not accept the message."""

_AROUND_TITLE = 24
"""Characters that Apprise adds around a title that becomes part of the body."""


@dataclass(frozen=True)
class Delivery:
    """How the delivery of a message ended.

    Attributes:
        taken: Channels that accepted it.
        error: Names the channels that did not; ``None`` = all did, or there is none.
    """

    taken: int
    error: str | None = None


def deliver(message: Message, connection: str) -> Delivery:
    """Send a message to every channel of an Airflow connection; never raises."""
    try:
        channels = _channels(connection)
        if not channels:
            return Delivery(0)
        with _silent():
            results = _send_to_all(channels, message)
    except Exception as error:  # noqa: BLE001 - a channel must fail no run; the text may hold its URL
        return Delivery(
            0, f"The channels of {connection} could not be used: {type(error).__name__}."
        )
    failures = [failure for failure in results if failure]
    return Delivery(
        len(results) - len(failures),
        f"Of {connection}: {'; '.join(failures)}." if failures else None,
    )


def _send_to_all(channels: Sequence[tuple[str, str | None]], message: Message) -> list[str | None]:
    """Send to every channel at once; each one's error, ``None`` = it accepted the whole message."""
    # Heavy, and only needed by a run with an alert.
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - see above

    ends = time.monotonic() + SEND_SECONDS
    asset = AppriseAsset(default_service_retry=TRIES_AGAIN, default_service_wait=WAIT_SECONDS)

    def send_to(number: int, url: str, tag: str | None) -> str | None:
        apprise = Apprise(asset=asset)
        if not apprise.add(url, tag=tag):
            return f"channel {number} is not an Apprise URL"
        plugin = apprise[0]
        try:
            taken = _send_parts(apprise, plugin, url, message, ends)
        except Exception as error:  # noqa: BLE001 - it must not hide the results of the others
            return f"channel {number} ({plugin.service_name}) failed: {type(error).__name__}"
        return None if taken else f"channel {number} ({plugin.service_name}) did not accept it"

    with ThreadPoolExecutor(len(channels)) as pool:
        tries = [
            pool.submit(send_to, number, *channel) for number, channel in enumerate(channels, 1)
        ]
        return [one.result() for one in tries]


def _send_parts(apprise: Any, plugin: Any, url: str, message: Message, ends: float) -> bool:
    """Send the message in parts that fit the service, one by one."""
    from apprise import NotifyFormat, OverflowMode  # noqa: PLC0415 - see _send_to_all

    if "overflow=" not in url:  # if a part is longer than expected after all, nothing is lost
        plugin.overflow_mode = OverflowMode.SPLIT
    for part in _parts_for(plugin, message):
        seconds = ends - time.monotonic()
        # As text, so that Apprise escapes what the service would read as markup.
        if seconds <= 0 or not apprise.notify(
            part.body, title=part.title, body_format=NotifyFormat.TEXT, timeout=seconds
        ):
            return False
    return True


def _parts_for(plugin: Any, message: Message) -> list[Message]:
    """The message in parts within the limits that Apprise knows of the service, markup included."""
    from apprise import NotifyFormat  # noqa: PLC0415 - see _send_to_all
    from apprise.conversion import convert_between  # noqa: PLC0415 - likewise

    convert: Any = convert_between  # has no types
    form = plugin.resolve_format(NotifyFormat.TEXT)
    counts_title = plugin.title_maxlen <= 0 or plugin.overflow_amalgamate_title

    def size(part: Message) -> int:
        texts = [part.body, part.title] if counts_title else [part.body]
        length = _AROUND_TITLE if counts_title else 0
        for text in texts:
            length += len(convert(NotifyFormat.TEXT, form, text))
        return length

    most = room = int(plugin.body_maxlen)
    parts = message.parts(room, lines=plugin.body_max_line_count)
    while max(map(size, parts)) > most and room > LEAST_ROOM:
        room = room * 9 // 10
        parts = message.parts(room, lines=plugin.body_max_line_count)
    return parts


def _channels(connection: str) -> list[tuple[str, str | None]]:
    try:
        found = BaseHook.get_connection(connection)
    except AirflowNotFoundException:
        return []
    config = found.extra_dejson.get("config") or []
    if isinstance(config, str):  # the UI's field holds JSON as text
        config = json.loads(config)
    entries = [config] if isinstance(config, dict) else config
    for entry in entries:
        mask_secret(entry["path"])
    return [(entry["path"], entry.get("tag")) for entry in entries]


@contextmanager
def _silent() -> Iterator[None]:
    # Apprise logs a URL that it does not understand, secrets included.
    logger = logging.getLogger("apprise")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
