"""BusinessHook: what the connection of the Accounts API becomes."""

from __future__ import annotations

import pytest

from include.tiktok_sync.app import BusinessApp
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.settings import DEFAULT_BUSINESS_URL
from tests.unit.plugins.conftest import Connect
from tiktok_airflow.hooks.business_hook import BusinessHook


def test_the_connection_is_the_app(connect: Connect) -> None:
    connect("tiktok_business", conn_type="http", login="73000", password="s3cret")

    app = BusinessHook().app()

    assert isinstance(app, BusinessApp)
    assert (app.url, app.app_id, app.secret) == (DEFAULT_BUSINESS_URL, "73000", "s3cret")
    assert "s3cret" not in repr(app)


def test_half_of_the_credentials_is_refused_by_name(connect: Connect) -> None:
    connect("tiktok_business", conn_type="http", login="73000")
    with pytest.raises(ConfigurationError, match=r"secret of the .* is not set.*tiktok_business"):
        BusinessHook().app()
    connected, said = BusinessHook().test_connection()
    assert (connected, "TIKTOK_BUSINESS_SECRET" in said) == (False, True)
