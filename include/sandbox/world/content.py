"""Which texts do stores and videos have? Names, places and captions in many scripts, by seed."""

from __future__ import annotations

import random
import zlib

#: Documented by TikTok for uploads; the Display pages say 150, but longer ones exist on read
#: (reference: video object), so a client must take them.
MAX_CAPTION = 2_200
MAX_TITLE = 150

#: (region, place as people write it, place in ASCII for the user name)
PLACES: tuple[tuple[str, str, str], ...] = (
    ("DE", "Berlin Mitte", "berlinmitte"),
    ("DE", "Köln Süd", "koelnsued"),
    ("DE", "München Hauptbahnhof", "muenchenhbf"),
    ("AT", "Wien Naschmarkt", "wiennaschmarkt"),
    ("CH", "Zürich Oerlikon", "zuerichoerlikon"),
    ("FR", "Paris Châtelet", "parischatelet"),
    ("FR", "Lyon Part-Dieu", "lyonpartdieu"),
    ("ES", "Málaga Centro", "malagacentro"),
    ("PT", "São João da Madeira", "saojoao"),
    ("IT", "Milano Centrale", "milanocentrale"),
    ("NL", "'s-Hertogenbosch", "denbosch"),
    ("DK", "København K", "kobenhavnk"),
    ("SE", "Malmö Triangeln", "malmotriangeln"),
    ("PL", "Łódź Piotrkowska", "lodzpiotrkowska"),
    ("GR", "Αθήνα Σύνταγμα", "athensyntagma"),
    ("TR", "İstanbul Beşiktaş", "istanbulbesiktas"),
    ("IL", "תל אביב דיזנגוף", "telavivdizengoff"),
    ("AE", "دبي مارينا", "dubaimarina"),
    ("EG", "القاهرة الزمالك", "cairozamalek"),
    ("JP", "東京 渋谷", "tokyoshibuya"),
    ("JP", "大阪 心斎橋", "osakashinsaibashi"),
    ("KR", "서울 홍대", "seoulhongdae"),
    ("TW", "台北 信義", "taipeixinyi"),
    ("TH", "กรุงเทพ สยาม", "bangkoksiam"),
    ("VN", "Hà Nội Hoàn Kiếm", "hanoihoankiem"),
    ("GB", "London, Covent Garden", "londoncovent"),
    ("IE", 'Dublin "Grafton Street"', "dublingrafton"),
    ("US", "New York SoHo", "newyorksoho"),
    ("BR", "São Paulo Jardins", "saopaulojardins"),
    ("MX", "Ciudad de México Roma", "cdmxroma"),
)

BIOS: tuple[str, ...] = (
    "",
    "Open every day, 10-20 h. Ask us anything!",
    "🛍️ New drops every Friday\n📍 Find us by the station",
    "毎週金曜日に新作入荷 ✨",
    "تسوق معنا كل يوم 🧡",
    "חדש בחנות: קולקציית החורף",
    "100 % local, 0 % \\ boring / 'quoted' \"twice\"; DROP the price 👩‍👩‍👧‍👦",
)

_OPENERS: tuple[str, ...] = (
    "New in store today",
    "Wait for the end 😂",
    "Unboxing the winter drop ❄️📦",
    "3 looks, 1 jacket",
    "POV: it's Saturday, 9:59, doors closed",
    "Das Team stellt sich vor 👋🏽",
    "Les coulisses du magasin ✨",
    "¿Cuál eliges? 1️⃣ o 2️⃣",
    "新商品が入荷しました 🎌",
    "오늘의 추천 상품 🧥",
    "新品上架，先到先得 🔥",  # noqa: RUF001 (a Chinese comma is what people type there)
    "وصلت المجموعة الجديدة 🌙",
    "הגיע המלאי החדש 🎉",
    "ใหม่ล่าสุดวันนี้ 🧡",
    "Family day at the shop 👨‍👩‍👧‍👦🏳️‍🌈",
    "50 % off; it's \"real\", it's 'here' \\o/",
    "=SUM(love) is not a formula",
)

_HASHTAGS: tuple[str, ...] = (
    "#fyp",
    "#foryou",
    "#ootd",
    "#storetok",
    "#smallbusiness",
    "#新作",
    "#패션",
    "#تسوق",
    "#חדש",
    "#été",
    "#sale2025",
    "#unboxing",
)

_STORY = (
    "We opened the first box at six in the morning and by noon the whole shelf was gone. "
    "Thank you to everyone who queued in the rain ☔. "
    "来てくれてありがとう。"
    "شكرا لكم جميعا. "
    "The next delivery comes on Friday; follow us so that you do not miss it 🧡. "
)

_LONG_ONE_IN = 40
_EMPTY_CAPTION_ONE_IN = 30
_EMPTY_TITLE_ONE_IN = 12
_NUL_ONE_IN = 15


def seeded(*parts: object) -> random.Random:
    """A generator that gives the same numbers for the same parts, in every process."""
    return random.Random(":".join(map(str, parts)))  # noqa: S311 (sandbox content, not secrets)


def drawn(below: int, *parts: object) -> int:
    """A number from 0 to `below` - 1 that is the same for the same parts; cheaper than `seeded`."""
    return zlib.crc32(":".join(map(str, parts)).encode()) % below


def caption(rng: random.Random, index: int, *, nul: bool) -> tuple[str, str]:
    """One video's (title, video_description).

    The two mostly agree, as recorded; either may be empty.

    Args:
        rng: Generator of the store; always consumed alike, so that `nul` changes nothing else.
        index: Position of the video in its store, 0 the newest.
        nul: Whether one video in 15 holds U+0000 in both texts. Postgres text refuses it.
    """
    opener = rng.choice(_OPENERS)
    tags = " ".join(rng.sample(_HASHTAGS, rng.randint(0, 5)))
    kind = rng.randrange(_LONG_ONE_IN)
    length = rng.choice((MAX_CAPTION, rng.randint(400, MAX_CAPTION)))
    no_caption = rng.randrange(_EMPTY_CAPTION_ONE_IN) == 0
    no_title = rng.randrange(_EMPTY_TITLE_ONE_IN) == 0
    text = f"{opener} {tags}".strip()
    if kind == 0:
        text = (f"{opener} " + _STORY * (1 + MAX_CAPTION // len(_STORY)))[:length]
    elif no_caption:
        text = ""
    if nul and index % _NUL_ONE_IN == 0:
        text = f"{opener}\x00{text}"[:MAX_CAPTION]
    return ("" if no_title else text[:MAX_TITLE]), text
