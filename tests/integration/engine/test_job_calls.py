"""Calls of jobs: what they print is a log, and they know which attempt they are."""

import os
import socket
import threading
import time
from collections import defaultdict

import pytest

from service.engine.base import Call, Event
from service.errors import Abandoned, Cancelled, DeadlineExceeded, TaskCrashed, TaskFailed
from service.tasks import registry
from tests.integration.engine.conftest import TASKS
from tests.integration.engine.test_lifecycle import wait_until

JOB_TASKS = "tests.integration.engine.job_tasks"
#: What ``say_then`` prints in whole lines.
SAID = [str(number) for number in range(50)]


@pytest.fixture
def make_engine(make_engine):
    registry.load([JOB_TASKS])
    return lambda **changes: make_engine(modules=[TASKS, JOB_TASKS], **changes)


class Ear:
    """Hears events, and tells them by call."""

    def __init__(self):
        self.events: list[Event] = []

    def __call__(self, event):
        self.events.append(event)

    def said(self, index=0):
        """Return the lines of one call."""
        return [e.data["line"] for e in self.events if e.kind == "log" and e.index == index]

    @property
    def streams(self):
        return [(e.data["stream"], e.data["line"]) for e in self.events if e.kind == "log"]


@pytest.fixture
def ear():
    return Ear()


def job(task, index=0, *, attempt=1, timeout=None, stream=False, **args):
    return Call(task, args, index, timeout=timeout, stream=stream, attempt=attempt)


class TestLines:
    def test_what_a_job_prints_is_heard_in_order_and_before_its_outcome(self, run, ear):
        for outcome in run.outcomes([job("say_on_both", index=7)], on_event=ear):
            assert outcome.error is None
            assert ear.streams == [
                ("stdout", "one"),
                ("stderr", "two"),
                ("log", "three=3"),
                ("stdout", "four"),
            ]
        assert {event.index for event in ear.events} == {7}

    @pytest.mark.parametrize(
        ("pieces", "lines"),
        [
            (["a", "b\nc", "\n"], ["ab", "c"]),
            (["\n\n", "x"], ["", "", "x"]),
            (["a\r\nb\u2028c\n"], ["a\r", "b\u2028c"]),
            (["x" * 8192, "\n"], ["x" * 8192]),
            (["x" * 8192, "y"], ["x" * 8192, "y"]),
            (["x" * 20_000 + "\nz"], ["x" * 8192, "x" * 8192, "x" * 3616, "z"]),
            (["ü" * 20_000], ["ü" * 8192, "ü" * 8192, "ü" * 3616]),
            (["half \ud83d of a pair\n"], ["half \\ud83d of a pair"]),
            ([], []),
        ],
    )
    def test_lines_end_at_line_feeds_and_are_not_too_long(self, run, ear, pieces, lines):
        assert run.outcomes([job("write", pieces=pieces)], on_event=ear).__next__().error is None
        assert ear.said() == lines

    def test_a_hundred_thousand_lines_all_come(self, run, ear):
        (outcome,) = run.outcomes([job("count_lines", n=100_000)], on_event=ear)
        assert outcome.result() == 100_000
        assert ear.said() == [str(number) for number in range(100_000)]

    def test_nobody_has_to_listen(self, run):
        (outcome,) = run.outcomes([job("count_lines", n=5_000)])
        assert outcome.result() == 5_000

    def test_items_of_a_stream_come_among_its_lines(self, run, ear):
        heard = []
        for outcome in run.outcomes([job("count_aloud", n=3, stream=True)], on_event=ear):
            heard.append((outcome.value, outcome.ended))
            assert len(ear.said()) >= min(len(heard), 3)
        assert heard == [(0, False), (1, False), (2, False), (None, True)]
        assert ear.said() == ["now 0", "now 1", "now 2"]

    def test_threads_of_a_job_each_have_lines_of_their_own(self, run, ear):
        next(run.outcomes([job("say_in_threads", names=["a", "b", "c"])], on_event=ear)).result()
        assert sorted(ear.said()) == ["aa", "bb", "cc"]

    def test_progress_comes_between_the_lines(self, run, ear):
        (outcome,) = run.outcomes([job("report", steps=3)], on_event=ear)
        assert outcome.result() == "done"
        assert [event.data["done"] for event in ear.events] == [1, 2, 3]


class TestAttempt:
    def test_a_job_knows_which_attempt_it_is(self, run):
        assert next(run.outcomes([job("which_attempt", attempt=3)])).result() == 3
        assert run.result("which_attempt") == 1

    def test_attempts_may_differ_among_calls_that_travel_together(self, run):
        run.results("which_attempt", [{}] * 200)  # so that chunks are large
        calls = [job("which_attempt", n, attempt=n % 5) for n in range(500)]
        outcomes = {outcome.index: outcome.result() for outcome in run.outcomes(calls)}
        assert outcomes == {n: max(1, n % 5) for n in range(500)}

    def test_an_error_comes_with_what_it_is_derived_from(self, run):
        (outcome,) = run.outcomes([job("raise_special")])
        assert isinstance(outcome.error, TaskFailed)
        assert outcome.error.bases == (
            f"{JOB_TASKS}.SpecialError",
            "builtins.LookupError",
            "builtins.Exception",
            "builtins.BaseException",
            "builtins.object",
        )


class TestManyTogether:
    """Quick calls in few chunks."""

    @pytest.fixture
    def run(self, run):
        run.results("say", [{"lines": []}] * 300)  # so that chunks are large
        return run

    def test_each_has_its_own_lines_before_its_outcome(self, run, ear):
        chunks = self.chunks(run)
        said = defaultdict(list)

        def hear(event):
            said[event.index].append(event.data["line"])

        calls = [job("say", n, lines=[f"{n}: {line}" for line in range(n % 4)]) for n in range(2000)]
        seen = set()
        for outcome in run.outcomes(calls, on_event=hear):
            n = outcome.index
            assert said.pop(n, []) == [f"{n}: {line}" for line in range(n % 4)]
            seen.add(n)
        assert len(seen) == 2000
        assert self.chunks(run) - chunks < 500
        assert not said

    def test_outcomes_that_come_before_the_end_of_the_chunk_come_behind_their_lines_too(self, run, ear):
        calls = [job("say", n, lines=[f"line of {n}"] * 30, seconds=0.01) for n in range(40)]
        for outcome in run.outcomes(calls, on_event=ear):
            assert ear.said(outcome.index) == [f"line of {outcome.index}"] * 30
        assert len(ear.events) == 40 * 30

    def test_jobs_and_plain_calls_mix_in_a_run(self, run, ear):
        calls = [Call("say", {"lines": [f"line of {n}"]}, n, attempt=int(n % 3 > 0)) for n in range(300)]
        assert len(list(run.outcomes(calls, on_event=ear))) == 300
        assert [ear.said(n) for n in range(300)] == [[f"line of {n}"] * (n % 3 > 0) for n in range(300)]

    def test_one_that_dies_takes_no_line_of_its_neighbours_along(self, run, ear):
        calls = [
            job("say_then", n, end="exit") if n % 50 == 25 else job("say", n, lines=[f"line of {n}"])
            for n in range(200)
        ]
        outcomes = {outcome.index: outcome for outcome in run.outcomes(calls, on_event=ear)}
        for n in range(200):
            dies = n % 50 == 25
            assert isinstance(outcomes[n].error, TaskCrashed) is dies
            assert ear.said(n) == (SAID if dies else [f"line of {n}"])

    def chunks(self, run):
        """Return how many chunks its processes have had."""
        return sum(process.number for process in run.engine._ensure_pool()._idle)


class TestBadEnds:
    """Whatever was said before the end is heard."""

    @pytest.mark.parametrize(
        ("end", "error"), [("exit", TaskCrashed), ("crash", TaskCrashed), ("hang", DeadlineExceeded)]
    )
    def test_a_job_that_dies(self, run, ear, end, error):
        (outcome,) = run.outcomes([job("say_then", end=end, timeout=1.0)], on_event=ear)
        assert isinstance(outcome.error, error)
        assert ear.said() == SAID

    def test_a_job_that_raises_says_its_rest_too(self, run, ear):
        (outcome,) = run.outcomes([job("say_then", end="raise")], on_event=ear)
        assert isinstance(outcome.error, TaskFailed)
        assert ear.said() == [*SAID, "and a rest"]

    @pytest.fixture
    def suspended(self, run, ear, tmp_path):
        """Return a function that starts a run and has it stand still while its second call speaks."""
        run.results("say", [{"lines": []}] * 2)  # so that processes are there

        def start(**options):
            go, spoken = tmp_path / "go", tmp_path / "spoken"
            speaker = job("say_then", 1, end="hang", go=str(go), spoken=str(spoken))
            outcomes = run.outcomes([Call("echo", {"value": 0}), speaker], on_event=ear, **options)
            assert next(outcomes).value == 0
            go.touch()
            wait_until(spoken.exists)
            assert ear.events == []
            return outcomes

        return start

    def test_a_job_whose_run_is_closed(self, suspended, ear):
        suspended().close()
        assert ear.said(1) == SAID

    def test_a_job_at_the_deadline_of_its_run(self, suspended, ear):
        (outcome,) = suspended(within=2.0)
        assert isinstance(outcome.error, DeadlineExceeded)
        assert ear.said(1) == SAID

    def test_a_job_whose_client_hangs_up(self, suspended, ear):
        ours, theirs = socket.socketpair()
        with theirs:
            outcomes = suspended(hangup_fd=theirs.fileno())
            ours.close()
            with pytest.raises(Abandoned):
                next(outcomes)
        assert ear.said(1) == SAID

    def test_a_job_whose_engine_is_closed(self, suspended, run, ear):
        outcomes = suspended()
        run.engine.close()
        (outcome,) = outcomes
        assert isinstance(outcome.error, Cancelled)
        assert ear.said(1) == SAID

    @pytest.mark.parametrize(
        ("task", "attempt"),
        [("never_stop_printing", 1), ("never_stop_reporting", 1), ("never_stop_reporting", 0)],
    )
    def test_a_call_that_never_stops_speaking_is_ended_at_its_timeout(self, run, ear, task, attempt):
        began = time.monotonic()
        (outcome,) = run.outcomes([job(task, attempt=attempt, timeout=0.3)], on_event=ear)
        assert isinstance(outcome.error, DeadlineExceeded)
        assert outcome.error.limit == 0.3
        assert time.monotonic() - began < 5
        assert len(ear.events) > 100

    def test_a_listener_that_raises_ends_the_run_and_nothing_else(self, run):
        pid = run.result("whoami")

        def refuse(event):
            raise KeyError(event.data["line"])

        with pytest.raises(KeyError):
            list(run.outcomes([job("say_then", end="hang")], on_event=refuse))
        assert run.result("whoami") != pid
        assert not run.engine._ensure_pool()._busy


class TestNothingLeaks:
    """One process, so that what a call leaves behind would be seen by the next."""

    @pytest.fixture
    def engine(self, make_engine):
        return make_engine(cpu_slots=1, processes=1)

    def test_plain_calls_print_as_ever(self, run, ear):
        own = run.result("kind_of_streams")
        assert next(run.outcomes([job("kind_of_streams")], on_event=ear)).result() != own
        assert next(run.outcomes([job("swap_streams")], on_event=ear)).error is None
        (plain,) = run.outcomes([Call("say_on_both")], on_event=ear)
        assert plain.error is None
        assert ear.said() == ["before"]
        assert run.result("kind_of_streams") == own

    def test_a_job_that_raised_or_could_not_be_called_leaves_nothing_behind(self, run, ear):
        own = run.result("kind_of_streams")
        calls = [job("say_then", end="raise"), job("which_attempt", 1, no_such_argument=1)]
        assert [type(outcome.error) for outcome in run.outcomes(calls)] == [TaskFailed, TaskFailed]
        assert run.result("kind_of_streams") == own
        assert run.result("which_attempt") == 1

    def test_threads_that_an_earlier_job_left_behind_write_into_no_log(self, run, ear, tmp_path, capfd):
        names = ("stranger", "relative")
        first = next(run.outcomes([job("leave_threads_behind", folder=str(tmp_path))])).result()
        (second,) = run.outcomes([job("hear_threads", 1, folder=str(tmp_path))], on_event=ear)
        assert first == second.result() != os.getpid()
        assert ear.said(1) == [f"{when} {name}" for name in names for when in ("before", "after")]
        assert len(ear.events) == 4
        # It is not lost either
        late = {f"{how} {name}" for how in ("a print of", "to the old stream, from") for name in names}
        output: list[str] = []

        def printed():
            output.append(capfd.readouterr().out)
            return late <= set("".join(output).splitlines())

        wait_until(printed)

    def test_threads_that_an_earlier_job_left_behind_do_not_disturb_plain_calls(self, run, ear, tmp_path):
        first = next(run.outcomes([job("leave_threads_behind", folder=str(tmp_path))])).result()
        (second,) = run.outcomes([Call("hear_threads", {"folder": str(tmp_path)})], on_event=ear)
        assert first == second.result()
        assert ear.events == []


def test_jobs_of_several_threads_each_have_their_own_lines(run):
    wrong: list[object] = []

    def work(name):
        ear = Ear()
        calls = [job("say", n, lines=[f"{name} {n}"]) for n in range(100)]
        if len(list(run.outcomes(calls, on_event=ear))) != 100:
            wrong.append(name)
        wrong.extend(n for n in range(100) if ear.said(n) != [f"{name} {n}"])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
