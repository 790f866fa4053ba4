"""What a task takes and returns, as its type hints say: validation and JSON Schema, by pydantic.

Only the web side builds contracts; a pool process gets arguments that fit already.
"""

from __future__ import annotations

import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUserError

from service.errors import ConfigurationError, EverycoreError, TaskFailed
from service.tasks import schema, strict_json
from service.tasks.parameters import field, is_upload, model_of
from service.tasks.pipelines import Pipeline
from service.tasks.registry import Task

#: Past this many errors they are counted, not listed: a hostile body can hold millions.
MAX_ERRORS = 100


class MalformedJson(EverycoreError):
    """The arguments are not JSON at all."""


class InvalidArguments(EverycoreError):
    """The arguments don't fit the task's type hints."""

    def __init__(self, task: str, errors: list[dict[str, Any]]) -> None:
        """``errors`` holds a ``loc`` (list of names and indices) and a ``msg`` each."""
        super().__init__(f"the arguments don't fit {task!r}")
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Contract:
    """One task's arguments and result."""

    task: Task
    model: type[BaseModel]
    #: Parameter names by field names of the model.
    names: Mapping[str, str]
    #: The only required parameter of ``bytes``, or of ``bytes | list[bytes]``, which a raw body can fill.
    upload: str | None
    #: The parameters that are arrays.
    arrays: tuple[str, ...]
    #: The only required array, which a raw body can fill.
    array: str | None
    #: Whether the result is an array.
    returns_array: bool
    #: JSON Schema of the arguments.
    arguments: dict[str, Any]
    #: JSON Schema of the result, of a pipeline that of each; empty when it says nothing.
    result: dict[str, Any]

    def validate_json(self, raw: bytes) -> dict[str, Any]:
        """Turn a JSON object into keyword arguments, strictly.

        Raises ``MalformedJson``, ``InvalidArguments`` with every error at once, or ``TaskFailed`` when a
        validator of the user's own breaks.
        """
        try:
            given = self._checked(functools.partial(self.model.model_validate_json, raw, strict=True))
        except (InvalidArguments, TaskFailed):
            _check_strictly(raw)
            raise
        _check_strictly(raw, len(given))
        return given

    def validate_text(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Turn the fields of a form or a query, which are text, into keyword arguments.

        Raises ``InvalidArguments`` or ``TaskFailed``.
        """
        return self._checked(functools.partial(self.model.model_validate, values, strict=False))

    def _checked(self, validate: Callable[[], BaseModel]) -> dict[str, Any]:
        try:
            fitting = validate()
        except ValidationError as error:
            raise self._refusal(error) from None
        except Exception as error:
            # Of what a validator raises pydantic takes ValueError and AssertionError for a refusal.
            raise _failure(error) from error
        # What was left out is the function's own default, which needs no travelling.
        return {self.names[name]: getattr(fitting, name) for name in fitting.model_fields_set}

    def _refusal(self, error: ValidationError) -> EverycoreError:
        count = error.error_count()
        if count > MAX_ERRORS:
            return InvalidArguments(self.task.name, [{"loc": [], "msg": f"{count} errors, too many to list"}])
        # The input stays out: it may be large, secret, or no valid text.
        try:
            details = error.errors(include_url=False, include_input=False, include_context=False)
        except Exception as unreadable:  # noqa: BLE001 - the text of a user's exception is had by code of theirs
            return _failure(unreadable)
        if details[0]["type"] == "json_invalid" and not details[0]["loc"]:
            return MalformedJson(details[0]["msg"])
        return InvalidArguments(self.task.name, [{"loc": list(e["loc"]), "msg": e["msg"]} for e in details])


def _check_strictly(raw: bytes, names: int = 1) -> None:
    try:
        strict_json.check(raw, names)
    except ValueError as error:
        raise MalformedJson(f"Invalid JSON: {error}") from None


def build(task: Task) -> Contract:
    """Read a task's type hints; raises ``ConfigurationError`` when they can't be served."""
    try:
        signature = inspect.signature(task.function, eval_str=True)
        parameters = list(signature.parameters.values())
        model = model_of(task, parameters)
        contract = Contract(
            task,
            model,
            names={field(i): parameter.name for i, parameter in enumerate(parameters)},
            upload=_only_required(parameters, is_upload),
            arrays=tuple(p.name for p in parameters if _is_array(p.annotation)),
            array=_only_required(parameters, _is_array),
            returns_array=task.pipeline is None and _is_array(signature.return_annotation),
            arguments=schema.of_arguments(model),
            result=_result(signature.return_annotation if task.pipeline is None else _given(task.pipeline)),
        )
    except ConfigurationError:
        raise
    except Exception as error:
        # Hints are evaluated, and those of classes of the user's run code of theirs.
        raise task.refuse(f"its type hints can't be used: {error}") from error
    _hide_defaults_that_do_not_fit(contract)
    return contract


def _hide_defaults_that_do_not_fit(contract: Contract) -> None:
    """Promise no default that can't be sent, as that of ``n: int = None``."""
    for name, member in contract.arguments["properties"].items():
        if "default" in member and not _fits(contract, name, member["default"]):
            del member["default"]


def _fits(contract: Contract, name: str, default: Any) -> bool:
    try:
        contract.validate_json(strict_json.dumps({name: default}))
    except InvalidArguments as error:
        # Other arguments are lacking here; a validator of the user's may have found more than can be listed.
        return all(said["loc"] and said["loc"][0] != name for said in error.errors)
    except (EverycoreError, ValueError, TypeError):
        return False
    return True


def _failure(error: Exception) -> TaskFailed:
    """Blame the task, for the validators of its hints are part of it."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - as above
        message = ""
    return TaskFailed(type(error).__name__, message, "".join(traceback.format_exception(error)))


def _only_required(parameters: list[inspect.Parameter], fits: Callable[[Any], bool]) -> str | None:
    required = [p.name for p in parameters if p.default is p.empty and fits(p.annotation)]
    return required[0] if len(required) == 1 else None


def _is_array(annotation: Any) -> bool:
    # Whoever has arrays has imported their module, and nobody else should have to.
    arrays = sys.modules.get("service.tasks.arrays")
    metadata = getattr(annotation, "__metadata__", ())
    return arrays is not None and any(isinstance(item, arrays.ArrayForm) for item in metadata)


def _given(pipeline: Pipeline) -> Any:
    """Return the type hint of one item that a pipeline gives."""
    last = pipeline.steps[-1]
    if pipeline.media_type is not None:
        return bytes
    return inspect.Signature.empty if last.sink else last.gives


def _result(annotation: Any) -> dict[str, Any]:
    if annotation is inspect.Signature.empty:
        return {}
    try:
        return schema.of_result(annotation)
    except PydanticUserError:
        # A result of any class may be served (numpy's, for one); its schema just says nothing.
        return {}
