"""Settings from the environment, the command, and what survives a restart."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from include.sandbox.setting_checks import SettingsError
from include.sandbox.settings import VARIABLES, SandboxSettings
from tests.sandbox_server import SandboxServer, asked, running_sandbox, until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
CLIENT = {"SANDBOX_CLIENT_KEY": "key", "SANDBOX_CLIENT_SECRET": "hidden-secret"}
COMMAND = [sys.executable, "-m", "include.sandbox"]


def environ(**variables: str) -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **variables}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (this interpreter, fixed arguments)
        [*COMMAND, *arguments],
        env=environ(**variables),
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )


@contextlib.contextmanager
def serving(**variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(  # noqa: S603 (this interpreter, fixed arguments)
        COMMAND,
        env=environ(**CLIENT, SANDBOX_PORT="0", **variables),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            yield process, line.split()[3]
        finally:
            process.kill()


def in_flight(url: str) -> int:
    stats = requests.get(f"{url}/admin/stats", timeout=60).json()
    return int(stats["endpoints"]["user_info"]["in_flight"])


def refresh_token(url: str) -> str:
    text = requests.get(f"{url}/admin/stores.csv?codes=S001", timeout=60).text
    return text.splitlines()[1].split(",")[6]


def test_defaults_of_the_environment() -> None:
    settings = SandboxSettings.from_env(CLIENT)
    assert (settings.host, settings.stores, settings.seed) == ("127.0.0.1", 300, 1)
    assert (settings.profile, settings.rate_limit, settings.token_regime) == ("default", 600, "2h")
    assert settings.business is None
    seconds = settings.latencies
    assert {name: seconds[name] for name in seconds if not name.startswith("business_")} == {
        "user_info": 3.0,
        "video_list": 1.0,
        "video_query": 1.0,
        "oauth_token": 0.2,
        "oauth_revoke": 0.2,
    }
    assert settings.state is None
    assert settings.date is None
    assert settings.faults is None
    assert not settings.nul_in_captions
    assert "hidden-secret" not in repr(settings)


def test_every_variable_is_read() -> None:
    settings = SandboxSettings.from_env(
        {
            **CLIENT,
            "SANDBOX_HOST": "::1",
            "SANDBOX_EXPOSED": "no",
            "SANDBOX_PORT": "9",
            "SANDBOX_STATE": "somewhere/state.db",
            "SANDBOX_STORES": "40",
            "SANDBOX_NEW_ACCOUNTS": "7",
            "SANDBOX_REDIRECT_URIS": "https://connect.example.com/callback",
            "SANDBOX_SEED": "5",
            "SANDBOX_LATENCY": "0.25",
            "SANDBOX_LATENCY_SPREAD": "0.8",
            "SANDBOX_PROFILE": "reference",
            "SANDBOX_RATE_LIMIT_PER_MINUTE": "77",
            "SANDBOX_TOKEN_REGIME": "24h",
            "SANDBOX_DATE": "2026-11-24",
            "SANDBOX_FAULTS": "storm",
            "SANDBOX_BUSINESS_APP_ID": "7364323437050855441",
            "SANDBOX_BUSINESS_SECRET": "hidden",
            "SANDBOX_BUSINESS_REDIRECT_URIS": "https://connect.example.com/business/callback/",
            "SANDBOX_BUSINESS_PENALTY_SECONDS": "3",
        }
    )
    assert settings.faults == "storm"
    assert settings.business is not None
    assert (settings.business.app_id, settings.business.secret) == ("7364323437050855441", "hidden")
    assert settings.business.redirect_uris == "https://connect.example.com/business/callback/"
    assert settings.business.penalty_seconds == 3
    assert (settings.host, settings.port, settings.stores, settings.seed) == ("::1", 9, 40, 5)
    assert settings.state == Path("somewhere/state.db")
    assert settings.new_accounts == 7
    assert settings.redirect_uris == "https://connect.example.com/callback"
    assert set(settings.latencies.values()) == {0.25}
    assert settings.latency_spread == 0.8
    assert (settings.profile, settings.rate_limit) == ("reference", 77)
    assert settings.token_regime == "24h"
    assert settings.today.isoformat() == "2026-11-24"
    assert len(VARIABLES) == 21


def test_a_container_may_listen_on_its_own_network() -> None:
    env = {**CLIENT, "SANDBOX_HOST": "0.0.0.0", "SANDBOX_EXPOSED": "yes"}  # noqa: S104 - allowed here
    assert SandboxSettings.from_env(env).exposed


@pytest.mark.parametrize(
    ("profile", "limit"), [("default", 600), ("reference", 0), ("reference-limited", 600)]
)
def test_profiles(profile: str, limit: int) -> None:
    settings = SandboxSettings.from_env({**CLIENT, "SANDBOX_PROFILE": profile})
    assert settings.rate_limit == limit
    assert (settings.latencies["user_info"], settings.latencies["video_list"]) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SANDBOX_CLIENT_KEY", ""),
        ("SANDBOX_CLIENT_SECRET", ""),
        ("SANDBOX_CLIENT_SECRET", "padded "),
        ("SANDBOX_HOST", "0.0.0.0"),  # noqa: S104 (must be refused)
        ("SANDBOX_HOST", "example.com"),
        ("SANDBOX_EXPOSED", "true"),
        ("SANDBOX_PORT", "70000"),
        ("SANDBOX_PORT", "http"),
        ("SANDBOX_STORES", "0"),
        ("SANDBOX_STORES", "1e3"),
        ("SANDBOX_SEED", "-1"),
        ("SANDBOX_LATENCY", "fast"),
        ("SANDBOX_LATENCY_SPREAD", "wide"),
        ("SANDBOX_LATENCY_SPREAD", "-0.1"),
        ("SANDBOX_LATENCY", "-0.1"),
        ("SANDBOX_LATENCY", "nan"),
        ("SANDBOX_PROFILE", "turbo"),
        ("SANDBOX_RATE_LIMIT_PER_MINUTE", "-5"),
        ("SANDBOX_TOKEN_REGIME", "12h"),
        ("SANDBOX_DATE", "tomorrow"),
        ("SANDBOX_DATE", "2025-12-31"),
        ("SANDBOX_FAULTS", "hurricane"),
    ],
)
def test_a_bad_variable_is_named_and_its_value_is_not_shown(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: ") as caught:
        SandboxSettings.from_env({**CLIENT, variable: value})
    assert "padded" not in str(caught.value)


def test_the_command_explains_itself() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert all(variable in result.stdout for variable, _, _ in VARIABLES)


def test_the_command_needs_its_client() -> None:
    result = run(SANDBOX_CLIENT_KEY="key")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "sandbox: SANDBOX_CLIENT_SECRET: is required and must not be empty"
    ]


def test_a_port_in_use_gives_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run(**CLIENT, SANDBOX_PORT=str(port))
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"sandbox: cannot listen on 127.0.0.1:{port}: Address already in use"
    ]


def test_sigterm_stops_it_soon_even_with_calls_in_flight() -> None:
    with serving(SANDBOX_LATENCY="30") as (process, url):
        csv_text = requests.get(f"{url}/admin/stores.csv?codes=S001", timeout=60).text
        token = csv_text.splitlines()[1].split(",")[4]
        with asked(f"{url}/v2/user/info/?fields=open_id", token=token):
            until(lambda: in_flight(url) == 1)
            process.send_signal(signal.SIGTERM)
            process.wait(20)  # the call has 30 s to go
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_ten_thousand_stores_start_quickly() -> None:
    began = time.monotonic()
    with running_sandbox(stores=10_000) as sandbox:
        assert time.monotonic() - began < 120
        row = sandbox.row("S9999")
        assert sandbox.user_info(row["access_token"]).status_code == 200
        assert len(sandbox.admin("GET", "/stores")) == 10_000


def test_tokens_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state.db"
    with running_sandbox(state=state, stores=4) as first:
        old = first.row("S001")
        new = first.refresh(old["refresh_token"]).json()
        code = first.admin("POST", "/stores/S002/code")["code"]
        used = first.admin("POST", "/stores/S002/code")["code"]
        first.oauth("authorization_code", code=used, redirect_uri="https://x/")
        first.admin("POST", "/stores/S003/grant", json={"revoke": True})
        dead = first.row("S003")
        first.admin("POST", "/stores/S004/grant", json={"scope": "user.info.basic"})
        secrets = first.admin("GET", "/secrets")
        rows = first.admin("GET", "/stores.csv")
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    with running_sandbox(state=state, stores=4, client_secret="another") as second:
        assert second.admin("GET", "/stores.csv") == rows
        assert second.user_info(new["access_token"]).status_code == 200
        assert second.user_info(old["access_token"]).status_code == 200
        assert second.refresh(old["refresh_token"]).json()["error"] == "invalid_grant"
        assert second.refresh(new["refresh_token"]).status_code == 200
        assert second.user_info(dead["access_token"]).status_code == 401
        assert second.row("S004")["scope"] == "user.info.basic"
        form = {"redirect_uri": "https://x/"}
        assert second.oauth("authorization_code", code=used, **form).status_code == 400
        assert second.oauth("authorization_code", code=code, **form).status_code == 200
        after = second.admin("GET", "/secrets")
        assert all(set(secrets[kind]) <= set(after[kind]) for kind in secrets)
        assert after["client_secrets"] == ["sandbox-client-secret", "another"]


def test_a_rotation_is_committed_before_its_answer(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    with serving(SANDBOX_STATE=state, SANDBOX_LATENCY="30") as (process, url):
        token = refresh_token(url)
        form = {
            "client_key": "key",
            "client_secret": "hidden-secret",
            "grant_type": "refresh_token",
            "refresh_token": token,
        }
        with asked(f"{url}/v2/oauth/token/", "POST", form=form):
            until(lambda: refresh_token(url) != token)
            process.kill()
            process.wait(60)
    with running_sandbox(state=Path(state), stores=300) as again:
        assert again.refresh(token).json()["error"] == "invalid_grant"
        assert again.row("S001")["refresh_token"] != token


def test_more_stores_later_get_their_grants(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with running_sandbox(state=state, stores=3) as first:
        before = first.admin("GET", "/stores.csv")
    with running_sandbox(state=state, stores=30) as second:
        after = second.admin("GET", "/stores.csv")
        assert after.startswith(before)
        assert len(after.splitlines()) == 31
        assert second.user_info(second.row("S030")["access_token"]).status_code == 200


def test_a_state_file_belongs_to_one_seed_and_one_process(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with running_sandbox(state=state, stores=3):
        result = run(**CLIENT, SANDBOX_STATE=str(state), SANDBOX_PORT="0")
        assert result.returncode == 2
        assert result.stderr.startswith("sandbox: SANDBOX_STATE: cannot be used")
        assert len(result.stderr.splitlines()) == 1
    with pytest.raises(SettingsError, match=r"^SANDBOX_SEED: "):
        SandboxServer(state=state, seed=2).start()
    (tmp_path / "text.db").write_text("this is not a database, whatever its name says " * 50)
    with pytest.raises(SettingsError, match=r"^SANDBOX_STATE: "):
        SandboxServer(state=tmp_path / "text.db").start()
