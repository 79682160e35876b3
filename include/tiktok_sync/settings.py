"""Which settings does the environment give? Validated once, with errors that name the variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import Self

from include.tiktok_sync.errors import ConfigurationError

DEFAULT_API_URL = "https://open.tiktokapis.com"
DEFAULT_BUSINESS_URL = "https://business-api.tiktok.com"
DEFAULT_RATE_LIMIT_PER_MINUTE = 600
"""TikTok's documented limit per endpoint (developers.tiktok.com, "Rate limits", Aug 2026)."""

DEFAULT_CONSENT_WARNING_DAYS = 30


class EnvironmentSettings(BaseSettings):
    """Settings that variables of the environment give: each field declares its :func:`variable`.

    A variable that is empty or blank counts as not set. Made by hand, an object takes the values
    of its fields and looks at no environment.
    """

    model_config = SettingsConfigDict(frozen=True, validate_by_name=True, hide_input_in_errors=True)

    failure: ClassVar[type[Exception]] = ConfigurationError

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes them by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - see above
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - see above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - see above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: the environment is read by :meth:`from_env`."""
        return (init_settings,)

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read and check the variables.

        Raises:
            ConfigurationError: Values are missing or cannot be used; the message names each
                variable and what it may be, and its value unless it is a secret.
        """
        source = _Variables(cls, env)
        try:
            return cls(_build_sources=((source,), {}))  # type: ignore[call-arg]  # BaseSettings' own
        except ValidationError as error:
            problems = [cls._problem(dict(found)) for found in error.errors(include_url=False)]
        # Outside of the handler: a traceback that shows pydantic's error would show the input.
        raise cls.failure(" ".join(problems))

    @classmethod
    def _problem(cls, found: Mapping[str, Any]) -> str:
        if not found["loc"]:  # of several settings together: the check says it all
            return str(found["ctx"]["error"])
        name = found["loc"][0]
        if found["type"] == "missing":
            return f"{name} is not set. Set it in the environment (or in .env) and start again."
        field = next(f for f in cls.model_fields.values() if f.validation_alias == name)
        value = f", not {found['input']!r}" if field.repr else ""
        return f"{name} must be {field.description}{value}."


class _Variables(PydanticBaseSettingsSource):
    """The variables of any mapping, by their exact names."""

    def __init__(self, settings_cls: type[BaseSettings], env: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._env = env

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Text, variable, and that the text is no JSON; ``None`` = not set."""
        name = str(field.validation_alias or field_name)
        text = self._env.get(name, "")
        return text if text.strip() else None, name, False

    def __call__(self) -> dict[str, Any]:
        """Every variable that is set."""
        fields = self.settings_cls.model_fields.items()
        found = (self.get_field_value(field, field_name) for field_name, field in fields)
        return {name: text for text, name, _ in found if text is not None}


def variable(name: str, must_be: str = "a text", *, secret: bool = False, **limits: Any) -> Any:
    """Which variable gives a field its value.

    Args:
        name: The variable.
        must_be: What it may hold, for the message about a value that cannot be used.
        secret: Never show the value, neither in a message nor in a ``repr``.
        limits: Of pydantic's ``Field``, such as ``ge`` and ``le``.
    """
    return Field(validation_alias=name, description=must_be, repr=not secret, **limits)


def _digits(value: object) -> object:
    # pydantic alone would also take "1_000" and "6.0".
    if isinstance(value, str) and not (value.strip().isascii() and value.strip().isdecimal()):
        raise ValueError
    return value


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(key.strip() for key in value.split(",") if key.strip())


def _zone(value: object) -> ZoneInfo:
    try:
        return value if isinstance(value, ZoneInfo) else ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError from error


WholeNumber = Annotated[int, BeforeValidator(_digits)]
"""Digits only: 0 or more."""

Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Separated by commas."""

Stripped = Annotated[str, StringConstraints(strip_whitespace=True)]
"""Without blanks around it."""

BaseUrl = Annotated[str, AfterValidator(lambda url: url.rstrip("/"))]
"""Without a trailing slash."""


class Settings(EnvironmentSettings):
    """Everything the sync reads from the environment.

    Attributes:
        token_keys: Fernet keys (``TIKTOK_TOKEN_KEYS``); the first encrypts, all decrypt.
        rate_limit_per_minute: Calls a minute for each endpoint, all workers together; 0 = none.
        timezone: ``SYNC_TIMEZONE``: decides which calendar day a run belongs to.
        min_success_rate: 0..1; a run below it is failed (``MIN_SUCCESS_RATE``).
        api_url: TikTok's base URL (``TIKTOK_API_URL``), without a trailing slash.
        client_key: The TikTok app's key; empty when an Airflow connection supplies it.
        client_secret: The TikTok app's secret; empty when an Airflow connection supplies it.
        store_db_url: libpq URL of the product's database (``STORE_DB_URL``); empty likewise.
        consent_warning_days: Days before its end that a grant is warned of
            (``CONSENT_WARNING_DAYS``).
        stores_per_task: Stores that share a mapped task (``STORES_PER_TASK``); ``None`` = by their
            number.
        video_lanes: 2 = a store's videos are read by ``video/list`` and ``video/query``, 1 = only
            listed (``VIDEO_LANES``).
        business_app_id: The id of the app of the Accounts API (``TIKTOK_BUSINESS_APP_ID``); empty
            with the secret = that API is not used.
        business_secret: Its secret (``TIKTOK_BUSINESS_SECRET``).
        business_url: The Accounts API's base URL (``TIKTOK_BUSINESS_URL``).
        business_category: The chain's category for benchmarks (``TIKTOK_BUSINESS_CATEGORY``);
            empty = none are fetched.
    """

    token_keys: Annotated[Texts, variable("TIKTOK_TOKEN_KEYS", secret=True)] = ()
    rate_limit_per_minute: Annotated[
        WholeNumber, variable("TIKTOK_RATE_LIMIT_PER_MINUTE", "a whole number of 0 or more")
    ] = DEFAULT_RATE_LIMIT_PER_MINUTE
    timezone: Annotated[
        ZoneInfo,
        BeforeValidator(_zone),
        variable("SYNC_TIMEZONE", "the name of a time zone, such as UTC or Europe/Berlin"),
    ] = ZoneInfo("UTC")
    min_success_rate: Annotated[
        float,
        variable("MIN_SUCCESS_RATE", "a number from 0 to 1", ge=0, le=1, allow_inf_nan=False),
    ] = 0.9
    api_url: Annotated[BaseUrl, variable("TIKTOK_API_URL")] = DEFAULT_API_URL
    client_key: Annotated[str, variable("TIKTOK_CLIENT_KEY")] = ""
    client_secret: Annotated[str, variable("TIKTOK_CLIENT_SECRET", secret=True)] = ""
    store_db_url: Annotated[str, variable("STORE_DB_URL", secret=True)] = ""
    consent_warning_days: Annotated[
        WholeNumber, variable("CONSENT_WARNING_DAYS", "a whole number of 0 or more")
    ] = DEFAULT_CONSENT_WARNING_DAYS
    stores_per_task: Annotated[
        WholeNumber | None,
        AfterValidator(lambda count: count or None),
        variable("STORES_PER_TASK", "a whole number of 0 or more"),
    ] = None
    video_lanes: Annotated[WholeNumber, variable("VIDEO_LANES", "1 or 2", ge=1, le=2)] = 2
    business_app_id: Annotated[Stripped, variable("TIKTOK_BUSINESS_APP_ID")] = ""
    business_secret: Annotated[Stripped, variable("TIKTOK_BUSINESS_SECRET", secret=True)] = ""
    business_url: Annotated[BaseUrl, variable("TIKTOK_BUSINESS_URL")] = DEFAULT_BUSINESS_URL
    business_category: Annotated[Stripped, variable("TIKTOK_BUSINESS_CATEGORY")] = ""

    @property
    def business_enabled(self) -> bool:
        """Whether the Accounts API is used."""
        return bool(self.business_app_id and self.business_secret)

    def required(self, field: str) -> str:
        """The value of a text setting that must not be empty here.

        Raises:
            ConfigurationError: It is empty; the message names the environment variable.
        """
        value = str(getattr(self, field))
        if not value:
            name = type(self).model_fields[field].validation_alias
            message = f"{name} is not set. Set it in the environment (or in .env) and start again."
            raise ConfigurationError(message)
        return value
