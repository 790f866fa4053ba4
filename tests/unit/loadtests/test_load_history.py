"""The course of a run, from what Locust writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests import load_history
from loadtests.load_history import BadHistory, Moment, Rate

HEAD = (
    "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,95%,99%,"
    "Total Request Count,Total Failure Count,Total Median Response Time"
)


@pytest.fixture
def write(tmp_path: Path):
    def write(*rows: str, head: str = HEAD) -> Path:
        path = tmp_path / "x_stats_history.csv"
        path.write_text("\n".join([head, *rows]) + "\n")
        return path

    return write


def row(at, users, asked, failed=0, name="Aggregated", times="5,20,30"):
    return f"{at},{users},,{name},1.0,0.0,{times},{asked},{failed},7"


def moments(*steps, per_user=10):
    """Return the seconds of steps, each (users, seconds, failures a second)."""
    found, at, asked, failed = [], 0, 0, 0
    for users, seconds, failures in steps:
        for _ in range(seconds):
            found.append(Moment(at, users, asked, failed, float(users), 2.0 * users, 3.0 * users))
            at, asked, failed = at + 1, asked + per_user * users, failed + failures
    return found


def test_only_the_rows_of_all_requests_count(write):
    rows = [row(at, 2, 10 * at) for at in range(5)] + [row(4, 2, 7, name="fan_out")]

    course = load_history.read(write(*rows))

    assert [moment.asked for moment in course] == [0, 10, 20, 30, 40]
    assert course[-1] == Moment(4, 2, 40, 0, 5.0, 20.0, 30.0)


def test_before_the_first_answer_there_are_no_times(write):
    course = load_history.read(write(*[row(at, 0, 0, times="N/A,N/A,N/A") for at in range(5)]))

    assert course[0].p50 is None


def test_a_file_of_another_form_is_refused(write):
    with pytest.raises(BadHistory, match="no column '50%'"):
        load_history.read(write(head="Timestamp,User Count,Name"))


def test_a_run_that_broke_off_is_refused(write):
    with pytest.raises(BadHistory, match="3 seconds; 5 are needed"):
        load_history.read(write(*[row(at, 1, at) for at in range(3)]))


def test_failures_are_answers_but_not_good_ones():
    assert load_history.rate(moments((1, 11, 4))) == Rate(answered=10.0, good=6.0)


def test_a_single_moment_has_no_rate():
    assert load_history.rate(moments((1, 1, 0))) == Rate(0.0, 0.0)


def test_steps_are_told_apart_by_their_users_without_their_beginnings():
    course = moments((0, 5, 0), (2, 10, 0), (4, 10, 8))

    steps = load_history.steps(course)

    assert [step.users for step in steps] == [2, 4]
    assert [step.rate for step in steps] == [Rate(20.0, 20.0), Rate(40.0, 32.0)]
    assert (steps[1].p50, steps[1].p95, steps[1].p99) == (4.0, 8.0, 12.0)


def test_a_step_that_was_too_short_is_left_out():
    assert [step.users for step in load_history.steps(moments((2, 10, 0), (4, 3, 0), (6, 10, 0)))] == [2, 6]


def test_right_answers_by_second():
    assert load_history.good_by_second(moments((1, 3, 3))) == [(1, 7.0), (2, 7.0)]
