"""What the processes of a pipeline's run write down for each other."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from service.engine.board import (
    AWAITED,
    BEGUN,
    BUSY,
    CPU,
    INPUT,
    ITEMS_IN,
    ITEMS_OUT,
    NUMBER,
    OUTPUT,
    PLACE,
    SKIPPED,
    SLOT,
    TAKING,
    TURN,
    Board,
    Tally,
)

COUNTS = (ITEMS_IN, ITEMS_OUT, SKIPPED)
SECONDS = (BUSY, CPU, INPUT, OUTPUT, SLOT, TURN)


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.create(processes=3, steps=2)
    yield board
    board.close()


def test_at_first_nobody_has_anything(board):
    for row in range(3):
        assert board.number(row) is None
        assert not board.has_item(row)
        assert board.tally(row, time.monotonic()) == Tally(0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        assert [board.ints[board.at(row) + word] for word in (PLACE, AWAITED)] == [-1, -1]
    assert [board.turn(step) for step in range(2)] == [0, 0]
    assert [board.next_place(step) for step in range(2)] == [0, 0]


def test_every_word_has_a_place_of_its_own(board):
    words = (NUMBER, PLACE, AWAITED, TAKING, *COUNTS, *SECONDS, BEGUN)
    assert len(set(words)) == len(words)
    for row in range(3):
        for word in words:
            board.ints[board.at(row) + word] = 100 * row + word
    for step in range(2):
        board.set_turn(step, 1000 + step)
        board.take_place(step)
    for row in range(3):
        for word in words:
            assert board.ints[board.at(row) + word] == 100 * row + word
    assert [board.turn(step) for step in range(2)] == [1000, 1001]
    assert [board.next_place(step) for step in range(2)] == [1, 1]


def test_another_process_sees_the_same(board):
    other = Board(os.dup(board.fd), 3)
    board.ints[board.at(1) + NUMBER] = 7
    board.set_turn(1, 5)
    assert (other.number(1), other.number(0), other.turn(1)) == (7, None, 5)
    other.floats[other.at(2) + SLOT] = 0.5
    other.close()
    assert board.tally(2, 0.0).slot == 0.5, "it stays when a process goes"


def test_one_that_takes_an_item_may_have_one(board):
    """Even if it died before it noted which."""
    board.ints[board.at(0) + TAKING] = 1
    board.ints[board.at(1) + NUMBER] = 0
    assert [board.has_item(row) for row in range(3)] == [True, True, False]
    assert [board.number(row) for row in range(3)] == [None, 0, None]


def test_work_that_goes_on_counts(board):
    board.floats[board.at(0) + BUSY] = 2.0
    board.floats[board.at(0) + BEGUN] = 100.0
    assert board.tally(0, 101.5).busy == 3.5
    assert board.tally(0, 99.0).busy == 2.0, "clocks of different processes are read at different moments"


def test_the_row_of_one_that_died_is_cleared_but_for_what_it_counted(board):
    at = board.at(1)
    for word in (NUMBER, PLACE, AWAITED, TAKING, ITEMS_IN):
        board.ints[at + word] = 4
    board.floats[at + BUSY] = 1.0
    board.floats[at + BEGUN] = time.monotonic() - 5
    board.clear(1)
    assert board.number(1) is None
    assert not board.has_item(1)
    assert [board.ints[at + word] for word in (PLACE, AWAITED, ITEMS_IN)] == [-1, -1, 4]
    tally = board.tally(1, time.monotonic() + 100)
    assert tally.busy == pytest.approx(6.0, abs=1), "also the time that its last item took"


def test_it_can_be_closed_twice():
    board = Board.create(1, 1)
    fd = board.fd
    board.close()
    board.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_what_can_not_be_mapped_is_closed():
    fd = os.memfd_create("empty")
    with pytest.raises(ValueError, match="empty"):
        Board(fd, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
