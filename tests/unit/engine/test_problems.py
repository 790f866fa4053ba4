"""What clients are told about a call, and of a pipeline."""

from typing import Any

import pytest

from service import errors
from service.engine.problems import KINDS, detail_of, document_of, is_invalid_input, kind_of
from service.errors import StageFailed
from service.tasks.contract import InvalidArguments
from service.tasks.invalid_input import InvalidInput

CAUSES = [
    (errors.TaskFailed("KeyError", "'secret'", "Traceback: secret"), 500, "task-failed"),
    (errors.TaskFailed("InvalidInput", "too blue"), 422, "invalid-input"),
    (errors.TaskCrashed(7, -11), 500, "task-crashed"),
    (errors.DeadlineExceeded(0.3, started=True), 504, "deadline-exceeded"),
    (errors.MemoryLimitExceeded(1000), 507, "memory-limit-exceeded"),
    (errors.NotSerializable("result", "TypeError: secret"), 500, "result-not-serializable"),
]


@pytest.mark.parametrize(("cause", "status", "slug"), CAUSES)
def test_a_stage_is_judged_by_its_cause_and_says_where_it_was(
    cause: errors.EverycoreError, status: int, slug: str
) -> None:
    error = StageFailed("parse", 3, cause)

    assert kind_of(error) is kind_of(cause)
    assert detail_of(error) == f"stage 'parse', item 3: {detail_of(cause)}"
    document = document_of(error)
    assert document == document_of(cause) | {"detail": detail_of(error), "stage": "parse", "item": 3}
    assert (document["status"], document["type"]) == (status, f"/problems/{slug}")
    assert "secret" not in str(document)


def test_what_has_no_form_in_json_is_said_without_the_text_of_an_error() -> None:
    error = errors.ResultNotJson.because(ValueError("secret"))

    document = document_of(error)
    assert document["type"] == "/problems/result-not-serializable"
    assert document["detail"] == "the result has no form in JSON (ValueError); the log has more"
    assert str(error) == "the result has no form in JSON: ValueError: secret"


def test_without_an_item_there_is_none() -> None:
    document = document_of(StageFailed("read", None, errors.TaskCrashed(7, -11)))

    assert (document["stage"], document["item"]) == ("read", None)
    assert document["detail"] == "stage 'read': the process that ran the call died by SIGSEGV"


def test_a_stage_that_refuses_its_input_has_not_failed() -> None:
    error = StageFailed("parse", 3, errors.TaskFailed("InvalidInput", "too blue"))

    assert is_invalid_input(error)
    assert kind_of(error) is KINDS[InvalidInput]
    assert detail_of(error) == "stage 'parse', item 3: too blue"
    assert not is_invalid_input(StageFailed("parse", 3, errors.TaskCrashed(7, -11)))


def test_other_errors_have_no_stage() -> None:
    said: list[dict[str, Any]] = [{"loc": ["n"], "msg": "no"}]

    assert set(document_of(errors.TaskCrashed(7, -11))) == {"type", "title", "status", "detail"}
    assert document_of(InvalidArguments("task", said))["errors"] == said
