"""Are the assets named by a setting that holds no secret, in the form that lineage tools read?"""

from __future__ import annotations

import pytest
from airflow.providers.postgres.assets.postgres import create_asset

from include.tiktok_sync.errors import ConfigurationError
from tiktok_airflow.assets import database_uri, outlets, table


@pytest.mark.parametrize(
    ("setting", "uri"),
    [
        ("", "postgres://store-db:5432/tiktok_sync"),
        ("postgres://db.example.com/figures", "postgres://db.example.com:5432/figures"),
        ("postgresql://db.example.com:6000/figures/", "postgres://db.example.com:6000/figures"),
        ("postgres://[::1]:5433/figures", "postgres://[::1]:5433/figures"),
    ],
)
def test_the_setting_names_the_database(
    monkeypatch: pytest.MonkeyPatch, setting: str, uri: str
) -> None:
    monkeypatch.setenv("STORE_DB_ASSET_URI", setting)

    assert database_uri() == uri
    assert table("videos").uri == f"{uri}/public/videos"  # Airflow changes nothing about it


@pytest.mark.parametrize(
    "setting",
    [
        "postgres://user:hunter2@db/figures",
        "postgres://user@db/figures",
        "postgres://db/figures?password=hunter2",
        "postgres://db",
        "postgres://db/figures/public",
        "host=db dbname=figures password=hunter2",
        "mysql://db/figures",
    ],
)
def test_another_form_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("STORE_DB_ASSET_URI", setting)

    with pytest.raises(ConfigurationError, match="STORE_DB_ASSET_URI must be") as caught:
        outlets("videos")

    assert "hunter2" not in str(caught.value)


def test_the_postgres_provider_makes_the_same_asset() -> None:
    asset = table("videos")

    same = create_asset(host="store-db", database="tiktok_sync", schema="public", table="videos")

    assert (asset.name, asset.uri) == (same.name, same.uri)
