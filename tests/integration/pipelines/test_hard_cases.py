"""What happens around a run: processes that die idle, children left behind, too many open files."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import resource
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.errors import DeadlineExceeded, EngineUnavailable, StageFailed
from tests.integration.pipelines.conftest import Watch, is_gone, wait_until, was_killed


def all_gone(processes):
    return all(is_gone(process.pid) for process in processes)


def test_idle_processes_that_were_killed_are_replaced(pipes, watch):
    for _ in range(3):
        idle = list(pipes.pool._idle)
        assert idle
        for process in idle:
            process.send_kill()
        wait_until(functools.partial(all_gone, idle))
        assert pipes.values("t_ordered", n=20) == [2 * number for number in range(20)]
    watch.assert_nothing_is_left()


def test_processes_that_are_killed_as_they_start_are_replaced_or_told(pipes, watch):
    """What dies before it began is started again, and again; what dies later ends the run."""
    for _ in range(20):
        stop = threading.Event()

        def kill(stop=stop):
            while not stop.wait(0.0005):
                for process in pipes.busy[:1]:
                    was_killed(process)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            result = pipes.run("t_wide", within=1, n=5)
        finally:
            stop.set()
            killer.join()
        assert isinstance(result.error, StageFailed | DeadlineExceeded | None), result.error
    watch.assert_nothing_is_left()


def test_a_fork_server_that_is_killed_is_replaced(pipes, watch):
    run = pipes.start("t_busy", how="well", at=0)
    next(run)
    # Not below it: a new fork bears its name too, for a moment.
    (forks,) = (child for child in psutil.Process().children() if child.name() == "everycore-forks")
    forks.kill()
    wait_until(functools.partial(is_gone, forks.pid))
    for _ in range(200):
        next(run)  # its processes go on
    run.close()
    assert pipes.values("t_wide_and_long", n=20) == [number + 4 for number in range(20)]
    watch.assert_nothing_is_left()


def test_a_child_that_a_stage_leaves_behind_keeps_nobody_waiting(pipes, watch):
    """It has a copy of both ends of its stage's channels."""
    result = pipes.run("t_leaves_a_child")
    assert result.values == list(range(10))
    assert result.seconds < 10
    watch.assert_nothing_is_left()


def test_a_run_may_have_no_deadline(pipes):
    assert pipes.values("t_plain", within=math.inf, n=3) == [2, 4, 6]


@contextlib.contextmanager
def room_for(files):
    """Let this process open so many files more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(file.name) for file in Path("/proc/self/fd").iterdir())
    taken = [os.dup(2)]
    while taken[-1] < highest:
        taken.append(os.dup(2))  # the highest number counts, so there may be no gap below it
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1] + 1 + files, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in taken:
            os.close(fd)


def test_without_descriptors_there_is_an_error_and_nothing_is_left(make_pipes):
    """However far it got."""
    pipes = make_pipes()
    watch = Watch(pipes)
    ends = set()
    for files in range(0, 100, 3):
        for process in pipes.pool._idle:
            process.send_kill()
        wait_until(functools.partial(all_gone, list(pipes.pool._idle)))
        with room_for(files):
            ends.add(end_of_run(pipes))
        watch.assert_nothing_is_left()
    assert ends >= {None, EngineUnavailable}
    assert all(end is None or issubclass(end, EngineUnavailable | StageFailed) for end in ends)


def end_of_run(pipes):
    """Return the type of the error with which a run ends, or does not even begin."""
    try:
        error = pipes.run("t_ordered", n=50).error
    except EngineUnavailable as unavailable:
        error = unavailable
    return None if error is None else type(error)


def test_runs_in_many_threads_keep_apart(make_pipes):
    pipes = make_pipes(processes=12)
    wrong: list[Any] = []

    def work(n):
        for _ in range(5):
            for name in ("t_plain", "t_ordered", "t_unordered"):
                result = pipes.run(name, n=n)
                expected = [2 * (number + (name == "t_plain")) for number in range(n)]
                if result.error is not None or sorted(result.values) != expected:
                    wrong.append((name, n, result))
            if pipes.run("t_misbehave", n=n).failure.item != 2:
                wrong.append(("t_misbehave", n))

    threads = [threading.Thread(target=work, args=(n,)) for n in (5, 10, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not pipes.busy


@pytest.mark.parametrize("name", ["t_sizes", "t_sizes_unordered"])
def test_items_of_any_size(pipes, name):
    """From none at all to some that go by memory, through channels with room for one or two."""
    sizes = [0, 1, 100, 3_000_000, 1_000, 5_000, 32_767, 32_768, 50_000, 98_304, 100_000, 1_000_000] * 4
    found = pipes.values(name, sizes=sizes)
    assert sorted(found) == sorted((size, size % 251) for size in sizes)
    if name == "t_sizes":
        assert [size for size, _ in found] == sizes
