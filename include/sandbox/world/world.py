"""Which stores and videos exist, and what are their figures on a given day."""

from __future__ import annotations

import datetime as dt
import re
import string
import uuid
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from include.sandbox.settings import FIRST_DAY
from include.sandbox.world.content import BIOS, PLACES, caption, seeded
from include.sandbox.world.stores import Listing, SandboxStore, SandboxVideo

if TYPE_CHECKING:
    import random

    from include.sandbox.settings import SandboxSettings
    from include.sandbox.world.changes import Changes

REFERENCE_VIDEOS = 140

# Traits are laid out by the store's number, so that a world of a few dozen stores has each of them.
_BIG_EVERY, _BIG_AT = 50, 8
_EMPTY_EVERY, _EMPTY_AT = 17, 4
_HYPHEN_EVERY, _HYPHEN_AT = 9, 3
_HUGE_EVERY, _HUGE_AT = 40, 6

_BEYOND_INT32 = 2_400_000_000
_MEAN_VIDEOS = 46
_MOST_VIDEOS = 250
_LONGEST_GAP = 5 * 86_400
_HISTORY = 3 * 365 * 86_400
_SHORTEST_GAP = 3_600
_NEWEST = int(dt.datetime(2025, 12, 31, tzinfo=dt.timezone.utc).timestamp())
_ID_CHARS = string.ascii_letters + string.digits + "_-"
_CACHED_STORES = 512
_CODE = re.compile(r"S([0-9]{3,6})")

#: Default and largest page: a tie at both means that either page size meets one on its first edge.
_TIE_AT = (10, 20)


class World:
    """All stores of one seed, with their changes. Nothing is built before it is asked for.

    Videos are kept for the last 512 stores used, so that memory stays flat with 10,000 stores.

    Args:
        settings: Seed, profile and switches.
        changes: What the stores have been through since.

    Attributes:
        changes: As given; `world.edits` adds to them.
    """

    def __init__(self, settings: SandboxSettings, changes: Changes) -> None:
        self._settings = settings
        self.changes = changes
        self._stores: dict[int, SandboxStore] = {}
        self._listings: OrderedDict[int, Listing] = OrderedDict()

    def store(self, number: int) -> SandboxStore:
        """The store with a 1-based number; built once."""
        store = self._stores.get(number)
        if store is None:
            store = self._stores[number] = self._build_store(number)
        return store

    def store_of(self, code: str) -> SandboxStore:
        """The store with a well-formed code."""
        return self.store(int(code[1:]))

    def listing(self, number: int) -> Listing:
        """The public videos of the store with a 1-based number."""
        listing = self._listings.get(number)
        if listing is None:
            store = self.store(number)
            hidden = self.changes.of(store.code).hidden
            listing = self._listings[number] = Listing(
                [video for video in self.all_videos(store) if video.id not in hidden]
            )
            if len(self._listings) > _CACHED_STORES:
                self._listings.popitem(last=False)
        else:
            self._listings.move_to_end(number)
        return listing

    def all_videos(self, store: SandboxStore) -> list[SandboxVideo]:
        """Every video the store ever had, deleted and private ones too, newest first."""
        videos = self._build_videos(store)
        for index, at in enumerate(self.changes.of(store.code).published):
            videos.append(self.made(store, "published", index, at))
        return sorted(videos, key=lambda video: (video.create_time, video.id), reverse=True)

    def made(self, store: SandboxStore, series: str, index: int, at: int) -> SandboxVideo:
        """A post beyond the seed's own.

        Args:
            store: Whose.
            series: What kind of posts these are; it and the index decide what the post is like.
            index: Position in the series, from 0.
            at: When it was posted, UTC seconds.
        """
        rng = seeded(self._settings.seed, store.number, series, index)
        return self._build_video(store, rng, store.video_count + 1 + index, at)

    def forget(self, code: str) -> None:
        """Rebuilds a store's videos at the next request, because its changes changed."""
        self._listings.pop(self.store_of(code).number, None)

    def video_count(self, store: SandboxStore) -> int:
        """Number of public videos."""
        return store.video_count + self.changes.of(store.code).added

    def user(self, store: SandboxStore, day: dt.date) -> dict[str, Any]:
        """All user fields of the Display API on a day, except the signed URLs."""
        age = (day - FIRST_DAY).days
        return {
            **store.profile,
            "video_count": self.video_count(store),
            "follower_count": _grown(*store.followers, age, store.code),
            "likes_count": _grown(*store.likes, age, store.open_id),
            **self.changes.of(store.code).user,
        }

    def video(self, store: SandboxStore, video: SandboxVideo, day: dt.date) -> dict[str, Any]:
        """All Video object fields on a day, except the signed cover URL."""
        # A video that was published by hand may be younger than a day set by hand.
        age = max(1, day.toordinal() - video.first_day + 1)
        fading = video.base + video.reach * age // (age + 20)
        views = fading + _grown(0, video.pace, age, video.id)
        likes, comments, shares = (views * share // 1000 for share in video.per_mille)
        return {
            **video.fields,
            "view_count": views,
            "like_count": likes,
            "comment_count": comments,
            "share_count": shares,
            **self.changes.of(store.code).videos.get(video.id, {}),
        }

    def _trait(self, number: int, every: int, at: int) -> bool:
        return (number + self._settings.seed) % every == at

    def _video_count(self, number: int, rng: random.Random) -> int:
        drawn = min(_MOST_VIDEOS, 1 + int(rng.expovariate(1 / _MEAN_VIDEOS)))
        if self._settings.is_reference:
            return REFERENCE_VIDEOS
        if self._trait(number, _BIG_EVERY, _BIG_AT):
            return rng.randint(300, 450)
        return 0 if self._trait(number, _EMPTY_EVERY, _EMPTY_AT) else drawn

    def _build_store(self, number: int) -> SandboxStore:
        rng = seeded(self._settings.seed, number, "store")
        code = store_code(number)
        region, place, slug = PLACES[(number - 1) % len(PLACES)]
        name = place if number <= len(PLACES) else f"{place} {1 + (number - 1) // len(PLACES)}"
        prefix = "-000" if self._trait(number, _HYPHEN_EVERY, _HYPHEN_AT) else "_000"
        huge = self._trait(number, _HUGE_EVERY, _HUGE_AT)
        followers = int(rng.lognormvariate(8, 1.6)) + 20
        profile = {
            "open_id": prefix + "".join(rng.choices(_ID_CHARS, k=32)),
            "union_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "display_name": f"{rng.choice(('Nordlicht', 'NORDLICHT 🧡', 'nordlicht'))} {place}",
            "bio_description": BIOS[number % len(BIOS)],
            "profile_deep_link": f"https://vm.tiktok.com/ZM{rng.getrandbits(36):09x}/",
            "is_verified": rng.random() < 0.2,  # noqa: PLR2004 (about a fifth of the stores)
            "username": f"nordlicht.{slug}.{number}",
            "following_count": rng.randint(0, 400),
            "video_count": self._video_count(number, rng),
        }
        return SandboxStore(
            number=number,
            code=code,
            name=name,
            region=region,
            profile=profile,
            avatar=f"{rng.getrandbits(128):032x}",
            followers=(followers, 1 + followers // 500),
            likes=(followers * rng.randint(3, 40) + huge * _BEYOND_INT32, 5 + followers // 100),
        )

    def _build_videos(self, store: SandboxStore) -> list[SandboxVideo]:
        rng = seeded(self._settings.seed, store.number, "videos")
        count = store.video_count
        times: list[int] = []
        moment = _NEWEST - rng.randrange(7 * 86_400)
        widest = min(2 * _LONGEST_GAP, 2 * _HISTORY // max(count, 1))
        for _ in range(count):
            times.append(moment)
            moment -= rng.randint(_SHORTEST_GAP, widest)
        if self._settings.same_second_ties:
            for edge in _TIE_AT:
                if edge < count:
                    times[edge] = times[edge - 1]
        return [self._build_video(store, rng, index, at) for index, at in enumerate(times)]

    def _build_video(
        self, store: SandboxStore, rng: random.Random, index: int, at: int
    ) -> SandboxVideo:
        # The recorded id lies a few seconds before the time the API gives (upload, then post).
        video_id = str((at - rng.randint(0, 15)) << 32 | rng.getrandbits(32))
        title, description = caption(rng, index, nul=self._settings.nul_in_captions)
        page = f"https://www.tiktok.com/@{store.profile['username']}/video/{video_id}"
        source = f"utm_campaign=tt4d_open_api&utm_source={self._settings.client_key}"
        width, height = rng.choice(((576, 1024), (720, 1280), (1080, 1920), (1920, 1080)))
        huge = index == 0 and self._trait(store.number, _HUGE_EVERY, _HUGE_AT)
        reach = int(rng.lognormvariate(7, 1.8)) + 10
        return SandboxVideo(
            fields={
                "id": video_id,
                "create_time": at,
                "share_url": f"{page}?{source}",
                "title": title,
                "video_description": description,
                "duration": rng.randint(5, 180),
                "height": height,
                "width": width,
                "embed_link": f"https://www.tiktok.com/player/v1/{video_id}?{source}",
                "embed_html": f'<blockquote class="tiktok-embed" cite="{page}"></blockquote>',
                "is_aigc": rng.randrange(20) == 0,
            },
            first_day=dt.datetime.fromtimestamp(at, dt.timezone.utc).toordinal(),
            base=huge * _BEYOND_INT32,
            reach=reach,
            pace=1 + reach // 400,
            per_mille=(rng.randint(20, 120), rng.randint(1, 15), rng.randint(0, 20)),
        )


def store_code(number: int) -> str:
    """Code of a 1-based store number: S001, S300, S1000."""
    return f"S{number:03d}"


def store_number(code: str, stores: int) -> int | None:
    """Number of a store code, None if it is none of the first `stores`."""
    match = _CODE.fullmatch(code)
    number = int(match.group(1)) if match else 0
    return number if 1 <= number <= stores and store_code(number) == code else None


def _grown(start: int, pace: int, days: int, key: str) -> int:
    """A counter that rises every day, by about `pace`, unevenly but always the same way."""
    return start + pace * days + zlib.crc32(f"{key}:{days}".encode()) % pace
