"""What stages print is of the job's log, if the run is an attempt of one."""

from __future__ import annotations

from service.engine.base import Event
from tests.integration.pipelines.conftest import Pipes

N = 30


def lines(pipes: Pipes, name: str = "t_says", **arguments):
    events: list[Event] = []
    result = pipes.run(name, on_event=events.append, **arguments)
    assert all(event.kind == "log" for event in events)
    return result, [event.data for event in events]


def test_every_line_that_a_stage_prints_is_heard(pipes, watch):
    result, heard = lines(pipes, n=N, attempt=1)
    assert result.values == list(range(N))
    assert heard == [{"stream": "stdout", "line": f"working on {number}"} for number in range(N)]
    watch.assert_nothing_is_left()


def test_several_processes_are_all_heard(pipes):
    _, heard = lines(pipes, "t_many_say", n=N, attempt=2)
    said = sorted(data["line"] for data in heard)
    assert said == sorted([f"working on {number}" for number in range(N)] * 2)


def test_what_is_no_job_has_no_log(pipes):
    result, heard = lines(pipes, n=N)
    assert result.values == list(range(N))
    assert not heard


def test_the_last_words_of_a_stage_that_dies_are_heard(pipes, watch):
    for skip in (False, True):
        result, heard = lines(pipes, "t_says_and_dies", n=5, attempt=1, skip=skip)
        assert {"stream": "stdout", "line": "I die of 3"} in heard
        if skip:
            assert result.values == [0, 1, 2, 4]
            assert [skipped.item for skipped in result.skipped] == [3]
        else:
            assert result.failure.item == 3
    watch.assert_nothing_is_left()


def test_progress_of_a_stage_is_not_the_run_s(pipes):
    """It knows of its own items only; how far the run is, its report says."""
    result, heard = lines(pipes, "t_progresses", n=5, attempt=1)
    assert not heard
    assert [stage.items_out for stage in result.run.report()] == [5, 5]
