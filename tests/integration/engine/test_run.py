"""What one run does when nothing goes wrong."""

import itertools
import os
import threading
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from service.engine.base import Call, Event
from service.errors import Stopping


def test_a_call_runs_in_another_process_and_tells_when_and_where(run):
    before = time.monotonic()
    outcome = run.outcome("spin", seconds=0.05)
    after = time.monotonic()
    assert outcome.result() == outcome.timing.pid != os.getpid()
    timing = outcome.timing
    assert before <= timing.queued <= timing.started <= timing.finished <= after
    assert 0.05 <= timing.run < 1
    assert 0 < timing.cpu <= timing.run + 0.02


def test_nothing_is_started_before_the_first_call(make_engine, tmp_path):
    engine = make_engine()
    assert not (tmp_path / "run").exists()
    engine.close()
    engine.close()
    with pytest.raises(Stopping):
        engine.run([Call("echo", {"value": 1})], deadline=time.monotonic() + 1)


def test_outcomes_come_in_order_of_completion(run):
    slow_then_fast = [Call("nap", {"seconds": 0.3}, 0), Call("nap", {"seconds": 0.01}, 1)]
    assert [outcome.index for outcome in run.outcomes(slow_then_fast)] == [1, 0]


def test_calls_of_a_run_compute_at_the_same_time(run):
    run.results("spin", [{"seconds": 0.01}] * 2)
    outcomes = list(run.outcomes([Call("spin", {"seconds": 0.3}, index) for index in range(2)]))
    first, second = (outcome.timing for outcome in outcomes)
    assert first.pid != second.pid
    assert min(first.finished, second.finished) > max(first.started, second.started)


def test_many_small_calls_travel_together_and_none_is_lost(run):
    assert run.results("echo", ({"value": n} for n in range(20_000))) == list(range(20_000))


def test_different_tasks_mix_in_a_run(run):
    calls = [
        Call("echo", {"value": index}, index) if index % 3 else Call("nap", {"seconds": 0}, index)
        for index in range(60)
    ]
    assert sorted(outcome.index for outcome in run.outcomes(calls) if outcome.error is None) == list(
        range(60)
    )


def test_a_run_of_no_calls_yields_nothing(run):
    assert list(run.outcomes([])) == []


def test_calls_are_consumed_lazily_and_memory_stays_flat(run):
    """A run of very many calls never holds more than a few chunks of them."""
    taken = 0

    def calls() -> Iterator[Call]:
        nonlocal taken
        for taken in itertools.count(1):
            yield Call("echo", {"value": taken}, taken)

    outcomes = run.outcomes(calls(), within=50)
    for _ in itertools.islice(outcomes, 20_000):
        pass
    tracemalloc.start()
    ahead = 0
    for done, _ in enumerate(itertools.islice(outcomes, 60_000), 20_001):
        ahead = max(ahead, taken - done)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    outcomes.close()
    assert ahead <= 6 * 4096
    assert peak < 20_000_000


def test_an_error_in_the_callers_own_iterator_reaches_the_caller(run):
    def calls() -> Iterator[Call]:
        yield Call("echo", {"value": 1})
        raise LookupError("the input broke off")

    with pytest.raises(LookupError, match="broke off"):
        list(run.outcomes(calls()))
    assert run.result("echo", value=2) == 2


def test_threads_run_at_the_same_time_and_get_their_own_results(run):
    wrong: list[object] = []

    def work(base):
        got = [run.results("echo", [{"value": base + n}, {"value": -base}]) for n in range(50)]
        wrong.extend(results for n, results in enumerate(got) if results != [base + n, -base])

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(1, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_waiting_task_takes_no_slot(run):
    """Six naps at once on two slots, and a computation beside them."""
    run.result("echo", value=1)  # or the time would be that of the fork server's start, too
    began = time.monotonic()
    assert len(set(run.results("nap", [{"seconds": 0.4}] * 6))) == 6
    assert time.monotonic() - began < 1.6


def test_one_slow_call_does_not_hold_up_the_fast_ones_sent_with_it(run):
    run.results("spin", ({"seconds": 0.00001} for _ in range(2000)))  # so that chunks are large
    calls = [Call("spin", {"seconds": 1.0 if index == 0 else 0.00001}, index) for index in range(500)]
    outcomes = list(run.outcomes(calls))
    assert outcomes[-1].index == 0
    assert outcomes[-2].timing.finished < outcomes[-1].timing.finished - 0.3


def test_progress_reaches_the_caller_while_the_task_runs(run):
    events: list[Event] = []
    (outcome,) = run.outcomes([Call("report", {"steps": 3}, 7)], on_event=events.append)
    assert outcome.result() == "done"
    assert [(event.index, event.kind, event.data["done"]) for event in events] == [
        (7, "progress", 1),
        (7, "progress", 2),
        (7, "progress", 3),
    ]


def test_a_progress_note_beyond_measure_is_refused(run):
    assert "at most" in str(run.error("report_too_much"))


def test_what_a_task_prints_does_not_disturb_the_engine(run):
    assert run.results("write_to_stdout", [{"text": f"line {n}"} for n in range(50)])[-1] == "line 49"


def test_pool_processes_do_not_draw_the_same_random_numbers(run):
    numbers = run.results("random_number", [{}] * 40)
    assert len(set(numbers)) == 40


@pytest.mark.parametrize("size", [0, 1, 4096, 40_000, 3_000_000])
def test_arrays_and_bytes_of_any_size_come_back_whole(run, size):
    array = np.arange(size, dtype=np.uint8)
    assert np.array_equal(run.result("double", array=array), array * 2)
    assert run.result("echo", value=array.tobytes()) == array.tobytes()
    assert run.result("echo", value={"a": [array, bytearray(size)]})["a"][1] == bytearray(size)


def test_results_stay_what_they_are_when_the_memory_is_used_again(run):
    """Many large results are held at once, each read from shared memory that the next would overwrite."""
    arrays = [np.full(20_000, n, dtype=np.int64) for n in range(30)]
    doubled = run.results("double", [{"array": array} for array in arrays])
    assert all(np.array_equal(result, array * 2) for result, array in zip(doubled, arrays, strict=True))


def test_a_task_may_keep_an_argument(make_engine, run_on):
    run = run_on(make_engine(cpu_slots=1, processes=1))
    for n in range(5):
        run.result("keep_argument", array=np.full(50_000, n))
    assert run.result("sum_of_kept") == 50_000 * (0 + 1 + 2 + 3 + 4)


def test_results_too_large_for_one_chunk_all_arrive(run):
    run.results("echo", ({"value": b""} for _ in range(200)))
    arguments = [{"value": bytes([n]) * 1_000_000} for n in range(60)]
    assert run.results("echo", arguments) == [args["value"] for args in arguments]
