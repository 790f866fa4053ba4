"""What a task takes and returns, by media type."""

from __future__ import annotations

import itertools
from typing import Any

from service.api import streams
from service.api.arguments import accepted
from service.api.openapi.parts import JSON, Operation, json_content, object_of, ref
from service.api.openapi.schemas import Schema, example, hoist, is_bytes, is_scalar
from service.api.results import NPY, dumps
from service.errors import EverycoreError
from service.tasks.contract import Contract

FORM = "multipart/form-data"
BINARY: Schema = {"type": "string", "format": "binary"}
_STREAMED: Schema = {
    "type": "string",
    "description": "An `item` each, as soon as it is there, then `summary` or `error`.",
}

#: Combinations of arguments that a task's media type is asked for.
_MOST_COMBINATIONS = 64


def bodies(contract: Contract, schemas: dict[str, Schema]) -> dict[str, Any]:
    """Describe the body in each media type that the task takes."""
    schema = hoist(contract.arguments, contract.task.name, schemas)
    content: dict[str, Any] = {}
    # A form first, if there is one: that is what a page offers, and files are easiest to give there.
    for media_type in sorted(accepted(contract), key=lambda accepts: accepts != FORM):
        if media_type == JSON:
            content[media_type] = {"schema": schema} | _example(contract)
        elif media_type == FORM:
            properties = {
                name: _in_form(contract, name, member) for name, member in schema["properties"].items()
            }
            content[media_type] = {"schema": {**schema, "properties": properties}}
        else:
            content[media_type] = {"schema": BINARY}
    return content


def _example(contract: Contract) -> dict[str, Any]:
    value = example(contract.arguments)
    try:
        contract.validate_json(dumps(value))
    except (EverycoreError, ValueError, TypeError):
        # A pattern or a validator of the user's own: no example is better than one that is refused.
        return {}
    return {"example": value}


def query(contract: Contract, schemas: dict[str, Schema]) -> list[Operation]:
    """Describe the parameters that stand in the query beside a raw body."""
    if contract.upload is None and contract.array is None:
        return []
    schema = hoist(contract.arguments, contract.task.name, schemas)
    return [
        {
            "name": name,
            "in": "query",
            # Without its default, which Swagger UI would send along beside JSON too, where it is refused.
            "schema": {key: value for key, value in member.items() if key != "default"},
            "description": "Only beside a raw body; a form or a JSON object has it inside.",
        }
        for name, member in schema["properties"].items()
        if not _is_file(contract, name) and is_scalar(member)
    ]


def _in_form(contract: Contract, name: str, member: Schema) -> Schema:
    if _is_file(contract, name):
        return BINARY
    # An upload that is not one of bytes alone may be several files.
    return {"type": "array", "items": BINARY, "minItems": 1} if name == contract.upload else member


def _is_file(contract: Contract, name: str) -> bool:
    """Tell whether an argument stands in a form as a file."""
    return name in contract.arrays or is_bytes(contract.arguments["properties"][name])


def results(contract: Contract, schemas: dict[str, Schema]) -> dict[str, Any]:
    """Describe the answer in each media type that it can have."""
    schema = hoist(contract.result, f"{contract.task.name}.result", schemas)
    kinds = contract.result.get("anyOf", [contract.result])
    content: dict[str, Any] = {}
    if contract.task.streams:
        # What an answer has that asks for nothing in particular goes first.
        content |= {media_type: {"schema": _STREAMED} for media_type in (streams.NDJSON, streams.EVENTS)}
    if not all(is_bytes(kind) for kind in kinds):
        task = {"const": contract.task.name}
        content |= json_content(object_of(task=task, result=schema, timing=ref("Timing")))
    if contract.returns_array:
        content[NPY] = {"schema": BINARY}
    if not schema or any(is_bytes(kind) for kind in kinds):
        content |= {media_type: {"schema": BINARY} for media_type in _media_types(contract)}
    return content


def _media_types(contract: Contract) -> list[str]:
    """Return what a task's bytes may be, by asking for each choice that its arguments have."""
    choices = {
        name: member.get("enum") or [member["const"]]
        for name, member in contract.arguments["properties"].items()
        if "enum" in member or "const" in member
    }
    found = set()
    for values in itertools.islice(itertools.product(*choices.values()), _MOST_COMBINATIONS):
        try:
            found.add(contract.task.media_type_of(dict(zip(choices, values, strict=True))))
        except Exception:  # noqa: BLE001 - a user's function, which may need all of its arguments
            return ["*/*"]
    return sorted(media_type.partition(";")[0].strip() for media_type in found)
