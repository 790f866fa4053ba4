"""What a task takes and returns, as its type hints say: validation and JSON Schema, by pydantic.

Only the web side builds contracts; a pool process gets arguments that fit already.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from service.errors import EverycoreError
from service.tasks.registry import Task
from service.tasks.signature import unusable

_CONFIG = ConfigDict(extra="forbid", val_json_bytes="base64", ser_json_bytes="base64")

#: Past this many errors they are counted, not listed: a hostile body can hold millions.
MAX_ERRORS = 100


class MalformedJson(EverycoreError):
    """The arguments are not JSON at all."""


class InvalidArguments(EverycoreError):
    """The arguments don't fit the task's type hints."""

    def __init__(self, task: str, errors: list[dict[str, Any]]) -> None:
        """``errors`` holds a ``loc`` (list of names and indices) and a ``msg`` each."""
        super().__init__(f"the arguments don't fit task {task!r}")
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Contract:
    """One task's arguments and result."""

    task: Task
    model: type[BaseModel]
    #: Parameter names by field names of the model.
    names: Mapping[str, str]
    #: The only required ``bytes`` parameter, which a raw body can fill.
    upload: str | None
    #: The parameters that are arrays.
    arrays: tuple[str, ...]
    #: The only required array, which a raw body can fill.
    array: str | None
    #: Whether the result is an array.
    returns_array: bool
    #: JSON Schema of the arguments.
    arguments: dict[str, Any]
    #: JSON Schema of the result; empty when it says nothing.
    result: dict[str, Any]

    def validate_json(self, raw: bytes) -> dict[str, Any]:
        """Turn a JSON object into keyword arguments, strictly.

        Raises ``MalformedJson``, or ``InvalidArguments`` with every error at once.
        """
        try:
            return self._given(self.model.model_validate_json(raw, strict=True))
        except ValidationError as error:
            raise self._refusal(error) from None

    def validate_text(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Turn the fields of a form or a query, which are text, into keyword arguments.

        Raises ``InvalidArguments``.
        """
        try:
            return self._given(self.model.model_validate(values, strict=False))
        except ValidationError as error:
            raise self._refusal(error) from None

    def _given(self, fitting: BaseModel) -> dict[str, Any]:
        # What was left out is the function's own default, which needs no travelling.
        return {self.names[field]: getattr(fitting, field) for field in fitting.model_fields_set}

    def _refusal(self, error: ValidationError) -> EverycoreError:
        count = error.error_count()
        if count > MAX_ERRORS:
            return InvalidArguments(self.task.name, [{"loc": [], "msg": f"{count} errors, too many to list"}])
        # The input stays out: it may be large, secret, or no valid text.
        details = error.errors(include_url=False, include_input=False, include_context=False)
        if details[0]["type"] == "json_invalid" and not details[0]["loc"]:
            return MalformedJson(details[0]["msg"])
        return InvalidArguments(self.task.name, [{"loc": list(e["loc"]), "msg": e["msg"]} for e in details])


def build(task: Task) -> Contract:
    """Read a task's type hints; raises ``ConfigurationError`` when they can't be served."""
    try:
        signature = inspect.signature(task.function, eval_str=True)
        parameters = list(signature.parameters.values())
        model = _model(task, parameters)
        arguments = model.model_json_schema()
    except (NameError, SyntaxError, TypeError, AttributeError, PydanticUserError) as error:
        raise unusable(task.function, f"its type hints can't be used: {error}") from error
    names = {_field(i): parameter.name for i, parameter in enumerate(parameters)}
    return Contract(
        task,
        model,
        names,
        upload=_only_required(parameters, lambda annotation: _bare(annotation) is bytes),
        arrays=tuple(p.name for p in parameters if _is_array(p.annotation)),
        array=_only_required(parameters, _is_array),
        returns_array=_is_array(signature.return_annotation),
        arguments=arguments,
        result=_result(signature.return_annotation),
    )


def _model(task: Task, parameters: list[inspect.Parameter]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for i, parameter in enumerate(parameters):
        if isinstance(parameter.default, FieldInfo):
            raise unusable(task.function, f"Field() of {parameter.name} belongs inside Annotated[…]")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[_field(i)] = (parameter.annotation, Field(default, alias=parameter.name))
    return create_model(task.name, __config__=_CONFIG, __doc__=task.description or None, **fields)


def _field(i: int) -> str:
    """Name a field by its position: a parameter may be called as something a model needs itself."""
    return f"argument_{i}"


def _only_required(parameters: list[inspect.Parameter], fits: Callable[[Any], bool]) -> str | None:
    required = [p.name for p in parameters if p.default is p.empty and fits(p.annotation)]
    return required[0] if len(required) == 1 else None


def _is_array(annotation: Any) -> bool:
    # Whoever has arrays has imported their module, and nobody else should have to.
    arrays = sys.modules.get("service.tasks.arrays")
    metadata = getattr(annotation, "__metadata__", ())
    return arrays is not None and any(isinstance(item, arrays.ArrayForm) for item in metadata)


def _bare(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _result(annotation: Any) -> dict[str, Any]:
    if annotation is inspect.Signature.empty:
        return {}
    try:
        return TypeAdapter(annotation).json_schema(mode="serialization")
    except PydanticUserError:
        # A result of any class may be served (numpy's, for one); its schema just says nothing.
        return {}
