"""How does the sandbox behave: every switch, where it comes from, and what it may be."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.sandbox.business_settings import (
    BUSINESS_ENDPOINTS,
    BUSINESS_READS,
    BusinessSettings,
)
from include.sandbox.setting_checks import (
    SettingsError,
    check,
    check_choice,
    check_integer,
    check_number,
    check_seconds,
    is_loopback,
    parse_day,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Endpoints in the order of the documentation; these names key latencies, statistics and the log.
ENDPOINTS = (
    *("user_info", "video_list", "video_query", "oauth_token", "oauth_revoke"),
    *BUSINESS_ENDPOINTS,
)

#: TikTok's consent page; there it is on another host than the endpoints.
AUTHORIZE_PATH = "/v2/auth/authorize/"

#: Seconds an answer takes by default: the reference workload (3 s for a user,
#: 1 s for a page of videos).
DEFAULT_LATENCY: Mapping[str, float] = {
    "user_info": 3.0,
    "video_list": 1.0,
    "video_query": 1.0,
    "oauth_token": 0.2,
    "oauth_revoke": 0.2,
    **{name: 1.0 if name in BUSINESS_READS else 0.2 for name in BUSINESS_ENDPOINTS},
}

#: Profile -> calls a minute for each Display endpoint (0 = unlimited). 600 is TikTok's documented
#: figure (page "API v2 rate limits"; reference: rate limits).
PROFILES: Mapping[str, int] = {"default": 600, "reference": 0, "reference-limited": 600}

#: Regime -> (access token, refresh token) lifetimes in seconds. TikTok's pages of November 2026
#: say 2 h and 180 d, the older ones 24 h and 365 d (reference: token lifetimes).
TOKEN_REGIMES: Mapping[str, tuple[int, int]] = {
    "2h": (7_200, 15_552_000),
    "24h": (86_400, 31_536_000),
}

#: Names of the scenarios that `storm` makes.
FAULT_SCENARIOS = ("storm",)

#: Every sandbox video was posted before this day, so a day from here on has the whole world in it.
FIRST_DAY = dt.date(2026, 1, 1)
LAST_DAY = dt.date(2099, 12, 31)

MAX_STORES = 100_000
MAX_NEW_ACCOUNTS = 1_000
MAX_LATENCY = 3_600.0

#: At 2, one answer in fifty takes more than eight times the mean: worse than any API worth calling.
MAX_LATENCY_SPREAD = 2.0

#: Variable of the environment, field of the settings, meaning: `from_env` and `--help` read this.
VARIABLES: tuple[tuple[str, str, str], ...] = (
    ("SANDBOX_CLIENT_KEY", "client_key", "client key that callers must send (required)"),
    ("SANDBOX_CLIENT_SECRET", "client_secret", "client secret that callers must send (required)"),
    ("SANDBOX_HOST", "host", "loopback address to listen on (127.0.0.1)"),
    ("SANDBOX_EXPOSED", "exposed", "yes: may listen beyond loopback, as in a container (no)"),
    ("SANDBOX_PORT", "port", "port to listen on, 0 = any free one (8090)"),
    ("SANDBOX_STATE", "state", "file that keeps the tokens over a restart (in memory)"),
    ("SANDBOX_STORES", "stores", "number of stores (300)"),
    (
        "SANDBOX_NEW_ACCOUNTS",
        "new_accounts",
        "accounts beyond the stores that have not consented yet (5)",
    ),
    (
        "SANDBOX_REDIRECT_URIS",
        "redirect_uris",
        "addresses that the authorize page may send back to, comma-separated (any)",
    ),
    ("SANDBOX_SEED", "seed", "seed of the stores and their videos (1)"),
    ("SANDBOX_PROFILE", "profile", f"one of {', '.join(PROFILES)} (default)"),
    ("SANDBOX_LATENCY", "latency", "seconds per call, for all endpoints (by profile)"),
    (
        "SANDBOX_LATENCY_SPREAD",
        "latency_spread",
        "sigma of a lognormal latency of the same mean, such as 0.8; 0 = always the same (0)",
    ),
    (
        "SANDBOX_RATE_LIMIT_PER_MINUTE",
        "rate_limit_per_minute",
        "calls a minute for each Display endpoint, 0 = unlimited (by profile)",
    ),
    ("SANDBOX_TOKEN_REGIME", "token_regime", "token lifetimes: 2h or 24h (2h)"),
    ("SANDBOX_DATE", "date", "YYYY-MM-DD: freeze the day of the counters (the UTC day)"),
    ("SANDBOX_BUSINESS_APP_ID", "business_app_id", "number of the Accounts API app (none)"),
    ("SANDBOX_BUSINESS_SECRET", "business_secret", "secret of the Accounts API app"),
    (
        "SANDBOX_BUSINESS_REDIRECT_URIS",
        "business_redirect_uris",
        "addresses registered for the Accounts API app, comma-separated; each ends with / (any)",
    ),
    (
        "SANDBOX_BUSINESS_PENALTY_SECONDS",
        "business_penalty_seconds",
        "seconds of refusals after a minute's limit of the Accounts API app (300)",
    ),
    ("SANDBOX_FAULTS", "faults", f"scenario to start with: {', '.join(FAULT_SCENARIOS)} (none)"),
)

#: Fields that may change while the sandbox runs. The others define the world or the listener.
CHANGEABLE = (
    "stores",
    "latency",
    "latency_spread",
    "rate_limit_per_minute",
    "window_seconds",
    "token_regime",
    "date",
    "retry_after",
    "refresh_kills_access_token",
    "nul_in_captions",
    "same_second_ties",
    "business",
)
_SWITCHES = ("retry_after", "refresh_kills_access_token", "nul_in_captions", "same_second_ties")


@dataclasses.dataclass(frozen=True)
class SandboxSettings:
    """One immutable set of settings; `patched` makes the next one.

    Attributes:
        client_key: The only client key that the OAuth endpoints accept.
        client_secret: Its secret.
        host: Loopback address; anything else is refused, because `/admin` has no login, unless
            the sandbox is `exposed`.
        exposed: The network around it is as closed as loopback: a container's.
        port: TCP port, 0 for any free one.
        state: SQLite file of the tokens, None to keep them in memory.
        stores: How many stores exist: S001 … S<stores>.
        new_accounts: Accounts S<stores + 1> … that exist at TikTok and have not consented yet.
        redirect_uris: Addresses registered for the app, comma-separated; empty = any.
        seed: Seed of the world.
        profile: A key of `PROFILES`.
        latency: Seconds for all endpoints, or per endpoint (the rest as `DEFAULT_LATENCY`), or
            None for `DEFAULT_LATENCY`.
        latency_spread: Sigma of a lognormal distribution with these means, 0 = always the same.
        rate_limit_per_minute: Calls per window and Display endpoint, 0 = unlimited, None = by
            profile.
        window_seconds: Length of the sliding window (60; shorter only for tests).
        token_regime: A key of `TOKEN_REGIMES`, for tokens issued from now on.
        date: Day of the counters; None follows the UTC clock.
        faults: Scenario to start with, one of `FAULT_SCENARIOS`; None starts with the faults that
            the state file keeps, if any.
        retry_after: Send `Retry-After` with 429; TikTok documents none.
        refresh_kills_access_token: A refresh ends the previous access token at once; TikTok does
            not say whether it does.
        nul_in_captions: Some captions hold U+0000.
        same_second_ties: Two videos share a second at the edge between two pages.
        business: The second API's app and behaviour; None: it is not served.

    Raises:
        SettingsError: A value is out of range or of the wrong type.
    """

    client_key: str
    client_secret: str = dataclasses.field(repr=False)
    host: str = "127.0.0.1"
    exposed: bool = False
    port: int = 8090
    state: Path | None = None
    stores: int = 300
    new_accounts: int = 5
    redirect_uris: str = ""
    seed: int = 1
    profile: str = "default"
    latency: float | Mapping[str, float] | None = None
    latency_spread: float = 0.0
    rate_limit_per_minute: int | None = None
    window_seconds: float = 60.0
    token_regime: str = "2h"  # noqa: S105 (a name, not a token)
    date: dt.date | None = None
    faults: str | None = None
    retry_after: bool = False
    refresh_kills_access_token: bool = False
    nul_in_captions: bool = False
    same_second_ties: bool = False
    business: BusinessSettings | None = None

    def __post_init__(self) -> None:
        """Checks every field; see the class for the errors."""
        for name in ("client_key", "client_secret"):
            value = getattr(self, name)
            check(isinstance(value, str) and value != "", name, "is required and must not be empty")
            check(value == value.strip(), name, "must not begin or end with white space")
        check(
            self.exposed or is_loopback(self.host),
            "host",
            "must be a loopback address, such as 127.0.0.1",
        )
        check_integer("port", self.port, 0, 65_535)
        check_integer("stores", self.stores, 1, MAX_STORES)
        check_integer("new_accounts", self.new_accounts, 0, MAX_NEW_ACCOUNTS)
        check_integer("seed", self.seed, 0, 2**63)
        check_choice("profile", self.profile, PROFILES)
        check_choice("token_regime", self.token_regime, TOKEN_REGIMES)
        if self.faults is not None:
            check_choice("faults", self.faults, FAULT_SCENARIOS)
        if self.rate_limit_per_minute is not None:
            check_integer("rate_limit_per_minute", self.rate_limit_per_minute, 0, 10**9)
        check_seconds("window_seconds", self.window_seconds, MAX_LATENCY)
        check(self.window_seconds > 0, "window_seconds", "must be more than 0")
        self._check_latency()
        check_number("latency_spread", self.latency_spread, MAX_LATENCY_SPREAD, "a number")
        if self.date is not None:
            in_range = isinstance(self.date, dt.date) and FIRST_DAY <= self.date <= LAST_DAY
            check(in_range, "date", f"must be a day from {FIRST_DAY} to {LAST_DAY}")
        for name in _SWITCHES:
            check(isinstance(getattr(self, name), bool), name, "must be true or false")

    def _check_latency(self) -> None:
        if self.latency is None:
            return
        if isinstance(self.latency, (int, float)):
            check_seconds("latency", self.latency, MAX_LATENCY)
            return
        for endpoint, seconds in self.latency.items():
            check(endpoint in ENDPOINTS, "latency", f"knows only {', '.join(ENDPOINTS)}")
            check_seconds("latency", seconds, MAX_LATENCY)

    @property
    def latencies(self) -> dict[str, float]:
        """Seconds per endpoint, all endpoints named."""
        if self.latency is None:
            return dict(DEFAULT_LATENCY)
        if isinstance(self.latency, (int, float)):
            return dict.fromkeys(ENDPOINTS, float(self.latency))
        return {**DEFAULT_LATENCY, **self.latency}

    @property
    def rate_limit(self) -> int:
        """Calls per window and Display endpoint in force, 0 = unlimited."""
        if self.rate_limit_per_minute is None:
            return PROFILES[self.profile]
        return self.rate_limit_per_minute

    @property
    def is_reference(self) -> bool:
        """Whether every store has the same 140 videos and a fresh token (the reference load)."""
        return self.profile != "default"

    @property
    def today(self) -> dt.date:
        """Day of the counters: the frozen one, else the UTC day."""
        return self.date or dt.datetime.now(dt.timezone.utc).date()

    def public(self) -> dict[str, Any]:
        """JSON-ready settings in force, without key and secret (`GET /admin/settings`)."""
        shown: dict[str, Any] = {"profile": self.profile, "seed": self.seed}
        shown.update({name: getattr(self, name) for name in CHANGEABLE})
        shown["latency"] = self.latencies
        shown["rate_limit_per_minute"] = self.rate_limit
        shown["date"] = self.date.isoformat() if self.date else None
        shown["business"] = self.business.public() if self.business else None
        return shown

    def patched(self, changes: Mapping[str, Any]) -> SandboxSettings:
        """Settings after some changes, checked as a whole.

        Args:
            changes: `CHANGEABLE` field -> JSON value. `latency` as an object changes only the
                endpoints it names; `date` is `YYYY-MM-DD` or null.

        Raises:
            SettingsError: An unknown field, or a value that the field cannot have.
        """
        values = dict(changes)
        for name in values:
            check(name in CHANGEABLE, name, f"can not be changed; only {', '.join(CHANGEABLE)}")
        if isinstance(values.get("latency"), dict):
            values["latency"] = {**self.latencies, **values["latency"]}
        elif "latency" in values:
            check_seconds("latency", values["latency"], MAX_LATENCY)
        if values.get("date") is not None:
            values["date"] = parse_day("date", values["date"])
        if "business" in values:
            on = self.business is not None
            check(on, "business", "is off; start with SANDBOX_BUSINESS_APP_ID")
            values["business"] = self.business and self.business.patched(values["business"])
        return dataclasses.replace(self, **values)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> SandboxSettings:
        """Settings from `SANDBOX_*`; a variable that is unset or empty keeps the default.

        Args:
            environ: Variables to read instead of the process's.

        Raises:
            SettingsError: A variable is missing or has a bad value; the message names it.
        """
        source = os.environ if environ is None else environ
        values: dict[str, Any] = {"client_key": "", "client_secret": ""}
        names = {field: variable for variable, field, _ in VARIABLES}
        for variable, field, _ in VARIABLES:
            text = source.get(variable, "")
            if text:
                values[field] = _parse(variable, field, text)
        business = {
            field.removeprefix("business_"): values.pop(field)
            for field in tuple(values)
            if field.startswith("business_")
        }
        try:
            if business:
                values["business"] = BusinessSettings(**{"app_id": "", "secret": "", **business})
            return cls(**values)
        except SettingsError as error:
            raise SettingsError(names.get(error.field, error.field), error.reason) from None


def _parse(variable: str, field: str, text: str) -> Any:
    """One variable's text as its field's type; the range is checked by the dataclass."""
    try:
        if field in {"port", "stores", "new_accounts", "seed", "rate_limit_per_minute"}:
            return int(text)
        if field in {"latency", "latency_spread", "business_penalty_seconds"}:
            return float(text)
    except ValueError:
        raise SettingsError(variable, "must be a number") from None
    if field == "date":
        return parse_day(variable, text)
    if field == "exposed":
        check_choice(variable, text, ("yes", "no"))
        return text == "yes"
    return Path(text) if field == "state" else text
