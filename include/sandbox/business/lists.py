"""Which parts make up an audience and its ways to a video: lists of names and shares?

Lists are tops, not wholes, in no order; shares are from 0 to 1, but those of cities now and then
from 0 to 100, as in TikTok's example (reference: Accounts API, 6.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.sandbox.world.content import PLACES, drawn, seeded

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    Shares = list[dict[str, Any]]

AGES = ("18-24", "25-34", "35-44", "45-54", "55+")
GENDERS = ("Female", "Male", "Other")
COUNTRIES = tuple(dict.fromkeys(region for region, _, _ in PLACES))
CITIES = tuple(f"{region} {place}" for region, place, _ in PLACES)
SOURCES = (
    *("For You", "Follow", "Sound", "Personal Profile", "Search", "Others", "Direct Message"),
    "Hashtag",
)

#: Seen live, on no page.
UNDOCUMENTED_SOURCE = "other_profile_vv"

_TOP = 10
_CITY_PERCENT_ONE_IN = 3
_ODD_SOURCE_ONE_IN = 6
_SECONDS_SHOWN = 30


def ages(*key: object) -> Shares:
    """`[{"age", "percentage"}]`."""
    return _shares("age", AGES, seeded(*key, "ages"))


def genders(*key: object) -> Shares:
    """`[{"gender", "percentage"}]`."""
    return _shares("gender", GENDERS, seeded(*key, "genders"))


def countries(*key: object) -> Shares:
    """`[{"country", "percentage"}]`, at most ten."""
    return _shares("country", COUNTRIES, seeded(*key, "countries"), rest=0.1)


def cities(*key: object) -> Shares:
    """`[{"city_name", "percentage"}]`, at most ten; one list in three in per cent."""
    found = _shares("city_name", CITIES, seeded(*key, "cities"), rest=0.4)
    if drawn(_CITY_PERCENT_ONE_IN, *key, "city scale"):
        return found
    return [one | {"percentage": round(one["percentage"] * 100, 4)} for one in found]


def sources(*key: object) -> Shares:
    """`[{"impression_source", "percentage"}]`, at times with a name that no page has."""
    rng = seeded(*key, "sources")
    names = SOURCES
    if not drawn(_ODD_SOURCE_ONE_IN, *key, "odd source"):
        names = (*SOURCES[:-1], UNDOCUMENTED_SOURCE)
    return _shares("impression_source", names, rng, some=False)


def types(*key: object) -> Shares:
    """`[{"type", "percentage"}]`: two pairs that each make 1."""
    rng = seeded(*key, "types")
    new, follows = round(rng.random(), 4), round(rng.random(), 4)
    found = {
        "NEW_VIEWER": new,
        "RETURN_VIEWER": round(1 - new, 4),
        "FOLLOWER_PERCENT": follows,
        "NON_FOLLOWER_PERCENT": round(1 - follows, 4),
    }
    listed = [{"type": name, "percentage": share} for name, share in found.items()]
    rng.shuffle(listed)
    return listed


def by_second(duration: int, *key: object) -> Shares:
    """`[{"second", "percentage"}]`, from 1 downwards; the second is a text."""
    left = (800 + drawn(199, *key)) / 1_000
    return [
        {"second": str(second), "percentage": round(left**second, 4)}
        for second in range(min(duration, _SECONDS_SHOWN))
    ]


def _shares(
    name: str, names: Sequence[str], rng: random.Random, *, rest: float = 0.0, some: bool = True
) -> Shares:
    """Shares of some of the names, at most ten, that add up to 1 - `rest`, in no order."""
    most = min(len(names), _TOP)
    picked = rng.sample(names, rng.randint(min(3, most), most) if some else most)
    weights = [rng.random() ** 3 for _ in picked]
    total = sum(weights) or 1.0
    return [
        {name: one, "percentage": round(weight / total * (1 - rest), 4)}
        for one, weight in zip(picked, weights, strict=True)
    ]
