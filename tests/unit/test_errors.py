"""Errors travel."""

from __future__ import annotations

import pickle

import pytest

from service.errors import DeadlineExceeded, StageFailed, TaskCrashed, TaskFailed, cause_of


def test_a_failure_of_a_task_keeps_its_facts_on_the_way() -> None:
    error = TaskFailed("KeyError", "'x'", "Traceback", ("builtins.KeyError", "builtins.LookupError"))

    arrived = pickle.loads(pickle.dumps(error))

    assert type(arrived) is TaskFailed
    assert str(arrived) == str(error) == "KeyError: 'x'"
    assert (arrived.exception, arrived.message, arrived.traceback) == ("KeyError", "'x'", "Traceback")
    assert arrived.bases == ("builtins.KeyError", "builtins.LookupError")


def test_of_a_failure_only_name_and_text_have_to_be_known() -> None:
    error = TaskFailed("KeyError", "")

    assert (str(error), error.traceback, error.bases) == ("KeyError", "", ())


@pytest.mark.parametrize("item", [0, 12, None])
def test_a_failure_of_a_stage_keeps_its_facts_on_the_way(item: int | None) -> None:
    error = StageFailed("parse", item, TaskFailed("KeyError", "'x'", "Traceback", ("builtins.KeyError",)))

    arrived = pickle.loads(pickle.dumps(error))

    assert type(arrived) is StageFailed
    assert (arrived.stage, arrived.item) == ("parse", item)
    assert isinstance(arrived.cause, TaskFailed)
    assert (arrived.cause.exception, arrived.cause.bases) == ("KeyError", ("builtins.KeyError",))


def test_it_says_where_it_was_and_what() -> None:
    crash = TaskCrashed(1, -11)

    assert str(StageFailed("parse", 3, crash)) == (
        "stage 'parse', item 3: the process that ran the call died by SIGSEGV"
    )
    assert str(StageFailed("parse", None, crash)) == (
        "stage 'parse': the process that ran the call died by SIGSEGV"
    )


def test_its_cause_is_what_went_wrong() -> None:
    crash = TaskCrashed(1, -11)

    assert cause_of(StageFailed("parse", 3, crash)) is crash
    assert cause_of(crash) is crash


@pytest.mark.parametrize(("limit", "said"), [(0.25, "0.25 s"), (0.0, "0 s"), (-0.000667, "0 s")])
def test_nobody_has_less_than_no_time(limit: float, said: str) -> None:
    error = DeadlineExceeded(limit, started=False)

    assert str(error) == f"the call was not started within its limit of {said}"
    assert error.limit == max(0.0, limit)
