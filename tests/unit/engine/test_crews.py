"""Room for several processes: for all of them, or for none yet."""

from __future__ import annotations

import math
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from service.engine.crews import Crews
from service.errors import Abandoned, ConfigurationError, DeadlineExceeded, Saturated, Stopping


def always():
    """Be open."""


def room(crews, size, within=math.inf, queue_timeout=math.inf, hangup_fd=None, check_open=always):
    now = time.monotonic()
    return crews.room(size, now + within, now + queue_timeout, hangup_fd, check_open)


def wait_for_line(crews, length):
    end = time.monotonic() + 10
    while len(crews._line) != length:
        assert time.monotonic() < end
        time.sleep(0.001)


class Member(threading.Thread):
    """Has room in a thread of its own until it is told to leave."""

    def __init__(self, crews, size, log):
        super().__init__(daemon=True)
        self._crews, self._size, self._log = crews, size, log
        self.leave = threading.Event()
        self.start()

    def run(self):
        with room(self._crews, self._size):
            self._log.append(self._size)
            self.leave.wait(10)


def test_those_who_fit_are_in_at_once():
    crews = Crews(5)
    with ExitStack() as stack:
        for size in (2, 1, 2):
            stack.enter_context(room(crews, size))
        assert crews._taken == 5
    assert crews._taken == 0
    with room(crews, 5):
        pass


def test_the_others_wait_in_line_and_do_not_pass_each_other():
    crews = Crews(5)
    log: list[int] = []
    first = Member(crews, 3, log)
    while not log:
        time.sleep(0.001)
    members = []
    for length, size in enumerate((4, 1, 5, 2), 1):
        members.append(Member(crews, size, log))
        wait_for_line(crews, length)
    assert log == [3], "there would be room for one, but four came first"
    first.leave.set()
    wait_for_line(crews, 2)
    members[0].leave.set()
    members[1].leave.set()
    wait_for_line(crews, 1)
    while len(log) < 4:
        time.sleep(0.001)
    assert sorted(log[1:3]) == [1, 4]
    assert log[3:] == [5]
    members[2].leave.set()
    wait_for_line(crews, 0)
    members[3].leave.set()
    for member in (first, *members):
        member.join(timeout=10)
    assert crews._taken == 0
    assert log[4] == 2


def test_more_than_there_is_can_not_be_had():
    with pytest.raises(ConfigurationError, match=r"6 processes .* at most 5"), room(Crews(5), 6):
        pass


@pytest.mark.parametrize("within", [0.1, -1])
def test_a_deadline_ends_a_wait(within):
    crews = Crews(1)
    with room(crews, 1):
        with pytest.raises(DeadlineExceeded) as ended, room(crews, 1, within=within):
            pass
        assert not ended.value.started
        assert ended.value.limit == pytest.approx(max(0.0, within), abs=0.05)


def test_a_wait_that_is_too_long_is_refused():
    crews = Crews(1)
    with room(crews, 1), pytest.raises(Saturated) as refused, room(crews, 1, queue_timeout=0.1):
        pass
    assert refused.value.retry_after >= 0.1


def test_who_hangs_up_leaves_the_line():
    crews = Crews(1)
    ours, theirs = socket.socketpair()
    with ours, theirs, room(crews, 1):
        later = threading.Timer(0.05, theirs.shutdown, [socket.SHUT_RDWR])
        later.start()
        with pytest.raises(Abandoned), room(crews, 1, hangup_fd=ours.fileno()):
            pass
        later.join()
    assert not crews._line


def test_who_is_sent_away_leaves_the_line():
    crews, closed = Crews(1), threading.Event()

    def check_open():
        if closed.is_set():
            raise Stopping

    with room(crews, 1):
        later = threading.Timer(0.05, closed.set)
        later.start()
        with pytest.raises(Stopping), room(crews, 1, check_open=check_open):
            pass
        later.join()
    assert not crews._line
    with room(crews, 1):
        pass


def wait_in_vain(crews):
    with pytest.raises(DeadlineExceeded), room(crews, 3, within=0.2):
        pass


def test_who_leaves_the_line_lets_those_behind_go_on():
    crews = Crews(3)
    log: list[int] = []
    with room(crews, 2):
        impatient = threading.Thread(target=wait_in_vain, args=(crews,))
        impatient.start()
        wait_for_line(crews, 1)
        behind = Member(crews, 1, log)
        wait_for_line(crews, 2)
        impatient.join()
        wait_for_line(crews, 0)
        while not log:
            time.sleep(0.001)
        assert log == [1]
        behind.leave.set()
        behind.join()


def test_an_error_inside_gives_the_room_back():
    crews = Crews(2)
    with pytest.raises(KeyError), room(crews, 2):
        raise KeyError
    assert crews._taken == 0
