"""The `/admin` endpoints: what they show and what they change."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import TYPE_CHECKING, Any

import pytest
import requests

from include.sandbox.endpoints.display import USER_FIELDS, VIDEO_FIELDS
from tests.sandbox_server import running_sandbox

if TYPE_CHECKING:
    from tests.sandbox_server import SandboxServer

SIGNED = {"avatar_url", "avatar_url_100", "avatar_large_url", "cover_image_url"}
HEADER = (
    "store_code,store_name,region,open_id,access_token,access_expires_at,"
    "refresh_token,refresh_expires_at,scope"
)


def refusal(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


def test_health_and_stores(shared: SandboxServer) -> None:
    assert shared.admin("GET", "/health") == {"status": "ok", "stores": 20, "profile": "default"}
    stores = shared.admin("GET", "/stores")
    assert [store["store_code"] for store in stores] == [f"S{n:03d}" for n in range(1, 21)]
    keys = {"store_code", "store_name", "region", "open_id", "scope", "video_count"}
    assert all(set(store) == keys for store in stores)


def test_the_csv_has_exactly_the_import_header(shared: SandboxServer) -> None:
    text = shared.admin("GET", "/stores.csv")
    assert text.splitlines()[0] == HEADER
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 20
    for row in rows:
        for name in ("access_expires_at", "refresh_expires_at"):
            moment = dt.datetime.fromisoformat(row[name])
            assert moment.utcoffset() == dt.timedelta(0)
        assert shared.user_info(row["access_token"]).status_code in {200, 401}


def test_the_csv_gives_the_asked_stores(shared: SandboxServer) -> None:
    text = shared.admin("GET", "/stores.csv", params={"codes": "S007,S002"})
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == ["S007", "S002"]
    unknown = requests.get(f"{shared.url}/admin/stores.csv?codes=S021", timeout=60)
    assert refusal(unknown) == (404, "S021: no such store")


def test_one_store_in_four_starts_expired(shared: SandboxServer) -> None:
    rows = csv.DictReader(io.StringIO(shared.admin("GET", "/stores.csv")))
    expired = {
        row["store_code"]
        for row in rows
        if shared.user_info(row["access_token"]).status_code == 401
    }
    assert expired == {"S004", "S008", "S012", "S016", "S020"}


def test_truth_is_what_the_api_serves() -> None:
    with running_sandbox(date=dt.date(2026, 11, 24)) as sandbox:
        truth = sandbox.admin("GET", "/truth")
        assert len(truth) == 20
        for code in ("S001", "S002"):
            token = sandbox.row(code)["access_token"]
            user = sandbox.user_info(token, ",".join(USER_FIELDS.keys() - SIGNED)).json()
            assert user["data"]["user"] == truth[code]["user"]
            fields = ",".join(VIDEO_FIELDS.keys() - SIGNED)
            page = sandbox.video_list(token, fields, max_count=20).json()["data"]["videos"]
            assert page == truth[code]["videos"][:20]
            assert set(page[0]) == set(VIDEO_FIELDS) - SIGNED
        assert truth["S003"]["videos"] == []
        assert sandbox.admin("GET", "/truth", params={"store_code": "S002"}) == {
            "S002": truth["S002"]
        }


def test_settings_can_be_read_and_changed(sandbox: SandboxServer) -> None:
    shown = sandbox.admin("GET", "/settings")
    assert sandbox.client_secret not in str(shown)
    changed = sandbox.admin(
        "PATCH",
        "/settings",
        json={
            "latency": {"user_info": 0.01},
            "rate_limit_per_minute": 7,
            "stores": 25,
            "token_regime": "24h",
            "date": "2026-12-01",
        },
    )
    assert changed["latency"] == {**shown["latency"], "user_info": 0.01}
    assert (changed["rate_limit_per_minute"], changed["stores"]) == (7, 25)
    assert (changed["token_regime"], changed["date"]) == ("24h", "2026-12-01")
    assert sandbox.admin("GET", "/settings") == changed
    assert sandbox.user_info(sandbox.row("S025")["access_token"]).status_code == 200
    assert sandbox.admin("PATCH", "/settings", json={"date": None})["date"] is None
    everywhere = sandbox.admin("PATCH", "/settings", json={"latency": 0})["latency"]
    assert set(everywhere.values()) == {0.0}
    assert (
        sandbox.admin("PATCH", "/settings", json={"latency_spread": 0.5})["latency_spread"] == 0.5
    )


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"seed": 2}, "seed"),
        ({"client_secret": "x"}, "client_secret"),
        ({"stores": 0}, "stores"),
        ({"stores": "40"}, "stores"),
        ({"stores": True}, "stores"),
        ({"latency": {"nowhere": 1}}, "latency"),
        ({"latency": -1}, "latency"),
        ({"latency": None}, "latency"),
        ({"latency_spread": 2.1}, "latency_spread"),
        ({"latency_spread": "0.5"}, "latency_spread"),
        ({"rate_limit_per_minute": -1}, "rate_limit_per_minute"),
        ({"window_seconds": 0}, "window_seconds"),
        ({"token_regime": "1h"}, "token_regime"),
        ({"date": "24.11.2026"}, "date"),
        ({"date": "2025-01-01"}, "date"),
        ({"retry_after": 1}, "retry_after"),
    ],
)
def test_bad_changes_are_refused_as_a_whole(
    shared: SandboxServer, body: dict[str, Any], named: str
) -> None:
    before = shared.admin("GET", "/settings")
    url = f"{shared.url}/admin/settings"
    response = requests.patch(url, json={"window_seconds": 59, **body}, timeout=60)
    status, message = refusal(response)
    assert status == 400
    assert message.startswith(f"{named}: ")
    assert shared.admin("GET", "/settings") == before


def test_fewer_stores_hide_the_rest_but_grants_keep_working(sandbox: SandboxServer) -> None:
    token = sandbox.row("S010")["access_token"]
    sandbox.admin("PATCH", "/settings", json={"stores": 5})
    assert len(sandbox.admin("GET", "/stores")) == 5
    assert sandbox.user_info(token).status_code == 200


def test_a_grant_can_be_changed(sandbox: SandboxServer) -> None:
    path = "/stores/S001/grant"
    shown = sandbox.admin("POST", path, json={"scope": "user.info.basic", "access_expires_in": 60})
    assert shown["scope"] == "user.info.basic"
    left = dt.datetime.fromisoformat(shown["access_expires_at"]) - dt.datetime.now(dt.timezone.utc)
    assert 50 < left.total_seconds() <= 60
    assert (shown["generation"], shown["revoked"]) == (1, False)
    assert sandbox.admin("POST", path, json={"revoke": True})["revoked"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"scope": "user.info.everything"},
        {"scope": ""},
        {"scope": 1},
        {"access_expires_in": "60"},
        {"expire_access": 1},
        {"revoke": "yes"},
        {"refresh": True},
        [],
    ],
)
def test_bad_grant_changes_are_refused(shared: SandboxServer, body: object) -> None:
    response = requests.post(f"{shared.url}/admin/stores/S001/grant", json=body, timeout=60)
    assert response.status_code == 400
    assert response.json()["error"]


def test_unknown_stores_are_refused(shared: SandboxServer) -> None:
    for code in ("S000", "S021", "S1", "S0001", "X001", "S-01", "S\u0661\u0661\u0661"):
        for action in ("grant", "code"):
            url = f"{shared.url}/admin/stores/{code}/{action}"
            assert requests.post(url, timeout=60).status_code == 404
        url = f"{shared.url}/admin/truth"
        assert requests.get(url, params={"store_code": code}, timeout=60).status_code == 404


def test_secrets_hold_everything_ever_issued(sandbox: SandboxServer) -> None:
    row = sandbox.row("S001")
    new = sandbox.refresh(row["refresh_token"]).json()
    client = sandbox.oauth("client_credentials").json()["access_token"]
    code = sandbox.admin("POST", "/stores/S001/code")["code"]
    secrets = sandbox.admin("GET", "/secrets")
    assert {row["access_token"], new["access_token"]} <= set(secrets["access_tokens"])
    assert {row["refresh_token"], new["refresh_token"]} <= set(secrets["refresh_tokens"])
    assert len(secrets["access_tokens"]) == len(secrets["refresh_tokens"]) == 21
    assert secrets["client_tokens"] == [client]
    assert secrets["codes"] == [code]
    assert secrets["client_secrets"] == [sandbox.client_secret]


def test_a_bad_limit_is_refused(shared: SandboxServer) -> None:
    response = requests.get(f"{shared.url}/admin/requests?limit=-1", timeout=60)
    assert refusal(response) == (400, "limit: must be a whole number")
