"""A task's parameters as a pydantic model: one field each, by position.

def f(n: int, tags: Iterable[str] = ()) -> …      argument_0: int, argument_1: list[str]

A parameter may be called as something that a model needs itself, so its name is only the field's alias.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from service.tasks.registry import Task

_READ_ONCE = (collections.abc.Iterable, collections.abc.Collection)

#: It also holds inside dataclasses, ``TypedDict`` and ``NamedTuple``; a model of the user's has its own.
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, val_json_bytes="base64", ser_json_bytes="base64")


def model_of(task: Task, parameters: Sequence[inspect.Parameter]) -> type[BaseModel]:
    """Make the model; raises ``ConfigurationError``, or what pydantic raises."""
    fields: dict[str, Any] = {}
    for i, parameter in enumerate(parameters):
        if isinstance(parameter.default, FieldInfo):
            raise task.refuse(f"Field() of {parameter.name} belongs inside Annotated[…]")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[field(i)] = (_eager(parameter.annotation), Field(default, alias=parameter.name))
    model = create_model(task.name, __config__=_CONFIG, __doc__=task.description or None, **fields)
    for i, parameter in enumerate(parameters):
        made = model.model_fields.get(field(i))
        if made is None:
            raise task.refuse(f"{parameter.name} can't be a ClassVar or Final")
        # What is left out does not travel, so the function has to know it.
        if parameter.default is parameter.empty and not made.is_required():
            raise task.refuse(f"the default of {parameter.name} belongs behind =, not in Field()")
    return model


def field(i: int) -> str:
    """Name the field of the parameter at that position."""
    return f"argument_{i}"


def is_upload(annotation: Any) -> bool:
    """Tell whether that is ``bytes``, or ``bytes | list[bytes]``, of which a form may have several."""
    hint = _bare(annotation)
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint is bytes
    kinds = [_bare(kind) for kind in typing.get_args(hint)]
    items = [_bare(typing.get_args(kind)[0]) for kind in kinds if typing.get_origin(kind) is list]
    return len(kinds) == len(items) + 1 and bytes in kinds and items == [bytes]


def _bare(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def _eager(annotation: Any) -> Any:
    """Take a list for an ``Iterable``, which pydantic would check only when the task reads it."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return typing.Annotated[(_eager(annotation.__origin__), *annotation.__metadata__)]
    if origin in _READ_ONCE or annotation in _READ_ONCE:
        return types.GenericAlias(list, typing.get_args(annotation) or (Any,))
    return annotation
