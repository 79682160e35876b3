"""Is every setting of the connect app read, and each bad one named without its value?"""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from include.connect.settings import DEFAULT_AUTHORIZE_URL, ConnectSettings
from include.tiktok_sync.business.models import BUSINESS_SCOPES
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.tiktok.models import KNOWN_SCOPES

ENV = {
    "CONNECT_BASE_URL": "https://connect.example.com/",
    "CONNECT_DB_URL": "postgresql://tiktok_connect:hidden@127.0.0.1/db",
    "CONNECT_SECRET": "qX3mZ8vK1nR5tY7wB2cD4fG6hJ9kL0pS",
    "CONNECT_RETAILER_NAME": "Nordlicht",
    "TIKTOK_CLIENT_KEY": "key",
    "TIKTOK_CLIENT_SECRET": "hidden",
    "TIKTOK_TOKEN_KEYS": Fernet.generate_key().decode(),
}


def test_the_least_that_is_needed() -> None:
    settings = ConnectSettings.from_env(ENV)
    assert settings.base_url == "https://connect.example.com"
    assert settings.redirect_uri == "https://connect.example.com/callback"
    assert (settings.port, settings.is_https) == (8092, True)
    assert settings.authorize_url == DEFAULT_AUTHORIZE_URL
    assert settings.scopes == KNOWN_SCOPES
    assert settings.api_url == "https://open.tiktokapis.com"
    assert "hidden" not in repr(settings)
    assert ENV["CONNECT_SECRET"] not in repr(settings)


@pytest.mark.parametrize("name", ENV)
def test_one_that_is_missing_is_named(name: str) -> None:
    for value in ("", "  "):
        with pytest.raises(ConfigurationError, match=name):
            ConnectSettings.from_env({**ENV, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECT_SECRET", "short"),
        ("CONNECT_SECRET", "a" * 64),
        ("CONNECT_SECRET", "change-me-please-0123456789-abcdefgh"),
        ("CONNECT_BASE_URL", "http://connect.example.com"),
        ("CONNECT_BASE_URL", "https://connect.example.com/path"),
        ("CONNECT_BASE_URL", "https://user@connect.example.com"),
        ("CONNECT_BASE_URL", "connect.example.com"),
        ("CONNECT_PORT", "http"),
        ("CONNECT_PORT", "70000"),
        ("TIKTOK_TOKEN_KEYS", "no-fernet-key"),
        ("CONNECT_SCOPES", "video.list"),
        ("CONNECT_SCOPES", "user.info.basic,video.publish"),
        ("CONNECT_BUSINESS_SCOPES", "user.insights"),
        ("CONNECT_BUSINESS_SCOPES", "user.info.basic,comment.list"),
    ],
)
def test_one_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        ConnectSettings.from_env({**ENV, name: value})
    if (
        name not in {"CONNECT_BASE_URL", "CONNECT_SCOPES", "CONNECT_BUSINESS_SCOPES"}
        and len(value) > 5
    ):
        assert value not in str(caught.value)


def test_without_tls_only_on_this_machine() -> None:
    settings = ConnectSettings.from_env({**ENV, "CONNECT_BASE_URL": "http://127.0.0.1:8092"})
    assert not settings.is_https


def test_the_second_api_is_off_until_both_parts_of_its_app_are_set() -> None:
    app = {"TIKTOK_BUSINESS_APP_ID": "7300", "TIKTOK_BUSINESS_SECRET": "hidden"}
    assert ConnectSettings.from_env(ENV).apis == ("display",)
    settings = ConnectSettings.from_env({**ENV, **app})
    assert settings.apis == ("display", "business")
    assert settings.business_redirect_uri == "https://connect.example.com/business/callback/"
    assert settings.wanted("business") == BUSINESS_SCOPES
    assert settings.wanted("display") == KNOWN_SCOPES
    assert "hidden" not in repr(settings)
    for name in app:
        with pytest.raises(ConfigurationError, match=f"{name} is not set"):
            ConnectSettings.from_env({**ENV, **app, name: ""})
