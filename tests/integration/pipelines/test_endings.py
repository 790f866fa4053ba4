"""Deadline, close, hang-up: every process of a run ends at once, whatever it does."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from service.errors import Abandoned, Cancelled, DeadlineExceeded, Stopping
from service.pipelines.run import Item
from tests.integration.pipelines.conftest import is_gone, wait_until

#: What a stage does when the end comes; the others wait for an item, for room, for a slot or for their turn.
STATES = ["well", "sleep", "spin", "hold_the_gil"]
#: Item that keeps it busy.
AT = 20
#: Seconds; a tenth of one is what is promised, the rest is for a machine that has other work.
SOON = 1.5
#: Seconds to the deadline of those that have one.
LIMIT = 0.8
PROCESSES = 7


def begin(pipes, how, within=30.0, **options):
    """Start a run, and take its results until a stage is at what never ends."""
    run = pipes.start("t_busy", within, how=how, at=AT, **options)
    for _ in range(AT):
        assert isinstance(next(run), Item)
    pids = [process.pid for process in pipes.busy]
    assert len(pids) == PROCESSES
    return run, pids


def all_gone(pids):
    return lambda: all(map(is_gone, pids))


@pytest.mark.parametrize("how", STATES)
def test_closing_a_run_ends_its_processes(pipes, watch, how):
    run, pids = begin(pipes, how)
    took = -time.monotonic()
    run.close()
    took += time.monotonic()
    assert all(map(is_gone, pids)), "they are waited for"
    assert took < SOON
    with pytest.raises(StopIteration):
        next(run)
    run.close()
    watch.assert_nothing_is_left()


@pytest.mark.parametrize("how", STATES)
def test_a_run_whose_caller_hangs_up_ends(pipes, watch, how):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        run, pids = begin(pipes, how, hangup_fd=ours.fileno())
        hung_up = []

        def hang_up():
            hung_up.append(time.monotonic())
            theirs.close()

        threading.Timer(0.05, hang_up).start()
        with pytest.raises(Abandoned):
            for _ in run:
                pass
        assert all(map(is_gone, pids))
        assert time.monotonic() - hung_up[0] < SOON
    watch.assert_nothing_is_left()


@pytest.mark.parametrize("how", STATES)
def test_a_deadline_ends_a_run(pipes, watch, how):
    deadline = time.monotonic() + LIMIT
    run, pids = begin(pipes, how, LIMIT)
    with pytest.raises(DeadlineExceeded) as ended:
        for _ in run:
            pass
    assert time.monotonic() - deadline < SOON
    assert all(map(is_gone, pids))
    assert ended.value.started
    assert ended.value.limit == pytest.approx(LIMIT, abs=0.1)
    watch.assert_nothing_is_left()


@pytest.mark.parametrize("how", [*STATES, "deaf"])
def test_a_deadline_ends_the_processes_of_a_run_that_nobody_looks_at(pipes, watch, how):
    """The kernel's timer does, or the housekeeper if the stage will not hear of it."""
    deadline = time.monotonic() + LIMIT
    run, pids = begin(pipes, how, LIMIT)
    wait_until(all_gone(pids))
    assert 0 <= time.monotonic() - deadline < SOON
    with pytest.raises(DeadlineExceeded):
        for _ in run:
            pass
    watch.assert_nothing_is_left()


def test_a_deadline_in_the_past_starts_nothing(pipes, watch):
    result = pipes.run("t_plain", within=-1)
    assert isinstance(result.error, DeadlineExceeded)
    assert not result.error.started
    watch.assert_nothing_is_left()


def test_a_run_that_was_never_begun_can_be_closed(pipes, watch):
    run = pipes.start("t_plain")
    run.close()
    assert [stage.items_out for stage in run.report()] == [0, 0, 0]
    watch.assert_nothing_is_left()


def test_results_that_were_there_come_before_the_deadline_s_error(pipes):
    result = pipes.run("t_sleeps", 0.4)
    assert isinstance(result.error, DeadlineExceeded)
    assert result.values == list(range(7))


def test_a_stage_that_wants_no_more_ends_those_before_it(pipes, watch):
    """However many they are, whatever they wait for, and also if they do not notice."""
    for name in ("t_first", "t_first_of_endless", "t_first_of_many", "t_first_of_silent"):
        result = pipes.run(name, within=10)
        assert result.error is None
        assert len(result.values) == 3
        assert result.seconds < 2 * SOON
    watch.assert_nothing_is_left()


def test_stages_whose_results_nobody_wants_end_by_themselves(pipes, watch):
    """At least if the machine has time for them, and then they serve the next run."""
    for _ in range(20):
        pids = {process.pid for process in pipes.pool._idle}
        assert len(pipes.values("t_first_of_endless")) == 3
        if pids == {process.pid for process in pipes.pool._idle}:
            break
    else:
        pytest.fail("they were killed each time")
    watch.assert_nothing_is_left()


def test_closing_the_engine_ends_the_runs(make_pipes):
    pipes = make_pipes()
    pipes.values("t_plain")
    run, pids = begin(pipes, "sleep")
    errors = []

    def go_on():
        try:
            for _ in run:
                pass
        except (Cancelled, Stopping) as error:
            errors.append(error)

    reader = threading.Thread(target=go_on)
    reader.start()
    began = time.monotonic()
    pipes.engine.close()
    reader.join(timeout=10)
    assert time.monotonic() - began < 2 * SOON
    assert len(errors) == 1
    assert all(map(is_gone, pids))
    with pytest.raises(Stopping):
        pipes.start("t_plain")


def test_an_owner_that_is_killed_takes_its_pipelines_along(tmp_path):
    """A fork of this process would have no engine, so the owner is a program of its own."""
    code = """
import sys, time
from pathlib import Path
from tests.integration.pipelines.conftest import Pipes, engine_of
pipes = Pipes(engine_of(Path(sys.argv[1])))
run = pipes.start("t_busy", how="hold_the_gil", at=20)
for _ in range(20):
    next(run)
print(*(process.pid for process in pipes.busy), flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == PROCESSES
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert wait_until(all_gone(pids)) < SOON
