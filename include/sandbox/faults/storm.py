"""What happens on a bad night? The scenario `storm`: many small troubles, and a few that last.

The small ones are such that a client with four tries a call, and a task that is tried again, gets
nearly every store through. The lasting ones are what a person should find in the morning, named and
with a reason: they are faults too, so that healing leaves nothing behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.sandbox.world.content import seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from include.sandbox.world.world import World

    Rules = list[dict[str, Any]]

#: Fault -> share of the calls. Those that replace an answer add up to about one call in six.
_BLIPS: Mapping[str, float] = {
    "bad_gateway_html": 0.01,
    "unavailable_html": 0.01,
    "gateway_timeout_html": 0.01,
    "invalid_json": 0.01,
    "error_in_200": 0.005,
    "error_without_data": 0.005,
    "error_data_null": 0.005,
    "bare_error": 0.005,
    "unknown_code_503": 0.005,
    "valid_body_in_500": 0.005,
    "missing_data": 0.005,
    "reset": 0.01,
    "cut_body": 0.01,
    "rate_limited": 0.005,
}

#: Rarer, because each is expensive for a store: a refresh, or its whole listing once more.
_ONCE_PER_STORE: Mapping[str, float] = {
    "token_rejected": 0.02,
    "cursor_stuck": 0.02,
    "cursor_rejected": 0.02,
}

_OAUTH: Mapping[str, float] = {
    "oauth_server_error": 0.10,
    "oauth_error_in_200": 0.05,
    "oauth_unavailable_html": 0.05,
    "oauth_slow": 0.10,
}

_ODD_DATA: Mapping[str, float] = {
    "counter_absent": 0.02,
    "counter_null": 0.02,
    "counter_string": 0.05,
    "unknown_field": 0.10,
    "nul_in_text": 0.05,
    "long_caption": 0.02,
    "short_page": 0.05,
    "empty_page": 0.05,
    "duplicate_video": 0.05,
}

#: Least number of stores -> fault that lasts, with what it strikes. Failures come last, so that
#: they stay within one store in twenty.
_LASTING: tuple[tuple[int, dict[str, Any]], ...] = (
    (4, {"fault": "grant_revoked"}),
    (8, {"fault": "scope_refused", "endpoints": ["video_list", "video_query"]}),
    (25, {"fault": "internal_error"}),
    (50, {"fault": "invalid_json", "endpoints": ["video_list"], "after": 1}),
)

#: More videos than one page holds, so that the first page is good and the second never is.
_TWO_PAGES = 21


def storm(seed: int, world: World, codes: Sequence[str]) -> Rules:
    """The rules of the storm, as JSON.

    Args:
        seed: Which stores the lasting trouble strikes.
        world: The stores.
        codes: Stores to choose from.
    """
    return [
        *_lasting(seed, world, codes),
        # In bursts of three calls: about 8 % of the calls, and the fourth try gets through.
        {"fault": "internal_error", "rate": 0.08, "burst": 3},
        *({"fault": name, "rate": rate} for name, rate in _BLIPS.items()),
        {"fault": "stall", "rate": 0.001, "seconds": 5},
        *(
            {"fault": name, "rate": rate, "times_per_store": 1}
            for name, rate in _ONCE_PER_STORE.items()
        ),
        *({"fault": name, "rate": rate, "times_per_store": 2} for name, rate in _OAUTH.items()),
        {"fault": "slow", "rate": 0.03, "seconds": 2},
        *({"fault": name, "rate": rate} for name, rate in _ODD_DATA.items()),
    ]


#: Name of every scenario -> what makes its rules.
SCENARIOS: Mapping[str, Callable[[int, World, Sequence[str]], Rules]] = {"storm": storm}


def _lasting(seed: int, world: World, codes: Sequence[str]) -> Iterator[dict[str, Any]]:
    rng = seeded(seed, "storm")
    stores = list(codes)
    rng.shuffle(stores)
    for least, rule in _LASTING:
        if len(codes) < least:
            continue
        paged = (code for code in stores if world.video_count(world.store_of(code)) >= _TWO_PAGES)
        code = next(paged, stores[0])
        stores.remove(code)
        yield {**rule, "stores": [code]}
