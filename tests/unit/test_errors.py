"""Errors travel."""

from __future__ import annotations

import pickle

from service.errors import TaskFailed


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
