"""Stages share the CPU slots of the service, and hold one only while they compute."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from service.engine.base import Call
from service.engine.slots import Slots
from tests.integration.pipelines.conftest import wait_until


def most_at_once(spans):
    """Return how many of the spans of time overlap at most."""
    steps = sorted(itertools.chain.from_iterable(((begun, 1), (ended, -1)) for begun, ended in spans))
    return max(itertools.accumulate(change for _, change in steps))


def spans_of(values):
    return list(itertools.chain.from_iterable(values))


@pytest.mark.parametrize("cpu_slots", [1, 2])
def test_no_more_processes_compute_at_once_than_there_are_slots(make_pipes, cpu_slots):
    pipes = make_pipes(cpu_slots=cpu_slots)
    values = pipes.values("t_computing", n=40)
    assert len(values) == 80
    spans = spans_of(values)
    assert len(spans) == 40 * 3 + 80 * 3 - 40
    assert most_at_once(spans) == cpu_slots


def test_pipelines_share_one_slot(make_pipes):
    """None of them, and no engine, can wait for a slot that it holds itself."""
    several = [make_pipes(cpu_slots=1, processes=16), make_pipes(cpu_slots=1)]
    several.insert(0, several[0])
    spans: list[tuple[float, float]] = []

    def work(pipes):
        spans.extend(spans_of(pipes.values("t_computing", n=15)))

    threads = [threading.Thread(target=work, args=(pipes,)) for pipes in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spans) == 3 * (15 * 3 + 30 * 3 - 15)
    assert most_at_once(spans) == 1


def test_an_ordinary_call_gets_its_turn_while_pipelines_are_busy(make_pipes):
    pipes = make_pipes(cpu_slots=1)
    other = make_pipes(cpu_slots=1)
    done = 0
    stop = threading.Event()

    def keep_computing():
        nonlocal done
        run = pipes.start("t_computing", n=1_000_000)
        while not stop.is_set():
            next(run)
            done += 1
        run.close()

    def wait_for_more(seen):
        wait_until(lambda: done > seen + 3)

    load = threading.Thread(target=keep_computing)
    load.start()
    try:
        waits = []
        for engine in [pipes.engine, other.engine] * 10:
            wait_for_more(done)  # the pipeline goes on, too
            began = time.monotonic()
            (outcome,) = engine.run([Call("t_called")], deadline=began + 20)
            assert outcome.result() == "called"
            waits.append(time.monotonic() - began)
    finally:
        stop.set()
        load.join()
    assert sorted(waits)[len(waits) // 2] < 0.3, waits


def test_stages_that_mostly_wait_take_no_slot(make_pipes, tmp_path):
    pipes = make_pipes(cpu_slots=1)
    slots = Slots(tmp_path / "run", 1)
    holder = slots.try_take()
    assert holder is not None
    assert pipes.values("t_waiting", n=20, seconds=0.001) == list(range(20)), "the only slot is taken"
    holder.close()


def test_who_waits_holds_no_slot(make_pipes, tmp_path):
    """For an item, for room or for its turn."""
    pipes = make_pipes(cpu_slots=1)
    slots = Slots(tmp_path / "run", 1)
    for name, arguments in (
        ("t_waits_for_all", {"path": str(tmp_path / "never")}),
        ("t_unwanted", {}),
        ("t_busy_waiting", {}),
    ):
        run = pipes.start(name, **arguments)
        next(run)
        wait_until(lambda: stays_free(slots))
        run.close()


def stays_free(slots):
    """Tell whether nobody takes a slot for a while."""
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        if slots.taken:
            return False
        time.sleep(0.002)
    return True


def test_the_time_that_a_stage_waits_is_told_apart(make_pipes):
    """So that the slow one shows."""
    pipes = make_pipes()
    run = pipes.run("t_held_up", n=30, seconds=0.0).run
    producer, slow, last = run.report()
    assert producer.waiting_output > producer.busy
    assert slow.busy >= 0.3
    assert slow.waiting_turn < slow.busy
    assert last.waiting_input > last.busy
    run = pipes.run("t_held_up", n=10, seconds=0.02).run
    producer, slow, last = run.report()
    assert producer.busy >= 0.2
    assert 0 < producer.cpu < 1.1 * producer.busy
    assert slow.waiting_input > 0.1
    assert slow.cpu < slow.busy
    only_one = make_pipes(cpu_slots=1)
    report = only_one.run("t_computing", n=20).run.report()
    assert sum(stage.waiting_slot for stage in report) > 0.1
