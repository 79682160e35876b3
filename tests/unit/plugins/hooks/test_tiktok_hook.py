"""TikTokHook: what an Airflow connection becomes, and the message when it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.tiktok.http import Timeouts
from tests.sandbox_server import SandboxServer
from tests.unit.plugins.conftest import Connect
from tiktok_airflow.hooks.tiktok_hook import TikTokHook

SECRET = "s3cr3t/with:odd@signs"


@pytest.fixture(autouse=True)
def _complete(connect: Connect) -> None:
    connect(
        "tiktok_default",
        conn_type="http",
        host="https://open.tiktokapis.com/",
        login="key",
        password=SECRET,
    )


def test_connection_as_json() -> None:
    app = TikTokHook().app()

    assert app.api_url == "https://open.tiktokapis.com"
    assert (app.client_key, app.client_secret) == ("key", SECRET)
    assert app.timeouts == Timeouts()


def test_connection_as_uri(connect: Connect) -> None:
    connect(
        "tiktok_default",
        "http://key:s3cr3t%2Fwith%3Aodd%40signs@https%3A%2F%2Fexample.test%3A8443"
        "/?connect_timeout_s=2&read_timeout_s=7.5",
    )

    app = TikTokHook().app()

    assert app.api_url == "https://example.test:8443"
    assert (app.client_key, app.client_secret) == ("key", SECRET)
    assert app.timeouts == Timeouts(connect_s=2.0, read_s=7.5)


@pytest.mark.parametrize(
    ("address", "api_url"),
    [
        ({}, "https://open.tiktokapis.com"),
        ({"host": "open.tiktokapis.com"}, "https://open.tiktokapis.com"),
        ({"host": "example.test", "port": 8443}, "https://example.test:8443"),
        ({"host": "example.test", "schema": "https"}, "https://example.test"),
        ({"host": "127.0.0.1", "schema": "http", "port": 9}, "http://127.0.0.1:9"),
        ({"host": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
    ],
)
def test_the_secret_goes_unencrypted_only_where_the_connection_says_http(
    connect: Connect, address: dict[str, Any], api_url: str
) -> None:
    connect("tiktok_default", conn_type="http", login="key", password=SECRET, **address)

    assert TikTokHook().app().api_url == api_url


def test_another_connection_by_its_id(connect: Connect) -> None:
    connect("tiktok_two", conn_type="http", host="https://two.test", login="k2", password="s2")

    assert TikTokHook("tiktok_two").app().client_key == "k2"


def test_timeouts_from_the_extras(connect: Connect) -> None:
    connect(
        "tiktok_default",
        conn_type="http",
        login="key",
        password=SECRET,
        extra={"connect_timeout_s": 1, "read_timeout_s": 12.5},
    )

    assert TikTokHook().app().timeouts == Timeouts(connect_s=1.0, read_s=12.5)


@pytest.mark.parametrize("seconds", ["soon", None, [], 0, -1, "nan", "inf"])
def test_a_timeout_that_is_none_is_named(connect: Connect, seconds: object) -> None:
    connect(
        "tiktok_default",
        conn_type="http",
        login="key",
        password=SECRET,
        extra={"read_timeout_s": seconds},
    )

    with pytest.raises(ConfigurationError) as caught:
        TikTokHook().app()

    assert str(caught.value) == (
        "The extra read_timeout_s of the connection tiktok_default must be a number of seconds"
        " above 0."
    )


def test_unknown_extras_are_named_with_the_known_ones(connect: Connect) -> None:
    connect(
        "tiktok_default",
        conn_type="http",
        login="key",
        password=SECRET,
        extra={"timeout": 3, "Authorization": SECRET, "read_timeout_s": 1},
    )

    with pytest.raises(ConfigurationError) as caught:
        TikTokHook().app()

    assert str(caught.value) == (
        "The connection tiktok_default has unknown extras: Authorization, timeout."
        " Known are connect_timeout_s, read_timeout_s."
    )


def test_missing_connection_says_how_to_make_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        TikTokHook("tiktok_nowhere").app()

    assert "tiktok_nowhere does not exist" in str(caught.value)
    assert "python plugins/load_airflow_settings.py" in str(caught.value)


@pytest.mark.parametrize(("missing", "name"), [("login", "key"), ("password", "secret")])
def test_missing_credential_says_where_it_belongs(
    connect: Connect, missing: str, name: str
) -> None:
    fields = {"login": "key", "password": SECRET}
    del fields[missing]
    connect("tiktok_default", conn_type="http", **fields)

    with pytest.raises(ConfigurationError) as caught:
        TikTokHook().app()

    message = str(caught.value)
    assert message.startswith(f"The TikTok app's client {name} is not set.")
    assert "tiktok_default" in message
    assert f"TIKTOK_CLIENT_{name.upper()}" in message
    assert SECRET not in message


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(TikTokHook().app())


def test_connection_test_passes_with_the_right_secret(
    connect: Connect, sandbox: SandboxServer
) -> None:
    connect(
        "tiktok_default",
        conn_type="http",
        host=sandbox.url,
        login=sandbox.client_key,
        password=sandbox.client_secret,
    )

    assert TikTokHook().test_connection() == (
        True,
        "TikTok accepts the client key and secret.",
    )


def test_connection_test_fails_with_a_wrong_secret(
    connect: Connect, sandbox: SandboxServer
) -> None:
    connect(
        "tiktok_default",
        conn_type="http",
        host=sandbox.url,
        login=sandbox.client_key,
        password=SECRET,
    )

    passed, message = TikTokHook().test_connection()

    assert not passed
    assert "secret" in message
    assert SECRET not in message


def test_connection_test_fails_where_nobody_listens(connect: Connect) -> None:
    connect(
        "tiktok_default",
        conn_type="http",
        host="http://127.0.0.1:1",
        login="key",
        password=SECRET,
    )

    passed, message = TikTokHook().test_connection()

    assert not passed
    assert "http://127.0.0.1:1 cannot be reached" in message


def test_connection_test_explains_what_is_missing(connect: Connect) -> None:
    connect("tiktok_default", conn_type="http", login="key")

    passed, message = TikTokHook().test_connection()

    assert not passed
    assert "client secret is not set" in message
