"""When a process of a pipeline computes, and what ends it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine.board import INPUT, Board
from service.engine.slots import Holder, Slots
from service.engine.worktime import SLICE, WorkTime

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board.create(1, 1)
    yield board
    board.close()


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path, 1)


@pytest.fixture
def holder(slots: Slots) -> Iterator[Holder]:
    holder = slots.open()
    yield holder
    holder.close()


@pytest.fixture
def other(slots: Slots) -> Iterator[Holder]:
    other = slots.open()
    yield other
    other.close()


@pytest.fixture
def work(board: Board, holder: Holder) -> Iterator[WorkTime]:
    """It takes this process's alarm, which the tests' own limit of time has."""
    handler, left = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    work = WorkTime(board, 0, holder, math.inf)
    yield work
    work.close()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *left)


def tally(board: Board):
    return board.tally(0, time.monotonic())


def compute(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_slot_is_held_from_resume_to_pause(work, slots):
    assert slots.taken == 0
    work.resume()
    work.resume()
    assert slots.taken == 1
    work.pause()
    work.pause()
    assert slots.taken == 0


def test_its_time_is_that_of_its_work(work, board):
    work.resume()
    compute(0.03)
    assert tally(board).busy >= 0.03, "also before it pauses"
    work.pause()
    done = tally(board)
    assert done.busy >= 0.03
    assert done.cpu >= 0.03
    compute(0.03)
    assert tally(board) == done, "what it does while it should wait is not counted"
    work.spend(INPUT, time.monotonic() - 2)
    assert 2 <= tally(board).input < 3
    assert tally(board).busy == done.busy


def test_without_a_slot_it_waits_for_one(work, board, other):
    assert other.try_acquire()
    later = threading.Timer(0.05, lambda: (other.release(), other.ring()))
    later.start()
    began = time.monotonic()
    work.resume()
    assert time.monotonic() - began >= 0.04
    assert 0.04 <= tally(board).slot < 5
    later.join()


def test_a_slot_that_nobody_wants_is_kept(work, slots):
    work.resume()
    for _ in range(3):
        time.sleep(SLICE)
        work.go_on()
        assert slots.taken == 1


def test_a_slot_that_somebody_waits_for_is_handed_over_after_a_while(work, other, slots):
    got_it = threading.Event()

    def take_it():
        other.acquire()
        got_it.set()
        other.release()
        other.ring()

    work.resume()
    waiting = threading.Thread(target=take_it)
    waiting.start()
    end = time.monotonic() + 10
    while not got_it.is_set():
        assert time.monotonic() < end
        time.sleep(SLICE)
        work.go_on()
    waiting.join()
    assert slots.taken == 1


def test_without_slots_it_just_works(board, slots, work):
    free = WorkTime(board, 0, None, math.inf)
    free.resume()
    free.go_on()
    assert slots.taken == 0
    free.close()


SCRIPT = """
import math, os, sys, time
from service.engine.board import Board
from service.engine.worktime import WorkTime
board = Board.create(1, 1)
def work_until(seconds=math.inf):
    return WorkTime(board, 0, None, time.monotonic() + seconds)
def nap():
    time.sleep(60)
"""


def run(code: str) -> tuple[int, float]:
    """Run a program and return its exit code, and the seconds since it was ready."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{SCRIPT}\nprint(flush=True)\n{code}"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        ready = time.monotonic()
        code_of_exit = program.wait(timeout=20)
        return code_of_exit, time.monotonic() - ready


@pytest.mark.parametrize(
    "code",
    [
        "work = work_until(); work.allow(0.1); work.resume(); nap()",
        "work = work_until(); work.resume(); work.allow(0.1); nap()",
        "work = work_until(); work.allow(0.1); work.resume(); (10**7) ** (10**8)",
        "work = work_until(); work.allow(60); work.resume(); work.allow(0.1); nap()",
        "work = work_until(0.1); nap()",
        "work = work_until(0.1); work.allow(60); work.resume(); work.hold(); nap()",
        "work = work_until(); work.allow(0.1); work.resume(); work.hold(); work.go_on(); nap()",
        "work = work_until(0.1); work.resume(); work.pause(); (10**7) ** (10**8)",
        "work = work_until(0.1); work.allow(60); work.resume(); nap()",
        "work = work_until(-1); work.resume(); nap()",
        "work = work_until(); work.resume(); work.pause(); work.allow(0.1); work.resume(); nap()",
    ],
)
def test_the_kernel_ends_what_passes_a_limit(code):
    assert run(code)[0] == -signal.SIGALRM


@pytest.mark.parametrize(
    "code",
    [
        "work = work_until(); work.allow(0.2); work.resume(); work.pause(); time.sleep(0.3)",
        "work = work_until(); work.allow(0.2); work.resume(); work.close(); time.sleep(0.3)",
        "work = work_until(0.2); work.close(); time.sleep(0.3)",
        "work = work_until(); work.allow(0.2); work.resume(); work.hold(); time.sleep(0.3); work.pause()",
        "work = work_until(); work.allow(0.2); work.resume(); work.hold(); work.allow(60); time.sleep(0.3)",
        "work = work_until()\nfor _ in range(5): work.allow(0.5); work.go_on(); time.sleep(0.15)",
        "work = work_until(); work.allow(0.2); work.resume(); work.allow(60); time.sleep(0.3)",
    ],
)
def test_what_keeps_to_its_limits_is_not_ended(code):
    assert run(code)[0] == 0


@pytest.mark.parametrize("rest", ["work.pause()", "work.hold()"])
def test_an_item_has_its_time_for_work_only(rest):
    """What it waits or passes on between does not count, and what is left is what it had."""
    code = (
        "work = work_until(); work.allow(0.6)\n"
        f"for _ in range(2): work.resume(); time.sleep(0.15); {rest}; time.sleep(0.3)\n"
        "work.resume(); nap()"
    )
    exit_code, seconds = run(code)
    assert exit_code == -signal.SIGALRM
    assert seconds > 1.1
