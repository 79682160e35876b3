"""What is a rule, and is it a good one? Which calls a fault strikes, as JSON and checked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NoReturn

from include.sandbox.faults import business as faults_business
from include.sandbox.faults import data as faults_data
from include.sandbox.faults import disagree as faults_disagree
from include.sandbox.faults import http as faults_http
from include.sandbox.faults import listing as faults_listing
from include.sandbox.faults import oauth as faults_oauth
from include.sandbox.faults import transport as faults_transport
from include.sandbox.setting_checks import SettingsError, check_integer, check_number, check_texts
from include.sandbox.settings import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from include.sandbox.faults.fault import Fault

FAULTS: Mapping[str, Fault] = {
    **faults_listing.FAULTS,
    **faults_data.FAULTS,
    **faults_disagree.FAULTS,
    **faults_http.FAULTS,
    **faults_transport.FAULTS,
    **faults_oauth.FAULTS,
    **faults_business.FAULTS,
}

#: Name of every fault -> what it does, in one line.
FAULT_TEXTS: Mapping[str, str] = {name: fault.text for name, fault in FAULTS.items()}

MAX_RULES = 1_000
_MOST = 10**9
_MOST_SECONDS = 3_600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """Which calls a fault strikes.

    Attributes:
        fault: A key of `FAULTS`.
        stores: Codes of the stores it strikes, None for all.
        endpoints: Endpoints it strikes, some of the fault's.
        rate: Share of the matching calls that are hit.
        times: The most hits of the rule, None for any number. Which store gets the last
            of them is decided by who calls first; `times_per_store` does not depend on that.
        times_per_store: The most hits of each store.
        after: How many matching calls of each store are left alone first.
        burst: How many consecutive calls of a store to an endpoint share one draw: all or none.
        seconds: Length of a wait, for faults that wait.
        by: How far a number is off, for faults that shift one.
    """

    fault: str
    stores: tuple[str, ...] | None
    endpoints: tuple[str, ...]
    rate: float = 1.0
    times: int | None = None
    times_per_store: int | None = None
    after: int = 0
    burst: int = 1
    seconds: float | None = None
    by: int | None = None

    def concerns(self, endpoint: str, store_code: str | None) -> bool:
        """Whether calls of a store (None: unknown) to an endpoint can be hit."""
        return endpoint in self.endpoints and (self.stores is None or store_code in self.stores)

    def shown(self) -> dict[str, Any]:
        """The rule as JSON; `parse_rule` reads it again."""
        values = dataclasses.asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }


def parse_rule(text: object, known_store: Callable[[str], bool]) -> Rule:
    """One rule from JSON.

    Args:
        text: `{"fault": name}`, and any other field of `Rule`.
        known_store: Whether there is a store with a code.

    Raises:
        SettingsError: What is wrong, and what would be right.
    """
    if not isinstance(text, dict):
        _refuse("rule", "must be a JSON object")
    _known("rule", text, [field.name for field in dataclasses.fields(Rule)])
    name = text.get("fault")
    if not isinstance(name, str) or name not in FAULTS:
        _refuse("fault", f"{name!r} is unknown; only {', '.join(FAULTS)}")
    values = {key: value for key, value in text.items() if value is not None}
    stores = _names("stores", values.get("stores"))
    for code in stores or ():
        if not known_store(code):
            _refuse("stores", f"{code}: no such store")
    rule = Rule(
        fault=name,
        stores=stores,
        endpoints=_endpoints(name, _names("endpoints", values.get("endpoints"))),
        rate=_number("rate", values.get("rate", 1.0), 1.0),
        times=_count("times", values.get("times"), 0),
        times_per_store=_count("times_per_store", values.get("times_per_store"), 0),
        after=_count("after", values.get("after"), 0) or 0,
        burst=_count("burst", values.get("burst"), 1) or 1,
        seconds=None,
        by=_count("by", values.get("by"), 1),
    )
    if "seconds" not in values:
        return rule
    return dataclasses.replace(rule, seconds=_number("seconds", values["seconds"], _MOST_SECONDS))


def parse_rules(rules: object, known_store: Callable[[str], bool]) -> tuple[Rule, ...]:
    """Many rules from a JSON list.

    Raises:
        SettingsError: The first one that is bad, by its number from 0.
    """
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        _refuse("rules", f"must be a list of at most {MAX_RULES} rules")
    parsed = []
    for number, rule in enumerate(rules):
        try:
            parsed.append(parse_rule(rule, known_store))
        except SettingsError as error:
            place = f"rules[{number}].{error.field}"
            raise SettingsError(place, error.reason) from None
    return tuple(parsed)


def _endpoints(fault: str, named: tuple[str, ...] | None) -> tuple[str, ...]:
    possible = FAULTS[fault].endpoints
    for endpoint in named or ():
        if endpoint not in ENDPOINTS:
            _refuse("endpoints", f"{endpoint} is unknown; only {', '.join(ENDPOINTS)}")
        if endpoint not in possible:
            _refuse("endpoints", f"{fault} strikes only {', '.join(possible)}, not {endpoint}")
    return possible if named is None else named


def _names(field: str, value: object) -> tuple[str, ...] | None:
    return None if value is None else check_texts(field, value)


def _number(field: str, value: Any, most: float) -> float:
    check_number(field, value, most, "a number")
    return float(value)


def _count(field: str, value: Any, least: int) -> int | None:
    if value is None:
        return None
    check_integer(field, value, least, _MOST)
    return int(value)


def _known(what: str, body: Mapping[str, Any], known: list[str]) -> None:
    unknown = sorted(body.keys() - set(known))
    if unknown:
        _refuse(what, f"{', '.join(unknown)} unknown; only {', '.join(known)}")


def _refuse(field: str, reason: str) -> NoReturn:
    raise SettingsError(field, reason)
