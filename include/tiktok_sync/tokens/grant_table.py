"""Which grants are there? One table for each of TikTok's APIs, with what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from typing_extensions import LiteralString

from include.tiktok_sync.business.meanings import TOKEN_CODES
from include.tiktok_sync.business.models import BUSINESS_SCOPES
from include.tiktok_sync.jobs import Api, api_of
from include.tiktok_sync.tiktok.meanings import OAUTH_ERRORS
from include.tiktok_sync.tiktok.models import KNOWN_SCOPES
from include.tiktok_sync.tokens.vault import TokenKind


@dataclass(frozen=True)
class GrantTable:
    """The grants of one API.

    Attributes:
        api: Whose.
        name: The table.
        access: As what its access tokens are sealed.
        refresh: As what its refresh tokens are sealed.
        scopes: What this product requests.
        app: What the app is called.
        key: What its key is called.
        connection: The Airflow connection with its key and secret.
        variables: The variables with them.
        option: What a command needs to mean this API.
        ended: The ``status_reason`` of a store that was marked on TikTok's answer alone.
        refusal: What TikTok calls that answer.
    """

    api: Api
    name: LiteralString
    access: TokenKind
    refresh: TokenKind
    scopes: frozenset[str]
    app: str
    key: str
    connection: str
    variables: str
    option: str
    ended: str
    refusal: str

    def sql(self, statement: LiteralString) -> LiteralString:
        """A statement in which ``{grants}`` stands for the table."""
        return statement.replace("{grants}", self.name)


DISPLAY = GrantTable(
    api="display",
    name="store_tokens",
    access="access",
    refresh="refresh",
    scopes=KNOWN_SCOPES,
    app="TikTok app",
    key="client key",
    connection="tiktok_default",
    variables="TIKTOK_CLIENT_KEY and TIKTOK_CLIENT_SECRET",
    option="",
    ended=OAUTH_ERRORS["invalid_grant"].message,
    refusal="invalid_grant",
)

BUSINESS = GrantTable(
    api="business",
    name="business_tokens",
    access="business_access",
    refresh="business_refresh",
    scopes=BUSINESS_SCOPES,
    app="Accounts API app",
    key="app id",
    connection="tiktok_business",
    variables="TIKTOK_BUSINESS_APP_ID and TIKTOK_BUSINESS_SECRET",
    option=" --api business",
    ended=TOKEN_CODES[40107].message,
    refusal="code 40107",
)

GRANT_TABLES: Mapping[Api, GrantTable] = {table.api: table for table in (DISPLAY, BUSINESS)}


def grants_of(job_name: str) -> GrantTable:
    """The grants that a job reads with."""
    return GRANT_TABLES[api_of(job_name)]
