"""Does a wait end with the answer, or with its time?"""

from __future__ import annotations

import math

from include.local.polling import wait_for


def test_the_answer_ends_the_wait() -> None:
    answers = iter([None, "", "there", "never asked"])

    assert wait_for(lambda: next(answers), seconds=math.inf, every=0) == "there"


def test_it_asks_once_even_without_time() -> None:
    answers = iter(["", "never asked"])

    assert wait_for(lambda: next(answers), seconds=0) == ""
