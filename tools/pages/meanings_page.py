"""What is made of every answer, for people? The table of meanings as a page, from the code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from include.tiktok_sync.business.meanings import CODES, TOKEN_CODES, meaning_of_answer
from include.tiktok_sync.errors import RetriableError, SkippableError
from include.tiktok_sync.tiktok.meanings import (
    API_CODES,
    CURSOR_CODES,
    EXCEPTIONS,
    OAUTH_ERRORS,
    Action,
    Meaning,
    meaning_of_api_answer,
    meaning_of_oauth_answer,
)

OTHER_STATUSES: Mapping[str, tuple[int, ...]] = {
    "HTTP 408 or 5xx": (408, *range(500, 600)),
    "HTTP 429": (429,),
    "another HTTP status": (*range(100, 408), *range(409, 429), *range(430, 500)),
}
"""How undocumented codes are distinguished: only by their status."""

NOT_TIKTOKS: Mapping[str, tuple[int, ...]] = {
    "HTTP 1xx or 2xx": tuple(range(100, 300)),
    "HTTP 3xx, 404, 405 or 410": (*range(300, 400), 404, 405, 410),
    "HTTP 408 or 5xx": (408, *range(500, 600)),
    "HTTP 429": (429,),
    "another HTTP 4xx": (
        *range(400, 404),
        *(406, 407, 409),
        *range(411, 429),
        *range(430, 500),
    ),
}
"""How answers without TikTok's JSON are distinguished."""

_HEAD = """\
# What every answer means

Generated from `include/tiktok_sync/tiktok/meanings.py` by `make meanings`; change the code, not
this file. Why TikTok's answers are read this way, and which test pins it:
[behavior.md](behavior.md).

The code in the body decides, whatever the HTTP status; a code that is not listed is judged by the
status. An answer without TikTok's JSON (HTML, nothing, a gateway's own JSON) comes from something
in between. *The client does* what can help within seconds. *If that does not help*, the store's
row in `sync_logs` gets that `status`, the message for the person, and in `details` the `kind` and,
for the engineer, the `detail`; a `failed` store that may succeed later is tried again by Airflow.
"""

_COLUMNS = ("answer", "the client does", "if that does not help", "the person reads", "detail")


def meanings_page() -> str:
    """Every code, OAuth error and exception with what it means.

    Returns:
        Markdown, the same for the same code.
    """
    api = {f"`{code}`": meaning for code, meaning in API_CODES.items()}
    cursor = {
        f"`{code}` where a cursor was sent": meaning_of_api_answer(400, code, with_cursor=True)
        for code in sorted(CURSOR_CODES)
    }
    api_others = {
        **{
            f"another code with {label}": meaning_of_api_answer(statuses[0], "")
            for label, statuses in OTHER_STATUSES.items()
        },
        **{
            f"not TikTok's JSON, {label}": meaning_of_api_answer(statuses[0], None)
            for label, statuses in NOT_TIKTOKS.items()
        },
    }
    oauth = {f"`{name}`": meaning for name, meaning in OAUTH_ERRORS.items()}
    oauth_others = {
        **{
            f"another error with {label}": meaning_of_oauth_answer(statuses[0], "")
            for label, statuses in OTHER_STATUSES.items()
        },
        **{
            f"not TikTok's JSON, {label}": meaning_of_oauth_answer(statuses[0], None)
            for label, statuses in NOT_TIKTOKS.items()
        },
    }
    business = {
        **{
            f"`{code}`": meaning
            for code, meaning in CODES.items()
            if meaning.action is not Action.USE
        },
        "another code of 4xxxx": meaning_of_answer(200, 49999),
        "another code": meaning_of_answer(200, 99999),
        **{
            f"not TikTok's JSON, {label}": meaning_of_answer(statuses[0], None)
            for label, statuses in NOT_TIKTOKS.items()
        },
    }
    business_tokens = {
        f"`{code}`": meaning
        for code, meaning in TOKEN_CODES.items()
        if meaning is not CODES.get(code)
    }
    exceptions = {f"`{kind.__name__}`": meaning for kind, meaning in EXCEPTIONS.items()}
    return "\n".join(
        [
            _HEAD,
            "## Data endpoints: `error.code`\n",
            "`ok` is used, under whatever status. The others:\n",
            *_table({**api, **cursor, **api_others}),
            "\n## Token endpoint: `error`\n",
            "An answer with an `access_token` is used, under whatever status. The others:\n",
            *_table({**oauth, **oauth_others}),
            "\n## Accounts API, data endpoints: `code`\n",
            "The Accounts API answers with HTTP 200 and a number, read by",
            "`include/tiktok_sync/business/meanings.py`. `0` and `20001` are used. The others:\n",
            *_table(business),
            "\n## Accounts API, token endpoints: `code`\n",
            "The numbers that mean something else there:\n",
            *_table(business_tokens),
            "\n## No whole answer: exceptions of the HTTP library\n",
            "An exception counts as the nearest of its classes that stands here, or else as",
            "`ConnectionError`. `{url}` is TikTok's base URL, `{setting}` its variable.\n",
            *_table(exceptions),
            "",
        ]
    )


def _table(answers: Mapping[str, Meaning]) -> Iterable[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{' --- |' * len(_COLUMNS)}"
    together: dict[Meaning, list[str]] = {}
    for answer, meaning in answers.items():
        together.setdefault(meaning, []).append(answer)
    for meaning, alike in together.items():
        cells = (
            "; ".join(alike),
            meaning.action.value,
            _outcome(meaning),
            meaning.message,
            meaning.engineer,
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _outcome(meaning: Meaning) -> str:
    if issubclass(meaning.error, SkippableError):
        status = "skipped"
    elif issubclass(meaning.error, RetriableError):
        status = "failed, tried again"
    else:
        status = "failed"
    return f"{status} (`{meaning.error.kind}`)"
