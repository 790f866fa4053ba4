"""What an engine tells, as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from service.telemetry.metrics import engine as metrics
from service.telemetry.metrics.engine import EngineMetrics, Load, LoadCollector
from service.telemetry.metrics.registry import REGISTRY, role, set_role

#: The metrics are this process's; each test counts for a task that no other does.
numbers = count()


@pytest.fixture
def task() -> str:
    return f"a.task.of.this.test.{next(numbers)}"


@pytest.fixture
def engine() -> EngineMetrics:
    return EngineMetrics()


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"everycore_{name}", {"role": "web"} | labels)


def timing(*, queued: float = 0.0, run: float = 0.0, cpu: float = 0.0, at: float = 100.0) -> metrics.Timing:
    return 7, at - run - queued, at - run, at, cpu


def test_nothing_is_written_before_the_run_is_over(engine: EngineMetrics, task: str) -> None:
    run = engine.begin_run()

    run.ended(task, "succeeded", [timing()])
    assert value("calls_total", task=task, outcome="succeeded") is None
    run.over()
    assert value("calls_total", task=task, outcome="succeeded") == 1


def test_calls_and_their_times_add_up(engine: EngineMetrics, task: str) -> None:
    for _ in range(2):
        run = engine.begin_run()
        run.ended(task, "succeeded", [timing(queued=0.2, run=2.0, cpu=1.5), timing(queued=0.004, run=0.02)])
        run.ended(task, "task-failed", [timing(queued=1.0, run=0.5, cpu=0.25)])
        run.over()

    assert value("calls_total", task=task, outcome="succeeded") == 4
    assert value("calls_total", task=task, outcome="task-failed") == 2
    assert value("call_queue_seconds_count", task=task) == value("call_run_seconds_count", task=task) == 6
    assert value("call_queue_seconds_sum", task=task) == pytest.approx(2.408)
    assert value("call_run_seconds_sum", task=task) == pytest.approx(5.04)
    assert value("call_run_seconds_bucket", task=task, le="0.025") == 2
    assert value("call_run_seconds_bucket", task=task, le="1.0") == 4
    assert value("call_cpu_seconds_total", task=task) == pytest.approx(3.5)


def test_what_never_ran_is_counted_but_has_no_times(engine: EngineMetrics, task: str) -> None:
    run = engine.begin_run()
    run.ended(task, "deadline-exceeded", [(0, 1.0, 2.0, 2.0, 0.0)])
    run.refused(task, "saturated")
    run.over()

    assert value("calls_total", task=task, outcome="deadline-exceeded") == 1
    assert value("calls_total", task=task, outcome="saturated") == 1
    assert value("call_queue_seconds_count", task=task) is None


def test_a_long_run_tells_once_a_second_how_far_it_is(engine: EngineMetrics, task: str) -> None:
    run = engine.begin_run()
    for tenth in range(25):
        run.ended(task, "succeeded", [timing(at=100 + tenth / 10)])
        told = value("calls_total", task=task, outcome="succeeded")
        assert told == (None if tenth < 10 else 11 if tenth < 21 else 22)
    run.over()

    assert value("calls_total", task=task, outcome="succeeded") == 25
    assert value("call_run_seconds_count", task=task) == 25


def test_a_run_of_very_many_calls_does_not_keep_them(engine: EngineMetrics, task: str) -> None:
    run = engine.begin_run()
    for _ in range(1 + metrics.WRITE_AT_MOST // 1000):
        run.ended(task, "succeeded", [timing()] * 1000)

    assert value("call_run_seconds_count", task=task) == metrics.WRITE_AT_MOST


def test_a_run_that_is_over_twice_is_counted_once(engine: EngineMetrics, task: str) -> None:
    run = engine.begin_run()
    run.ended(task, "succeeded", [timing()])
    run.over()
    run.over()

    assert value("calls_total", task=task, outcome="succeeded") == 1


def test_processes_come_and_go(engine: EngineMetrics) -> None:
    def now() -> list[float]:
        names = ("pool_processes", "pool_process_starts_total")
        ends = value("pool_process_ends_total", reason="crashed")
        return [*(value(name) or 0.0 for name in names), ends or 0.0]

    before = now()
    engine.process_started()
    engine.process_started()
    engine.process_ended("crashed")

    assert [after - begun for after, begun in zip(now(), before, strict=True)] == [1, 2, 1]


def test_bytes_go_both_ways(engine: EngineMetrics) -> None:
    before = [value("transport_bytes_total", direction=way) or 0.0 for way in ("sent", "received")]
    run = engine.begin_run()
    run.carried(10, 20)
    run.carried(1, 2)
    run.over()

    after = [value("transport_bytes_total", direction=way) or 0.0 for way in ("sent", "received")]
    assert [new - old for new, old in zip(after, before, strict=True)] == [11, 22]


@pytest.fixture
def _a_runner() -> Iterator[None]:
    was = role()
    set_role("runner")
    yield
    set_role(was)


@pytest.mark.usefixtures("_a_runner")
def test_a_runner_counts_as_such(task: str) -> None:
    run = EngineMetrics().begin_run()
    run.ended(task, "succeeded", [timing()])
    run.over()

    assert value("calls_total", role="runner", task=task, outcome="succeeded") == 1
    assert value("calls_total", task=task, outcome="succeeded") is None


def test_how_busy_the_machine_is_is_looked_up_each_time() -> None:
    loads = iter([Load(4, 1, 0, 0.0), Load(4, 4, 17, 2.5)])
    collector = LoadCollector(lambda: next(loads))

    first, second = ([metric.samples[0].value for metric in collector.collect()] for _ in range(2))

    assert first == [4, 1, 0, 0]
    assert second == [4, 4, 17, 2.5]
