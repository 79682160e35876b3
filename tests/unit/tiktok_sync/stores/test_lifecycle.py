"""Is the table of moves sound, and is the page made from it the committed one?"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from include.tiktok_sync.store_db.audit import GRANT_MOVES
from include.tiktok_sync.stores.lifecycle import GRANT_STATES, MOVE, MOVES, MoveName, StoreState
from tools.pages.lifecycle_page import lifecycle_block

PAGE = Path(__file__).resolve().parents[4] / "docs" / "lifecycle.md"


def test_the_committed_page_has_the_table_of_the_code() -> None:
    # When this fails: make lifecycle, and commit the file.
    text = PAGE.read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- moves: written by `make lifecycle` -->\n")
    block, _, _ = rest.partition("<!-- end of moves -->")
    assert block == lifecycle_block()


def test_every_move_is_in_the_table_once() -> None:
    assert [move.name for move in MOVES] == list(get_args(MoveName))


@pytest.mark.parametrize("state", get_args(StoreState))
def test_every_state_can_be_reached_and_left(state: StoreState) -> None:
    reached = {move.target for move in MOVES if set(move.sources) != {state}}
    if MOVE["resume"].target is None:
        reached |= set(GRANT_STATES)
    assert state in reached
    assert any(state in move.sources and move.target != state for move in MOVES)


def test_only_a_store_that_has_left_can_be_erased() -> None:
    assert MOVE["erase"].sources == ("removed",)


def test_what_tiktoks_answers_do_to_a_grant_are_moves_of_the_table() -> None:
    assert set(GRANT_MOVES) == set(GRANT_STATES)
    assert {move.target: move.name for move in MOVES if move.name in GRANT_MOVES.values()} == dict(
        GRANT_MOVES
    )
