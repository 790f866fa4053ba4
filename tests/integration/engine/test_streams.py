"""Generators whose items come one by one."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from service.engine.base import Call
from service.errors import DeadlineExceeded, NotSerializable, Saturated, TaskCrashed, TaskFailed
from tests.integration.engine.test_lifecycle import wait_until


def stream(task, index=0, **args):
    return [Call(task, args, index, stream=True)]


def test_each_item_is_an_outcome_and_the_last_one_is_the_end(run):
    *items, last = run.outcomes(stream("count", index=7, n=3))

    assert [(o.index, o.value, o.ended) for o in items] == [(7, 0, False), (7, 1, False), (7, 2, False)]
    assert (last.index, last.value, last.error, last.ended) == (7, None, None, True)
    assert last.timing.pid == items[0].timing.pid != os.getpid()


def test_an_item_comes_when_it_is_there_and_not_when_all_are(run):
    run.result("echo", value=1)
    outcomes = run.outcomes(stream("count_then", n=1, end="hang"))

    assert next(outcomes).value == 0
    outcomes.close()


def test_a_generator_that_is_not_streamed_gives_a_list(run):
    assert run.result("count", n=4) == [0, 1, 2, 3]
    assert run.results("count", [{"n": n} for n in range(20)]) == [list(range(n)) for n in range(20)]


def test_streams_and_other_calls_share_a_run(run):
    calls = [Call("count", {"n": 2}, n, stream=n % 3 == 0) for n in range(30)]
    outcomes = list(run.outcomes(calls))

    assert sorted(o.index for o in outcomes if o.ended) == list(range(30))
    assert sorted(o.index for o in outcomes if not o.ended) == sorted([*range(0, 30, 3)] * 2)
    assert all(o.value == (None if o.index % 3 == 0 else [0, 1]) for o in outcomes if o.ended)


@pytest.mark.parametrize("length", [1, 100, 5_000, 1_000_000])
def test_items_of_any_size_come_whole(run, length):
    *items, _ = run.outcomes(stream("arrays", n=20, length=length))

    assert len(items) == 20
    assert all((o.value == n).all() and o.value.shape == (length,) for n, o in enumerate(items))


def test_many_small_items_come_in_order(run):
    *items, last = run.outcomes(stream("count", n=50_000))

    assert [o.value for o in items] == list(range(50_000))
    assert last.error is None


@pytest.mark.parametrize(
    ("end", "error"), [("raise", TaskFailed), ("crash", TaskCrashed), ("unsendable", NotSerializable)]
)
def test_what_was_yielded_before_a_bad_end_comes_first(run, end, error):
    *items, last = run.outcomes(stream("count_then", n=3, end=end))

    assert [o.value for o in items] == [0, 1, 2]
    assert isinstance(last.error, error)
    assert run.result("echo", value=1) == 1


def test_a_deadline_ends_a_stream(run):
    run.result("echo", value=1)
    *items, last = run.outcomes(stream("count_then", n=3, end="hang"), within=0.3)

    assert len(items) == 3
    assert isinstance(last.error, DeadlineExceeded)


def test_a_reader_that_waits_holds_up_the_generator_and_no_slot(make_engine, run_on, tmp_path):
    run, other = run_on(make_engine(cpu_slots=1)), run_on(make_engine(cpu_slots=1))
    note = tmp_path / "note"
    outcomes = run.outcomes(stream("count_and_tell", path=str(note)))
    next(outcomes)

    # The generator comes to a halt, for nobody reads, and others can compute
    assert other.results("echo", [{"value": n} for n in range(50)]) == list(range(50))
    seen = [""]

    def halted():
        seen.append(note.read_text())
        time.sleep(0.05)
        return seen[-1] == seen[-2] != ""

    wait_until(halted)
    # And goes on where it was
    assert [next(outcomes).value for _ in range(5000)] == list(range(1, 5001))
    outcomes.close()
    assert other.result("echo", value=2) == 2


def test_a_stream_that_goes_on_waits_for_a_slot(make_engine, run_on, tmp_path):
    """Several streams with slow readers never compute more than the budget at a time."""
    engine = make_engine(cpu_slots=1)
    results = []

    def read():
        values = []
        for outcome in run_on(engine).outcomes(stream("count", n=3000, seconds=0.00002)):
            values.append(outcome.value)
            if len(values) % 1000 == 0:
                time.sleep(0.02)
        results.append(values)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[*range(3000), None]] * 4


def test_a_stream_that_is_closed_stops_the_generator(run, tmp_path):
    note = tmp_path / "note"
    outcomes = run.outcomes(stream("count_and_tell", path=str(note)))
    pid = next(outcomes).timing.pid
    outcomes.close()

    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_stream_with_a_reader_that_went_to_sleep_ends_at_its_deadline(run, tmp_path):
    run.result("echo", value=1)
    outcomes = run.outcomes(stream("count_and_tell", path=str(tmp_path / "note")), within=1)
    pid = next(outcomes).timing.pid

    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    *_, last = outcomes
    assert isinstance(last.error, DeadlineExceeded)


def test_views_of_an_item_stay_valid(run):
    *items, _ = run.outcomes(stream("arrays", n=3, length=1_000_000))
    first = items[0].value
    run.results("double", [{"array": np.ones(1_000_000)}] * 3)

    assert (first == 0).all()


def test_streams_that_wait_for_their_readers_leave_processes_for_others(make_engine, run_on):
    run = run_on(make_engine(processes=8))
    streams = [run.outcomes(stream("count", n=10**9)) for _ in range(6)]
    for outcomes in streams:
        next(outcomes)

    with pytest.raises(Saturated, match="6 streams"):
        next(run.outcomes(stream("count", n=1)))
    assert run.results("echo", [{"value": n} for n in range(20)]) == list(range(20))
    streams.pop().close()
    assert next(run.outcomes(stream("count", n=1))).value == 0
    for outcomes in streams:
        outcomes.close()
