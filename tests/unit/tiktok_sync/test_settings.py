"""Are settings checked once with their names, days counted in the right zone, tokens sealed?"""

from __future__ import annotations

import base64
from datetime import date, datetime, timedelta, timezone
from typing import Annotated
from zoneinfo import ZoneInfo

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from include.tiktok_sync.app import TikTokApp
from include.tiktok_sync.days import SnapshotDay, next_month
from include.tiktok_sync.errors import ConfigurationError
from include.tiktok_sync.settings import EnvironmentSettings, Settings, variable
from include.tiktok_sync.tokens.scopes import split_scope, status_for_scope
from include.tiktok_sync.tokens.vault import TokenVault
from tests.unit.tiktok_sync.scripted import examples

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
KEYS = tuple(Fernet.generate_key().decode() for _ in range(2))


def test_an_empty_environment_has_the_defaults_of_the_contract() -> None:
    found = Settings.from_env({})
    assert (found.rate_limit_per_minute, found.min_success_rate) == (600, 0.9)
    assert (found.timezone.key, found.api_url) == ("UTC", "https://open.tiktokapis.com")
    assert found.token_keys == ()


def test_empty_values_count_as_unset() -> None:
    names = ("SYNC_TIMEZONE", "MIN_SUCCESS_RATE", "TIKTOK_API_URL", "TIKTOK_RATE_LIMIT_PER_MINUTE")
    assert Settings.from_env(dict.fromkeys(names, "")) == Settings.from_env({})


def test_every_variable_is_read() -> None:
    found = Settings.from_env(
        {
            "TIKTOK_TOKEN_KEYS": f" {KEYS[0]} ,{KEYS[1]},",
            "TIKTOK_RATE_LIMIT_PER_MINUTE": "0",
            "SYNC_TIMEZONE": "Europe/Berlin",
            "MIN_SUCCESS_RATE": "1",
            "TIKTOK_API_URL": "http://127.0.0.1:9/",
            "TIKTOK_CLIENT_KEY": "k",
            "TIKTOK_CLIENT_SECRET": "s",
            "STORE_DB_URL": "postgresql://x",
        }
    )
    assert found == Settings(
        token_keys=KEYS,
        rate_limit_per_minute=0,
        timezone=BERLIN,
        min_success_rate=1.0,
        api_url="http://127.0.0.1:9",
        client_key="k",
        client_secret="s",
        store_db_url="postgresql://x",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIKTOK_RATE_LIMIT_PER_MINUTE", "-1"),
        ("TIKTOK_RATE_LIMIT_PER_MINUTE", "6e2"),
        ("TIKTOK_RATE_LIMIT_PER_MINUTE", "many"),
        ("SYNC_TIMEZONE", "Berlin"),
        ("SYNC_TIMEZONE", "../../etc/passwd"),
        ("SYNC_TIMEZONE", "Europe"),
        ("MIN_SUCCESS_RATE", "90"),
        ("MIN_SUCCESS_RATE", "-0.1"),
        ("MIN_SUCCESS_RATE", "nan"),
        ("MIN_SUCCESS_RATE", "most"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        Settings.from_env({name: value})
    assert repr(value) in caught.value.message


def test_all_values_that_cannot_be_used_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({"MIN_SUCCESS_RATE": "90", "STORES_PER_TASK": "1_0", "X": "1"})
    assert caught.value.message == (
        "MIN_SUCCESS_RATE must be a number from 0 to 1, not '90'."
        " STORES_PER_TASK must be a whole number of 0 or more, not '1_0'."
    )


def test_secrets_are_in_no_message_traceback_or_repr() -> None:
    class Sealed(EnvironmentSettings):
        pin: Annotated[int, variable("PIN", "digits", secret=True)]

    with pytest.raises(ConfigurationError, match=r"^PIN must be digits\.$") as caught:
        Sealed.from_env({"PIN": "s3cret"})
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    secrets = ("TIKTOK_TOKEN_KEYS", "TIKTOK_CLIENT_SECRET", "STORE_DB_URL")
    assert "s3cret" not in repr(Settings.from_env(dict.fromkeys(secrets, "s3cret")))


def test_what_is_made_by_hand_looks_at_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORES_PER_TASK", "7")
    monkeypatch.setenv("api_url", "http://elsewhere")
    assert Settings.from_env().stores_per_task == 7
    assert Settings.from_env().api_url == "https://open.tiktokapis.com"
    assert Settings().stores_per_task is None
    with pytest.raises(ValidationError, match="frozen"):
        Settings().api_url = "http://elsewhere"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("store_db_url", "STORE_DB_URL"),
        ("client_key", "TIKTOK_CLIENT_KEY"),
        ("client_secret", "TIKTOK_CLIENT_SECRET"),
    ],
)
def test_what_is_required_and_empty_is_named_with_its_variable(field: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is not set"):
        Settings.from_env({}).required(field)
    assert Settings.from_env({name: "x"}).required(field) == "x"


def test_half_of_the_credentials_is_refused_and_none_is_shown() -> None:
    for key, secret, missing in (("", "s3cret", "key"), ("k", "", "secret")):
        with pytest.raises(ConfigurationError, match=f"client {missing} is not set") as caught:
            TikTokApp("http://x", key, secret)
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(TikTokApp("http://x", "k", "s3cret"))


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        ("2026-03-10T23:30:00+00:00", "UTC", date(2026, 3, 10)),
        ("2026-03-10T23:30:00+00:00", "Europe/Berlin", date(2026, 3, 11)),
        ("2026-03-11T03:59:59+00:00", "America/New_York", date(2026, 3, 10)),
        ("2026-03-11T04:00:00+00:00", "America/New_York", date(2026, 3, 11)),
        # The night in which Berlin's clocks go forward, and the one in which they go back.
        ("2026-03-28T22:59:59+00:00", "Europe/Berlin", date(2026, 3, 28)),
        ("2026-03-28T23:00:00+00:00", "Europe/Berlin", date(2026, 3, 29)),
        ("2026-03-29T22:00:00+00:00", "Europe/Berlin", date(2026, 3, 30)),
        ("2026-10-24T22:00:00+00:00", "Europe/Berlin", date(2026, 10, 25)),
        ("2026-10-25T22:59:59+00:00", "Europe/Berlin", date(2026, 10, 25)),
        ("2026-10-25T23:00:00+00:00", "Europe/Berlin", date(2026, 10, 26)),
        ("2026-03-10T00:30:00+09:00", "UTC", date(2026, 3, 9)),
        ("2026-03-09T10:00:00+00:00", "Pacific/Kiritimati", date(2026, 3, 10)),
    ],
)
def test_the_day_of_a_moment_is_the_syncs_zones(moment: str, zone: str, day: date) -> None:
    observed = datetime.fromisoformat(moment)
    found = SnapshotDay.of(observed, ZoneInfo(zone))
    assert found.date == day
    assert not found.is_late(observed)
    assert SnapshotDay(day - timedelta(days=1), ZoneInfo(zone)).is_late(observed)
    assert not SnapshotDay(day + timedelta(days=1), ZoneInfo(zone)).is_late(observed)


@examples
@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)))  # noqa: DTZ001 - the test adds the zone
def test_an_observation_is_late_exactly_from_the_next_midnight_on(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    day = SnapshotDay.of(moment, BERLIN)
    midnight = datetime.combine(day.date + timedelta(days=1), datetime.min.time(), BERLIN)
    assert day.is_late(midnight)
    assert not day.is_late(midnight.astimezone(UTC) - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("day", "found"),
    [
        (date(2027, 1, 1), date(2027, 2, 1)),
        (date(2027, 1, 31), date(2027, 2, 1)),  # not March, 31 days later
        (date(2028, 2, 29), date(2028, 3, 1)),
        (date(2026, 12, 31), date(2027, 1, 1)),
    ],
)
def test_the_month_that_follows_is_left_out_by_no_short_one(day: date, found: date) -> None:
    assert next_month(day) == found


def test_a_vault_without_a_key_or_with_a_wrong_one_refuses_to_start() -> None:
    with pytest.raises(ConfigurationError, match="TIKTOK_TOKEN_KEYS is empty"):
        TokenVault(())
    for key in ("short", KEYS[0][:-1], "ä" * 44):
        with pytest.raises(ConfigurationError, match="TIKTOK_TOKEN_KEYS") as caught:
            TokenVault((KEYS[0], key))
        assert key not in str(caught.value)


@examples
@given(token=st.text(), store=st.text())
def test_what_is_sealed_opens_for_its_store_and_kind(token: str, store: str) -> None:
    vault = TokenVault(KEYS)
    sealed = vault.encrypt(token, store_code=store, kind="access")
    assert vault.decrypt(memoryview(sealed).tobytes(), store_code=store, kind="access") == token
    for other_store, kind in ((f"{store}x", "access"), (store, "refresh")):
        with pytest.raises(ConfigurationError):
            vault.decrypt(sealed, store_code=other_store, kind=kind)  # type: ignore[arg-type]  # both are kinds


def test_a_ciphertext_shows_nothing_and_differs_each_time() -> None:
    vault = TokenVault(KEYS[:1])
    # Long enough that chance does not spell them in base64.
    store, token = "a-store-with-a-long-code", "act.a-long-secret"
    sealed = {vault.encrypt(token, store_code=store, kind="access") for _ in range(2)}
    assert len(sealed) == 2
    assert not any(
        word.encode() in shown
        for value in sealed
        for shown in (value, base64.urlsafe_b64decode(value))
        for word in (store, token)
    )
    broken = bytearray(sealed.pop())
    broken[-5] ^= 1
    with pytest.raises(ConfigurationError, match="cannot be decrypted") as caught:
        vault.decrypt(bytes(broken), store_code=store, kind="access")
    assert KEYS[0] not in str(caught.value)


def test_the_first_key_encrypts_and_each_decrypts() -> None:
    old, new = (TokenVault((key,)) for key in KEYS)
    both = TokenVault((KEYS[1], KEYS[0]))
    sealed = old.encrypt("t", store_code="S", kind="refresh")
    assert both.decrypt(sealed, store_code="S", kind="refresh") == "t"
    sealed = both.encrypt("t", store_code="S", kind="refresh")
    assert new.decrypt(sealed, store_code="S", kind="refresh") == "t"
    with pytest.raises(ConfigurationError, match="refresh token of store S cannot be decrypted"):
        old.decrypt(sealed, store_code="S", kind="refresh")


def test_scopes_are_split_and_judged() -> None:
    everything = "user.info.basic,user.info.profile user.info.stats , video.list"
    assert len(split_scope(everything)) == 4
    assert split_scope(" , ") == frozenset()
    assert status_for_scope(everything) == "active"
    assert status_for_scope(f"{everything},video.publish") == "active"
    assert status_for_scope("user.info.basic,user.info.profile,video.list") == "missing_scope"
