"""Variables are checked once, with errors that name the variable and what it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from include.local.errors import ConfigError
from include.local.settings import FAULTS
from include.sandbox.settings import FAULT_SCENARIOS

if TYPE_CHECKING:
    from tests.unit.local.conftest import Bench

REAL_TIKTOK = {
    "TIKTOK_API_URL": "https://open.example.com",
    "TIKTOK_CLIENT_KEY": "key",
    "TIKTOK_CLIENT_SECRET": "secret",
}


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("STORES", "many", "whole number from 0"),
        ("STORES", "-1", "whole number from 0"),
        ("SYNC_CONCURRENCY", "0", "whole number from 1"),
        ("VIDEO_SYNC_CONCURRENCY", "1.5", "whole number from 1"),
        ("AIRFLOW_PORT", "99999", "to 65535"),
        ("SYNC_TIMEOUT_MINUTES", "0", "whole number from 1"),
        ("SANDBOX_PROFILE", "fast", "default, reference, reference-limited"),
        ("SANDBOX_LATENCY", "-1", "from 0 to 60"),
        ("SANDBOX_LATENCY", "nan", "from 0 to 60"),
        ("SANDBOX_LATENCY_SPREAD", "wide", "a number, from 0 to 2"),
        ("SANDBOX_LATENCY_SPREAD", "2.5", "a number, from 0 to 2"),
        ("FAULTS", "hurricane", "one of: storm"),
    ],
)
def test_bad_values_are_named(bench: Bench, variable: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        bench.settings({variable: value})
    assert str(caught.value).startswith(f"{variable} must be ")
    assert repr(value) in str(caught.value)


def test_an_emptied_key_is_named_with_the_next_step(bench: Bench) -> None:
    bench.workspace.env_file.write_text("TIKTOK_TOKEN_KEYS=\n")

    with pytest.raises(ConfigError, match=r"TIKTOK_TOKEN_KEYS is empty in \.env.*delete the line"):
        bench.settings()


def test_the_sandbox_knows_every_scenario(bench: Bench) -> None:
    assert FAULTS == FAULT_SCENARIOS
    assert bench.settings().faults is None
    assert bench.settings({"FAULTS": ""}).faults is None
    assert [bench.settings({"FAULTS": name}).faults for name in FAULTS] == list(FAULTS)


def test_a_real_tiktok_cannot_be_made_to_fail(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="FAULTS=storm makes the local TikTok fail"):
        bench.settings({**REAL_TIKTOK, "FAULTS": "storm"})


def test_pools_stay_below_what_hangs_the_local_executor(bench: Bench) -> None:
    most = bench.settings({"SYNC_CONCURRENCY": "70", "VIDEO_SYNC_CONCURRENCY": "50"})
    assert (most.users_pool, most.videos_pool) == (70, 50)

    with pytest.raises(ConfigError, match=r"are 121 stores at once; .* can hang above 120"):
        bench.settings({"SYNC_CONCURRENCY": "70", "VIDEO_SYNC_CONCURRENCY": "51"})


def test_no_stores_is_a_choice(bench: Bench) -> None:
    assert bench.settings({"STORES": "0"}).stores == 0
    assert bench.settings().stores == 300


def test_sandbox_is_the_default_tiktok(bench: Bench) -> None:
    settings = bench.settings()

    assert settings.uses_sandbox
    assert settings.tiktok == {
        "TIKTOK_API_URL": settings.sandbox_url,
        "TIKTOK_CLIENT_KEY": settings.env["SANDBOX_CLIENT_KEY"],
        "TIKTOK_CLIENT_SECRET": settings.env["SANDBOX_CLIENT_SECRET"],
    }


@pytest.mark.parametrize(
    ("environ", "limit"),
    [
        ({"SANDBOX_PROFILE": "reference"}, "0"),
        ({"SANDBOX_PROFILE": "reference-limited"}, None),
        ({}, None),
        ({"SANDBOX_PROFILE": "reference", "TIKTOK_RATE_LIMIT_PER_MINUTE": "50"}, "50"),
    ],
)
def test_the_reference_profile_lifts_the_limit_of_the_client(
    bench: Bench, environ: dict[str, str], limit: str | None
) -> None:
    assert bench.settings(environ).tiktok.get("TIKTOK_RATE_LIMIT_PER_MINUTE") == limit


def test_a_real_tiktok_replaces_the_sandbox(bench: Bench) -> None:
    settings = bench.settings(REAL_TIKTOK)

    assert not settings.uses_sandbox
    assert settings.tiktok == REAL_TIKTOK


@pytest.mark.parametrize("missing", ["TIKTOK_CLIENT_KEY", "TIKTOK_CLIENT_SECRET"])
def test_a_real_tiktok_needs_key_and_secret(bench: Bench, missing: str) -> None:
    environ = {name: value for name, value in REAL_TIKTOK.items() if name != missing}

    with pytest.raises(ConfigError, match=f"TIKTOK_API_URL is set, but {missing} is not"):
        bench.settings(environ)


def test_passwords_are_quoted_in_urls(bench: Bench) -> None:
    settings = bench.settings({"STORE_DB_PASSWORD": "p@ss/w:rd%"})

    assert "tiktok_sync:p%40ss%2Fw%3Ard%25@127.0.0.1" in settings.store_db_url


def test_secrets_are_not_in_its_repr(bench: Bench) -> None:
    settings = bench.settings()

    assert settings.env["POSTGRES_PASSWORD"] not in repr(settings)
