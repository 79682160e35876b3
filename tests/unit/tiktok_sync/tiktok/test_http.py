"""Does one exchange end in an answer or in our error, and never in a leak?"""

from __future__ import annotations

import socket
import traceback
from datetime import datetime, timezone
from pathlib import Path

import pytest

from include.tiktok_sync.errors import MAX_RETRY_AFTER_S, TikTokUnavailableError
from include.tiktok_sync.tiktok import http as http_module
from include.tiktok_sync.tiktok.http import (
    BearerAuth,
    HttpTransport,
    NoAnswerInTimeError,
    Timeouts,
)
from tests.unit.tiktok_sync.scripted import Reply, ScriptedServer

TOKEN = "act.very-secret*0!1.va"
QUERY = "query-secret"


def test_a_json_object_comes_back_with_status_and_time(
    server: ScriptedServer, http: HttpTransport
) -> None:
    server.replies = [Reply(418, {"a": "ä"}, {"Retry-After": "7"})]
    before = datetime.now(timezone.utc)
    answer = http.send("POST", "/p/", token=TOKEN, params={"fields": "a,b"}, json_body={"x": 1})
    assert (answer.status, answer.body, answer.retry_after_s) == (418, {"a": "ä"}, 7.0)
    assert before <= answer.observed_at <= datetime.now(timezone.utc)
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/p/?fields=a%2Cb")
    assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
    assert (seen.body, seen.headers["Content-Type"]) == (b'{"x": 1}', "application/json")


def test_a_form_is_sent_as_tiktok_wants_it(server: ScriptedServer, http: HttpTransport) -> None:
    server.replies = [Reply(200, {})]
    http.send("POST", "/t/", form={"refresh_token": "rft.a*0!1.va"})
    (seen,) = server.seen
    assert seen.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert seen.body == b"refresh_token=rft.a%2A0%211.va"
    assert "Authorization" not in seen.headers


@pytest.mark.parametrize(
    "body",
    [b"", b"<h1>502</h1>", b"[1]", b'"ok"', b"null", b'{"a":', b"\xff\xfe", b"[" * 200_000],
)
def test_a_body_that_is_no_json_object_is_none(
    server: ScriptedServer, http: HttpTransport, body: bytes
) -> None:
    server.replies = [Reply(200, body)]
    assert http.send("GET", "/").body is None


AT_TIKTOK = "Wed, 21 Oct 2026 07:28:00 GMT"
"""Its clock need not be ours."""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *dict.fromkeys(("soon", "-1", "", "nan", "inf", "1e3", "0x10", "²"), None).items(),
        ("0", None),
        ("7", 7.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("86400", MAX_RETRY_AFTER_S),
        ("9" * 400, MAX_RETRY_AFTER_S),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wednesday, 21-Oct-26 07:28:30 GMT", 30.0),
        ("Wed Oct 21 07:28:30 2026", 30.0),
        ("Wed, 21 Oct 2026 07:27:59 GMT", None),
        ("Thu, 22 Oct 2026 07:28:00 GMT", MAX_RETRY_AFTER_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        ("Wed, 21 Oct 99999 07:28:30 GMT", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_by_its_senders_clock_and_never_long(
    server: ScriptedServer, http: HttpTransport, value: str, seconds: float | None
) -> None:
    server.replies = [Reply(429, {}, {"Retry-After": value, "Date": AT_TIKTOK})]
    assert http.send("GET", "/").retry_after_s == seconds


def test_an_answer_over_the_size_cap_is_refused(
    server: ScriptedServer, http: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "MAX_BODY_BYTES", 100_000)
    server.replies = [Reply(200, b'"%s"' % (b"x" * 200_000)), Reply(200, {"a": 1})]
    with pytest.raises(TikTokUnavailableError, match="larger than 100000 bytes"):
        http.send("GET", "/")
    assert http.send("GET", "/").body == {"a": 1}  # the session goes on with a new connection


def test_redirects_are_not_followed(server: ScriptedServer, http: HttpTransport) -> None:
    server.replies = [Reply(302, {}, {"Location": f"{server.url}/elsewhere"})]
    assert http.send("GET", "/", token=TOKEN).status == 302
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("refused", "refused or broke"),
        ("cut-short", "cut short"),
        ("silent", "stayed silent"),
        ("unresolved", "refused or broke"),
    ],
)
def test_no_whole_answer_is_unavailable_and_leaks_nothing(
    server: ScriptedServer, name: str, words: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = {
            "refused": f"http://127.0.0.1:{unused.getsockname()[1]}",
            "unresolved": "http://tiktok.invalid",
        }.get(name, server.url)
        server.replies = [
            Reply(200, b'{"a"', claimed_length=500)
            if name == "cut-short"
            else Reply(200, {}, delay=20)
        ]
        read_s = 0.3 if name == "silent" else 60
        http = HttpTransport(url, Timeouts(connect_s=60, read_s=read_s))
        try:
            with pytest.raises(TikTokUnavailableError, match=words) as caught:
                http.send("GET", "/p/", token=TOKEN, params={"q": QUERY})
        finally:
            http.close()
    shown = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in shown
    assert QUERY not in shown
    assert f"TikTok at {url} cannot" in str(caught.value)
    assert (caught.value.detail or "").startswith("GET /p/: ")
    assert caught.value.__suppress_context__


def test_a_netrc_does_not_replace_the_token(
    server: ScriptedServer, http: HttpTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.replies = [Reply(200, {})]
    http.send("GET", "/", token=TOKEN)
    assert server.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", ["act.\u00fc\u2028", "act.\u4e2d"])
def test_a_token_that_is_no_header_text_is_sent_for_tiktok_to_refuse(
    server: ScriptedServer, http: HttpTransport, token: str
) -> None:
    server.replies = [Reply(401, {})]
    assert http.send("GET", "/", token=token).status == 401
    sent = server.seen[0].headers["Authorization"]
    assert sent.encode("latin-1") == f"Bearer {token}".encode()


def test_nothing_that_is_printed_shows_a_token(server: ScriptedServer, http: HttpTransport) -> None:
    server.replies = [Reply(200, {"access_token": TOKEN})]
    answer = http.send("GET", "/", token=TOKEN)
    for shown in (repr(answer), repr(http), repr(BearerAuth(TOKEN)), str(vars(http))):
        assert TOKEN not in shown


def test_one_connection_serves_all_calls(server: ScriptedServer, http: HttpTransport) -> None:
    server.replies = [Reply(200, {})]
    for _ in range(3):
        http.send("GET", "/")
    assert len(server.seen) == 3
    assert len({seen.client_port for seen in server.seen}) == 1


def test_patience_grows_with_the_attempt_is_remembered_and_has_an_end(
    server: ScriptedServer,
) -> None:
    http = HttpTransport(server.url, Timeouts(connect_s=60, read_s=0.2, longest_s=0.8))
    try:
        server.replies = [Reply(200, {}, delay=20)]
        found: list[tuple[str, bool]] = []
        for _ in range(4):
            with pytest.raises(NoAnswerInTimeError) as caught:
                http.send("GET", "/p/", within_s=60)
            waited = (caught.value.detail or "").removeprefix(
                "GET /p/: nothing, or not all of it, in "
            )
            found.append((waited, caught.value.is_last))
        assert found == [("0.2 s", False), ("0.4 s", False), ("0.8 s", True), ("0.8 s", True)]
        with pytest.raises(NoAnswerInTimeError, match="stayed silent") as caught:
            http.send("GET", "/p/", within_s=0.3)  # never more than there is time
        assert (caught.value.detail or "").endswith("in 0.3 s")
        with pytest.raises(NoAnswerInTimeError) as caught:
            http.send("GET", "/p/")  # a call that may not be patient
        assert (caught.value.detail or "").endswith("in 0.2 s")
    finally:
        http.close()


@pytest.mark.parametrize("name", ["X-Long", "\r\n".join(f"X-{n}: 1" for n in range(40))])
def test_a_header_in_drops_ends_too(server: ScriptedServer, name: str) -> None:
    server.replies = [Reply(200, {}, {name: "x" * 200}, header_drop_s=0.05), Reply(200, {"a": 1})]
    http = HttpTransport(server.url, Timeouts(connect_s=60, read_s=0.5))
    try:
        with pytest.raises(NoAnswerInTimeError, match="stayed silent"):
            http.send("GET", "/")
        assert server.drops < 100
        assert http.send("GET", "/").body == {"a": 1}  # by a new connection
    finally:
        http.close()


def test_a_proxys_header_in_drops_ends_too(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", server.url)
    server.replies = [Reply(200, {}, {"X-Long": "x" * 200}, header_drop_s=0.05)]
    http = HttpTransport("https://tiktok.invalid", Timeouts(connect_s=0.5, read_s=0.5))
    try:
        with pytest.raises(TikTokUnavailableError):
            http.send("GET", "/")
    finally:
        http.close()
    assert [call.method for call in server.seen] == ["CONNECT"]
    assert server.drops < 100


def test_an_answer_in_drops_ends_too(server: ScriptedServer) -> None:
    # Each drop comes within the time of a read; all of them together do not.
    server.replies = [Reply(200, b'{"a": "%s"}' % (b"x" * 200), drop_s=0.1)]
    http = HttpTransport(server.url, Timeouts(connect_s=60, read_s=0.5))
    try:
        with pytest.raises(NoAnswerInTimeError):
            http.send("GET", "/")
    finally:
        http.close()
    assert server.drops < 100
