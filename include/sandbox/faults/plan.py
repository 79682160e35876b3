"""Which calls go wrong? Rules, a seed and the calls so far decide, and nothing else.

Whether a rule hits a call is a function of seed, number of the rule, store, endpoint and number of
the store's call to that endpoint: one seed gives one schedule, however the stores interleave.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from include.sandbox.business_settings import BUSINESS_REFRESH
from include.sandbox.faults.fault import READS, REFRESH, Hit, Page
from include.sandbox.faults.rules import FAULTS, Rule, parse_rules
from include.sandbox.wire.latency import pause
from include.sandbox.world.content import seeded

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping

    from include.sandbox.accounts.records import Token
    from include.sandbox.endpoints.pipeline import Call
    from include.sandbox.faults.file import FaultFile
    from include.sandbox.state import SandboxState
    from include.sandbox.wire.envelopes import SandboxAnswer


class RulePlan:
    """A fault plan made of rules.

    Rules are tried in their order. Each that hits changes what the ones before have made of the
    answer, until one replaces it (see `Fault.replaces`).

    Args:
        seed: Seed of the schedule.
        rules: Rules, or JSON objects as `parse_rule` takes them.
        scenario: Name of the scenario the rules are of, if any.

    Raises:
        SettingsError: A rule is bad.
    """

    def __init__(
        self,
        seed: int,
        rules: Iterable[Rule | Mapping[str, Any]],
        *,
        scenario: str | None = None,
    ) -> None:
        self.seed = seed
        self.scenario = scenario
        listed = [rule.shown() if isinstance(rule, Rule) else rule for rule in rules]
        # Store codes are checked where the number of stores is known (`admin_faults`).
        self.rules = parse_rules(listed, lambda _: True)
        self._calls: Counter[tuple[str, str]] = Counter()
        self._hits: Counter[tuple[int, str]] = Counter()
        self._totals: Counter[int] = Counter()
        self._file: FaultFile | None = None

    @classmethod
    def restored(cls, file: FaultFile) -> RulePlan | None:
        """The plan that a file keeps, going on where it was; None if it keeps none.

        Raises:
            SettingsError: A rule of it is not known any more.
        """
        kept = file.load()
        if kept is None:
            return None
        plan = cls(kept["seed"], kept["rules"], scenario=kept["scenario"])
        plan._calls.update(file.calls())
        for key, hits in file.hits().items():
            plan._hits[key] = hits
            plan._totals[key[0]] += hits
        plan._file = file
        return plan

    def keep_in(self, file: FaultFile) -> None:
        """Keeps the plan in a file, from its present calls and hits on."""
        rules = [rule.shown() for rule in self.rules]
        file.replace({"seed": self.seed, "scenario": self.scenario, "rules": rules})
        for (store, endpoint), calls in self._calls.items():
            file.save_calls(store, endpoint, calls)
        for (number, store), hits in self._hits.items():
            file.save_hits(number, store, hits)
        self._file = file

    def shown(self) -> dict[str, Any]:
        """`{"seed", "scenario", "rules": [{…, "hits": n}]}`."""
        rules = [
            rule.shown() | {"hits": self._totals[number]} for number, rule in enumerate(self.rules)
        ]
        return {"seed": self.seed, "scenario": self.scenario, "rules": rules}

    async def around(self, call: Call, proceed: Callable[[], SandboxAnswer]) -> SandboxAnswer:
        """Answers a call, with what the rules do to it."""
        token = _sender(call)
        if call.endpoint not in READS and token is None:
            return proceed()
        store_code = None if token is None or token.kind == "client" else token.store_code
        answer, wait = _Strike(self, call, proceed, store_code).run()
        if call.entry.store_code is None and token is not None and store_code is not None:
            call.entry.store_code, call.entry.token_generation = store_code, token.generation
        if wait:
            await pause(wait)
        return answer

    def draw(self, number: int, endpoint: str, store_code: str | None) -> random.Random | None:
        """Whether a rule hits the store's present call; if so, the generator for its choices.

        Args:
            number: Number of the rule, from 0.
            endpoint: Endpoint of the call, which is counted already.
            store_code: The store, None if unknown.
        """
        rule, store = self.rules[number], store_code or ""
        if not rule.concerns(endpoint, store_code) or self._is_used_up(number, store):
            return None
        if sum(self._calls[store, name] for name in rule.endpoints) <= rule.after:
            return None
        nth = self._calls[store, endpoint]
        burst = (nth - 1) // rule.burst
        if seeded(self.seed, number, store, endpoint, "burst", burst).random() >= rule.rate:
            return None
        return seeded(self.seed, number, store, endpoint, nth)

    def count_call(self, endpoint: str, store_code: str | None) -> None:
        """Counts a call before the rules see it."""
        key = (store_code or "", endpoint)
        self._calls[key] += 1
        if self._file is not None:
            self._file.save_calls(*key, self._calls[key])

    def count_hit(self, number: int, store_code: str | None) -> None:
        """Counts a hit of a rule."""
        key = (number, store_code or "")
        self._hits[key] += 1
        self._totals[number] += 1
        if self._file is not None:
            self._file.save_hits(*key, self._hits[key])

    def _is_used_up(self, number: int, store: str) -> bool:
        rule = self.rules[number]
        if rule.times_per_store is not None and self._hits[number, store] >= rule.times_per_store:
            return True
        return rule.times is not None and self._totals[number] >= rule.times


class _Strike:
    """One call on its way through the rules."""

    def __init__(
        self,
        plan: RulePlan,
        call: Call,
        proceed: Callable[[], SandboxAnswer],
        store_code: str | None,
    ) -> None:
        self._plan = plan
        self._call = call
        self._proceed = proceed
        self._store_code = store_code
        self._answer: SandboxAnswer | None = None

    def run(self) -> tuple[SandboxAnswer, float]:
        """The answer, and the seconds to wait before it is sent."""
        plan, call = self._plan, self._call
        plan.count_call(call.endpoint, self._store_code)
        page, wait, replaced = None, 0.0, None
        if call.endpoint in READS:
            # It only reads, and the log should have cursor and generation whatever happens.
            page = _page(call.sandbox, call, self._true())
        for number, rule in enumerate(plan.rules):
            rng = plan.draw(number, call.endpoint, self._store_code)
            if rng is None:
                continue
            hit = Hit(
                sandbox=call.sandbox,
                call=call,
                store_code=self._store_code,
                rng=rng,
                seconds=rule.seconds,
                by=rule.by,
                answer=self._true,
                page=page,
                wait=wait,
            )
            changed = FAULTS[rule.fault].act(hit)
            if changed is None:
                continue
            wait = hit.wait
            plan.count_hit(number, self._store_code)
            call.entry.faults.append(rule.fault)
            if FAULTS[rule.fault].replaces:
                replaced = changed
                break
            self._answer = changed
        if self._answer is None and replaced is not None:
            call.sandbox.log.count_refresh_call()
        return replaced or self._true(), wait

    def _true(self) -> SandboxAnswer:
        if self._answer is None:
            self._answer = self._proceed()
        return self._answer


def _page(sandbox: SandboxState, call: Call, answer: SandboxAnswer) -> Page | None:
    """What a listing call gets, worked out again from its cursor and count."""
    code = call.entry.store_code
    if call.endpoint != "video_list" or answer.code != "ok" or code is None:
        return None
    store = sandbox.world.store_of(code)
    listing = sandbox.world.listing(store.number)
    sent, size = call.entry.cursor or 0, call.page_size
    return Page(
        store=store,
        everything=listing.videos,
        start=listing.start(sent),
        size=size,
        sent=sent,
        has_more=bool(answer.body["data"]["has_more"]),
    )


def _sender(call: Call) -> Token | None:
    """The token that a call was sent with, dead or alive; for OAuth calls, one to be refreshed."""
    if call.endpoint in READS:
        return call.tokens.find(call.bearer)
    if call.endpoint == BUSINESS_REFRESH:
        return call.tokens.find(_json_text(call.body, "refresh_token"))
    if call.endpoint not in REFRESH:
        return None
    form = dict(parse_qsl(call.body.decode("latin-1")))
    is_refresh = form.get("grant_type") == "refresh_token"
    return call.tokens.find(form.get("refresh_token", "")) if is_refresh else None


def _json_text(body: bytes, name: str) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(value.get(name, "")) if isinstance(value, dict) else ""
