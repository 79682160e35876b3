"""Fetch it: an account's days, its posts and a category's averages, from the Accounts API.

Sources: business-api.tiktok.com, "Get profile data of a TikTok account" (1762228399168514), "Get
posts of a TikTok account" (1762228421622786), "Get benchmark" (1822388944791617). The slash at the
end of a path belongs to it; lists in the query are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

import requests
from requests.auth import AuthBase

from include.tiktok_sync.business.meanings import (
    FIELD_CODES,
    QPS_MESSAGE,
    code_of,
    log_id_of,
    meaning_of_answer,
)
from include.tiktok_sync.business.models import (
    ACCOUNT_SCOPES,
    POST_SCOPES,
    POSTS_SCOPE,
    PROFILE_SCOPES,
    STATS,
    AccountDay,
    AccountInsights,
    Benchmark,
    InsightPage,
    SkippedFields,
    read_benchmark,
)
from include.tiktok_sync.business.rate_limit import BusinessLimiter
from include.tiktok_sync.errors import FatalError, MissingScopeError, SyncError
from include.tiktok_sync.tiktok.api_client import (
    AccessTokens,
    ApiClient,
    Request,
    Said,
    data_of,
    error_of,
)
from include.tiktok_sync.tiktok.http import Answer, HttpTransport, Timeouts, header_text
from include.tiktok_sync.tiktok.meanings import Action
from include.tiktok_sync.tiktok.time_left import TimeLeft

API_PATH = "/open_api/v1.3/"

ACCOUNT, POSTS, BENCHMARK = "business/get", "business/video/list", "business/benchmark"

PAGE_SIZE = 20
"""TikTok's maximum for ``max_count``."""

LOOK_BACK_DAYS = 60
"""How far back days can be asked for, yesterday being the first."""

PAUSE_AFTER_MINUTE_S = 300.0
"""How long TikTok says to suspend calls after the limit of a minute ("Accounts API rate limits",
1738084416214017)."""

PAUSE_AFTER_SECOND_S = 1.0
"""The same after the limit of a second."""

INSIGHTS = "insights"
"""The group of fields without which an answer has no days."""

_ACCOUNT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "profile": tuple(name for name in PROFILE_SCOPES if name not in STATS),
    "stats": STATS,
    INSIGHTS: tuple(name for name in ACCOUNT_SCOPES if name not in PROFILE_SCOPES),
}

_POST_GROUPS: Mapping[str, tuple[str, ...]] = {
    "posts": tuple(name for name, scope in POST_SCOPES.items() if scope == POSTS_SCOPE),
    "post insights": tuple(name for name, scope in POST_SCOPES.items() if scope != POSTS_SCOPE),
}

T = TypeVar("T")


class BusinessTokens(AccessTokens, Protocol):
    """What this client needs of a store's tokens."""

    @property
    def open_id(self) -> str:
        """The account; it is the ``business_id`` of every call."""


class _FieldsRefusedError(Exception):
    """TikTok refuses the call, possibly because of one of its fields."""

    def __init__(self, error: SyncError) -> None:
        super().__init__(str(error))
        self.error = error


class AccessTokenAuth(AuthBase):
    """TikTok's own header, which no ``.netrc`` replaces."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign the request."""
        r.headers["Access-Token"] = header_text(self._token)
        return r


def business_transport(url: str, timeouts: Timeouts | None = None) -> HttpTransport:
    """One HTTP session to the Accounts API.

    Args:
        url: Base URL, without a trailing slash.
        timeouts: Of every call.
    """
    return HttpTransport(url, timeouts, sign=AccessTokenAuth, setting="TIKTOK_BUSINESS_URL")


class BusinessClient(ApiClient[BusinessTokens]):
    """One store's view of the Accounts API.

    Args:
        http: Made by :func:`business_transport`.
        tokens: The store's access tokens.
        limiter: The limits shared by everyone.
        time_left: What this try of the store may still take.
        category: Of the chain, for :meth:`benchmark`; ``None`` = not set.

    Attributes:
        calls: What they cost, by endpoint.
        skipped: Fields that TikTok refused for this store; they are not asked for again.
    """

    def __init__(
        self,
        http: HttpTransport,
        *,
        tokens: BusinessTokens,
        limiter: BusinessLimiter,
        time_left: TimeLeft | None = None,
        category: str | None = None,
    ) -> None:
        super().__init__(http, tokens=tokens, time_left=time_left)
        self.category = category
        self._limiter = limiter
        self.skipped: dict[str, SkippedFields] = {}

    def account(
        self, start: date, end: date, fields: Sequence[str] | None = None
    ) -> AccountInsights:
        """The profile now, and the figures of some past days.

        Fields outside of the granted scopes are left out. If TikTok refuses the fields all the
        same, their groups are asked for one by one, and those refused are skipped from then on.
        Days that came without the insights are left out: ``followers_count``, which belongs to the
        profile too, would pass for all that there is of them.

        Args:
            start: First UTC day, at most ``LOOK_BACK_DAYS`` before today.
            end: Last UTC day, before today.
            fields: Names of ``ACCOUNT_SCOPES``; ``None`` = all of them.

        Raises:
            MissingScopeError: No field is granted.
            SyncError: See :mod:`include.tiktok_sync.business.meanings`.
        """
        groups = self._granted(_ACCOUNT_GROUPS, ACCOUNT_SCOPES, fields)
        days = {"start_date": start.isoformat(), "end_date": end.isoformat()}

        def get(names: Sequence[str]) -> AccountInsights:
            return self._get(ACCOUNT, {"fields": _json(names), **days}, AccountInsights.from_api)

        found = _merged(self._by_group(groups, get))
        outside = [day for day in found.days if not start <= day.metric_date <= end]
        has_days = INSIGHTS in groups and INSIGHTS not in self.skipped
        return replace(
            found,
            days=tuple(day for day in found.days if has_days and start <= day.metric_date <= end),
            problems=(
                *found.problems,
                *(f"Day {day.metric_date} came without being asked for." for day in outside),
            ),
            skipped=self._skipped(_ACCOUNT_GROUPS),
        )

    def videos(self, cursor: int | None = None) -> InsightPage:
        """A page of up to 20 public posts, newest first, posted before ``cursor``.

        Fewer may come although there is a next page.

        Args:
            cursor: Unix milliseconds from the page before; ``None`` = from the newest.

        Raises:
            MissingScopeError: ``video.list`` is not granted.
            SyncError: See :mod:`include.tiktok_sync.business.meanings`.
        """
        if POSTS_SCOPE not in self.tokens.scopes:
            raise _not_granted(POSTS_SCOPE)
        groups = self._granted(_POST_GROUPS, POST_SCOPES, None)
        params = {"max_count": str(PAGE_SIZE)} | ({} if cursor is None else {"cursor": str(cursor)})

        def get(names: Sequence[str]) -> InsightPage:
            return self._get(POSTS, {"fields": _json(names), **params}, InsightPage.from_api)

        # The insights of a post are never asked for without its id, which is in the first group.
        page = self._by_group(groups, get, first_only=True)[0]
        return replace(page, skipped=self._skipped(_POST_GROUPS))

    def benchmark(self, category: str) -> Benchmark:
        """Averages over the Business accounts of a category.

        Args:
            category: One of ``BENCHMARK_CATEGORIES``.

        Raises:
            SyncError: See :mod:`include.tiktok_sync.business.meanings`.
        """
        params = {"business_category": category}
        return self._get(BENCHMARK, params, partial(read_benchmark, category))

    def _granted(
        self,
        groups: Mapping[str, tuple[str, ...]],
        scopes: Mapping[str, str],
        fields: Sequence[str] | None,
    ) -> dict[str, tuple[str, ...]]:
        """The fields to ask for, by group."""
        granted = self.tokens.scopes
        wanted = scopes.keys() if fields is None else set(fields)
        found = {
            group: tuple(name for name in names if name in wanted and scopes[name] in granted)
            for group, names in groups.items()
            if group not in self.skipped
        }
        found = {group: names for group, names in found.items() if names}
        if not found:
            known = [skipped.error for skipped in self.skipped.values()]
            raise known[0] if known else _not_granted(*{scopes[name] for name in wanted})
        return found

    def _by_group(
        self,
        groups: Mapping[str, tuple[str, ...]],
        get: Callable[[Sequence[str]], T],
        *,
        first_only: bool = False,
    ) -> list[T]:
        """Ask for all groups at once, and one by one if TikTok refuses their fields.

        ``first_only``: the others are not tried without the first.
        """
        try:
            return [get([name for names in groups.values() for name in names])]
        except _FieldsRefusedError as refusal:
            all_of_them = refusal.error
        parts: list[T] = []
        refused: dict[str, SkippedFields] = {}
        for group, names in groups.items() if len(groups) > 1 else ():
            if parts and first_only:
                refused[group] = SkippedFields(group, all_of_them)
                continue
            try:
                parts.append(get(names))
            except _FieldsRefusedError as refusal:
                refused[group] = SkippedFields(group, refusal.error)
                if first_only:
                    break
        if not parts:
            raise all_of_them
        self.skipped |= refused
        return parts

    def _skipped(self, groups: Mapping[str, tuple[str, ...]]) -> tuple[SkippedFields, ...]:
        return tuple(skipped for group, skipped in self.skipped.items() if group in groups)

    def _get(
        self,
        endpoint: str,
        params: Mapping[str, str],
        read: Callable[[Mapping[str, Any], datetime, str | None], T],
    ) -> T:
        request = self._request("GET", endpoint, {"business_id": self.tokens.open_id, **params})

        def read_said(data: Mapping[str, Any], observed_at: datetime) -> T:
            return read(data, observed_at, request.said.log_id if request.said else None)

        try:
            return self._call(request, read_said)
        except (FatalError, MissingScopeError) as error:
            if "fields" in params and request.said and request.said.code in FIELD_CODES:
                raise _FieldsRefusedError(error) from None
            raise

    def _path(self, endpoint: str) -> str:
        return f"{API_PATH}{endpoint}/"

    def _acquire(self, endpoint: str) -> float:
        return self._limiter.acquire(endpoint)

    def _said(self, request: Request, answer: Answer) -> Said:  # noqa: ARG002 - other APIs need it
        return said_of(answer)

    def _pause(self, request: Request, answer: Answer, said: Said) -> None:  # noqa: ARG002 - the message says it
        self._limiter.pause(pause_after(said))


def account_profile(
    http: HttpTransport, token: str, business_id: str, fields: Sequence[str]
) -> AccountInsights:
    """The profile behind a token that was just granted: one call, without limit and repetition.

    Args:
        http: Made by :func:`business_transport`.
        token: The access token.
        business_id: Its account.
        fields: Names of ``PROFILE_SCOPES``.

    Raises:
        SyncError: See :mod:`include.tiktok_sync.business.meanings`.
    """
    params = {"business_id": business_id, "fields": _json(fields)}
    answer = http.send("GET", f"{API_PATH}{ACCOUNT}/", token=token, params=params)
    said = said_of(answer)
    if said.meaning.action is not Action.USE:
        raise error_of(said, answer, ACCOUNT)
    return AccountInsights.from_api(data_of(answer, ACCOUNT), answer.observed_at, said.log_id)


def pause_after(said: Said) -> float:
    """For how many seconds TikTok refuses calls after a refusal of too many."""
    is_of_second = QPS_MESSAGE in str(said.message)
    return PAUSE_AFTER_SECOND_S if is_of_second else PAUSE_AFTER_MINUTE_S


def said_of(answer: Answer) -> Said:
    """What TikTok said with an answer of a data endpoint."""
    code = code_of(answer.body)
    meaning = meaning_of_answer(answer.status, code)
    return Said(meaning, code, (answer.body or {}).get("message"), log_id_of(answer.body))


def _json(names: Sequence[str]) -> str:
    return json.dumps(list(names), separators=(",", ":"))


def _not_granted(*scopes: str) -> MissingScopeError:
    message = (
        f"The store's grant for the Accounts API does not cover {', '.join(sorted(scopes))}. Its"
        " manager must connect the account again and allow every permission."
    )
    return MissingScopeError(message)


def _merged(parts: Sequence[AccountInsights]) -> AccountInsights:
    """The answers to several groups of fields as one."""
    days: dict[date, AccountDay] = {}
    audience: dict[str, list[Any]] = {}
    found: dict[str, Any] = {}
    for part in parts:
        found |= {
            name: value for name in PROFILE_SCOPES if (value := getattr(part, name)) is not None
        }
        audience |= part.audience
        for day in part.days:
            old = days.get(day.metric_date)
            days[day.metric_date] = day if old is None else _merged_day(old, day)
    return replace(
        parts[-1],
        **found,
        audience=audience,
        days=tuple(days[day] for day in sorted(days)),
        problems=tuple(dict.fromkeys(line for part in parts for line in part.problems)),
    )


def _merged_day(old: AccountDay, new: AccountDay) -> AccountDay:
    figures = {
        name: old.figures[name] if value is None else value for name, value in new.figures.items()
    }
    activity = old.audience_activity if new.audience_activity is None else new.audience_activity
    return AccountDay(old.metric_date, figures, activity)
