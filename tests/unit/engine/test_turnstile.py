"""Several processes of a stage pass on in the order in which the items came; here they are threads."""

from __future__ import annotations

import functools
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from service.engine.board import AWAITED, PLACE, TAKING, TURN, Board
from service.engine.turnstile import LOOK_AGAIN, Turnstile

PROCESSES = 4


class Clock:
    """Stands in for the ``WorkTime`` of a process, which would set the alarm of this one."""

    def __init__(self) -> None:
        self.paused = 0
        self.words: list[int] = []

    def pause(self) -> None:
        self.paused += 1

    def spend(self, word: int, since: float) -> None:
        assert since <= time.monotonic()
        self.words.append(word)


class Place:
    """One process of the stage."""

    def __init__(self, board: Board, row: int, bells: list[tuple[int, int]]) -> None:
        self.board = board
        self.row = row
        self.clock = Clock()
        self.turns = Turnstile(board, self.clock, 0, row, bells)  # type: ignore[arg-type]

    def set(self, word: int, value: int) -> None:
        self.board.ints[self.board.at(self.row) + word] = value


@pytest.fixture
def places() -> Iterator[list[Place]]:
    board = Board.create(PROCESSES, 1)
    bells = [(row, os.eventfd(0, os.EFD_NONBLOCK)) for row in range(PROCESSES)]
    yield [Place(board, row, bells) for row in range(PROCESSES)]
    for _, bell in bells:
        os.close(bell)
    board.close()


def start(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def waits(place: Place) -> bool:
    return place.board.ints[place.board.at(place.row) + AWAITED] >= 0


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, true
        time.sleep(0.001)


def test_whose_turn_it_is_does_not_wait(places):
    first = places[0]
    first.turns.wait(0)
    assert first.clock.paused == 0
    first.turns.end(0)
    assert first.board.turn(0) == 1
    first.turns.wait(1)
    assert not first.clock.words


def test_the_next_is_called(places):
    first, second = places[:2]
    first.set(PLACE, 0)
    second.set(PLACE, 1)
    waiting = start(lambda: second.turns.wait(1))
    wait_until(lambda: waits(second))
    assert second.clock.paused == 1, "it takes no slot while it waits"
    first.turns.end(0)
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    assert not waits(second)
    assert second.clock.words == [TURN]


def test_who_is_not_at_turn_passes_no_turn_on(places):
    places[0].turns.end(3)
    assert places[0].board.turn(0) == 0


@pytest.mark.parametrize("word", [PLACE, TAKING])
def test_one_that_has_the_item_or_may_have_it_is_waited_for(places, word):
    first, second = places[:2]
    first.set(word, 0 if word == PLACE else 1)
    second.set(PLACE, 1)
    waiting = start(lambda: second.turns.wait(1))
    waiting.join(timeout=5 * LOOK_AGAIN)
    assert waiting.is_alive()
    first.turns.end(0)
    waiting.join(timeout=10)
    assert not waiting.is_alive()


def test_an_item_that_nobody_has_is_passed_over(places):
    """Its process died; so did the next one's."""
    places[2].set(PLACE, 2)
    waiting = start(lambda: places[2].turns.wait(2))
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    assert places[0].board.turn(0) == 2


def test_the_one_who_died_is_waited_for_until_its_row_is_cleared(places):
    first, second = places[:2]
    first.set(PLACE, 0)
    second.set(PLACE, 1)
    waiting = start(lambda: second.turns.wait(1))
    waiting.join(timeout=3 * LOOK_AGAIN)
    assert waiting.is_alive()
    first.board.clear(first.row)
    waiting.join(timeout=10)
    assert not waiting.is_alive()


def test_many_items_and_some_losses_come_out_in_order(places):
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    count, lost, out = 400, {17, 18, 190, 399}, []
    for number in range(count):
        items.put(number)

    def work(place: Place) -> None:
        chance = random.Random(place.row)
        while True:
            place.set(TAKING, 1)
            try:
                number = items.get_nowait()
            except queue.Empty:
                place.set(TAKING, 0)
                return
            place.set(PLACE, number)
            place.set(TAKING, 0)
            time.sleep(chance.choice((0, 0, 0.001)))
            if number not in lost:
                place.turns.wait(number)
                out.append(number)
                place.turns.end(number)
            place.set(PLACE, -1)

    threads = [start(functools.partial(work, place)) for place in places]
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert out == [number for number in range(count) if number not in lost]
