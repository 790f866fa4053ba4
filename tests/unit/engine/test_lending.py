"""Memory that goes to a reader and comes back."""

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from service.engine.items import Packer
from service.engine.lending import KEPT, MOST, Borrower, Lender
from service.engine.transport import KEEP

LARGE = np.arange(50_000)


class Pair:
    """Both sides, as two processes would have them."""

    def __init__(self):
        self.lender, self.borrower, self.packer = Lender(), Borrower(), Packer()
        self.numbers = []

    def send(self, value):
        pickled = self.packer.pickle(value)
        loan = self.lender.fill(pickled, self.packer.buffers)
        self.packer.buffers.clear()
        fd = os.dup(loan.arena.fd)
        self.lender.lend(loan)
        self.numbers.append(loan.number)
        return loan.number, fd

    def pass_on(self, value):
        self.borrower.give_back()
        return self.borrower.read(*self.send(value))

    def close(self):
        self.lender.close()
        self.borrower.close()


@pytest.fixture
def pair():
    both = Pair()
    yield both
    both.close()


def test_memory_is_used_again_when_its_reader_is_through_with_it(pair):
    for number in range(50):
        received = pair.pass_on(LARGE + number)
        assert (received == LARGE + number).all()
        del received

    assert len(set(pair.numbers)) == 1


def test_memory_grows_with_what_it_is_used_for(pair):
    for size in (10, 5_000, 300_000, 1_000_000, 100, 600_000):
        received = pair.pass_on((np.full(size, size), "x" * size))
        assert (received[0] == size).all()
        assert received[1] == "x" * size
        del received

    assert len(set(pair.numbers)) == 1


def test_memory_that_is_looked_at_is_left_alone(pair):
    kept = [pair.pass_on(LARGE + number) for number in range(MOST + KEPT)]

    assert len(set(pair.numbers)) == len(kept)
    assert all((array == LARGE + number).all() for number, array in enumerate(kept))


def test_memory_of_a_part_that_is_kept_is_left_alone(pair):
    part = pair.pass_on({"in": LARGE})["in"][10:20]
    for _ in range(20):
        pair.pass_on(-LARGE)

    assert part.tolist() == list(range(10, 20))


def test_a_reader_that_keeps_much_has_copies_until_it_lets_go(pair):
    kept = [pair.pass_on(LARGE + number) for number in range(MOST + KEPT + 50)]
    last = kept[-1]

    assert all((array == LARGE + number).all() for number, array in enumerate(kept))
    assert (memory_of(kept[0]), memory_of(last)) == (mmap.mmap, bytearray)
    kept.clear()
    assert memory_of(pair.pass_on(LARGE)) is mmap.mmap
    assert (last == LARGE + MOST + KEPT + 49).all()


def memory_of(array):
    """Return what kind of memory an array is a view of."""
    while isinstance(array, np.ndarray):
        array = array.base
    return type(array.obj) if isinstance(array, memoryview) else type(array)


def test_neither_side_keeps_more_than_so_much(pair):
    before = open_files()
    messages = [pair.send(LARGE) for _ in range(2 * MOST)]
    assert open_files() <= before + 2 * MOST + 2 * MOST
    for number, fd in messages:
        assert (pair.borrower.read(number, fd) == LARGE).all()
        pair.borrower.give_back()

    assert open_files() <= before + 4 * MOST


def test_very_large_memory_is_kept_by_neither_side(pair):
    before = open_files()
    received = pair.pass_on(np.zeros(KEEP + 1, np.uint8))
    pair.borrower.give_back()
    assert len(received) == KEEP + 1
    del received

    assert open_files() == before


def test_memory_that_a_dead_reader_had_is_forgotten_in_time(pair):
    before = open_files()
    for _ in range(3 * MOST):
        _, fd = pair.send(LARGE)
        os.close(fd)
        pair.pass_on(LARGE)

    assert open_files() <= before + 4 * MOST


def test_what_cannot_be_unpickled_gives_its_memory_back(pair):
    class Unreadable:
        def __reduce__(self):
            return int, ("not a number",)

    for _ in range(5):
        with pytest.raises(ValueError, match="not a number"):
            pair.pass_on((LARGE, Unreadable()))

    assert len(set(pair.numbers)) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_of_either_side_gives_nothing_back_and_uses_nothing(pair):
    received, part = pair.pass_on(LARGE), pair.pass_on(LARGE)[1:3]
    pair.pass_on(LARGE)
    held, numbers = [received, part], set(pair.numbers)
    del received, part
    pair.borrower.give_back()

    def in_the_fork():
        # Memory that is free here is free at the other side of the fork, too
        assert pair.send(LARGE)[0] not in numbers
        held.clear()
        pair.borrower.give_back()

    assert status_of(in_the_fork) == 0
    # Its end has not given back what is still in use here
    for _ in range(3):
        pair.pass_on(-LARGE)
    assert (held[0] == LARGE).all()
    assert held[1].tolist() == [1, 2]


def status_of(function):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
