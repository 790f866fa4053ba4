"""JSON Schema as OpenAPI wants it: shared definitions in one place, and an example of what fits."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

_DEFS = "#/$defs/"
#: Members whose values are a user's own data, not schema.
_DATA = frozenset({"default", "const", "enum", "examples"})
#: A schema that refers to itself ends here.
_DEPTH = 6


def hoist(schema: Schema, owner: str, components: dict[str, Schema]) -> Schema:
    """Return the schema with its ``$defs`` moved to ``components``, where each is called owner.name."""
    for name, definition in schema.get("$defs", {}).items():
        components[f"{owner}.{name}"] = _move(definition, owner)
    return _move_members({key: value for key, value in schema.items() if key != "$defs"}, owner)


def _move(value: Any, owner: str) -> Any:
    if isinstance(value, dict):
        return _as_base64(_move_members(value, owner)) if is_bytes(value) else _move_members(value, owner)
    if isinstance(value, list):
        return [_move(item, owner) for item in value]
    if isinstance(value, str) and value.startswith(_DEFS):
        return f"#/components/schemas/{owner}.{value.removeprefix(_DEFS)}"
    return value


def _move_members(schema: Schema, owner: str) -> Schema:
    moved = {key: item if key in _DATA else _move(item, owner) for key, item in schema.items()}
    if isinstance(schema.get("properties"), dict):
        # A property may be called as a member of a schema is.
        moved["properties"] = {name: _move(member, owner) for name, member in schema["properties"].items()}
    return moved


def _as_base64(schema: Schema) -> Schema:
    """Say what the text of bytes is; pydantic counts the bytes, where JSON Schema would count the text."""
    least, most = schema.get("minLength"), schema.get("maxLength")
    bounds = [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
    text = f"Bytes in base64{', ' + ' and '.join(bounds) + ' bytes' if bounds else ''}."
    kept = {key: value for key, value in schema.items() if key not in ("format", "minLength", "maxLength")}
    return kept | {"contentEncoding": "base64", "description": schema.get("description", text)}


def is_bytes(schema: Schema) -> bool:
    """Tell whether a schema made by pydantic stands for ``bytes``."""
    # A value, not a schema, may have such a member too, with anything in it.
    return schema.get("type") == "string" and (
        schema.get("format") in ("binary", "base64url") or schema.get("contentEncoding") == "base64"
    )


def is_scalar(schema: Schema) -> bool:
    """Tell whether a value can stand in a query: text, a number, or a list of such."""
    kind = schema.get("type")
    if kind == "array":
        return schema.get("items", {}).get("type") not in (None, "array", "object")
    return kind in ("string", "integer", "number", "boolean")


def example(schema: Schema, depth: int = 0, defs: Mapping[str, Schema] | None = None) -> Any:
    """Return a value that fits the schema, as far as that can be seen; one that it declares goes first."""
    defs = schema.get("$defs", {}) if defs is None else defs
    declared = schema.get("examples", [])[:1]
    declared += [schema[member] for member in ("const", "default") if member in schema]
    declared += schema.get("enum", [])[:1]
    if declared or depth > _DEPTH:
        return next(iter(declared), None)
    if "$ref" in schema:
        return example(defs.get(schema["$ref"].removeprefix(_DEFS), {}), depth + 1, defs)
    for member in ("anyOf", "oneOf", "allOf"):
        if schema.get(member):
            return example(schema[member][0], depth + 1, defs)
    return _plain_example(schema, depth, defs)


def _plain_example(schema: Schema, depth: int, defs: Mapping[str, Schema]) -> Any:
    match schema.get("type"):
        case "object":
            return _object(schema, depth, defs)
        case "array":
            return _array(schema, depth, defs)
        case "string":
            return _text(schema)
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case _:
            return None


def _object(schema: Schema, depth: int, defs: Mapping[str, Schema]) -> Any:
    """Give what is required, and the defaults of the rest, so that one sees what there is."""
    required = schema.get("required", ())
    given = {
        name: example(member, depth + 1, defs)
        for name, member in schema.get("properties", {}).items()
        if name in required or "default" in member
    }
    values = schema.get("additionalProperties")
    if not given and isinstance(values, dict):
        name = example({"type": "string", **schema.get("propertyNames", {})}, depth + 1, defs)
        given["name" if name == "text" else name] = example(values, depth + 1, defs)
    return given


def _array(schema: Schema, depth: int, defs: Mapping[str, Schema]) -> Any:
    if "prefixItems" in schema:
        return [example(item, depth + 1, defs) for item in schema["prefixItems"]]
    items = schema.get("items", {})
    item = example(items, depth + 1, defs)
    count = max(1, min(schema.get("minItems", 1), 100))
    if not schema.get("uniqueItems"):
        return [item] * count
    if isinstance(item, str):
        return [item, *(f"{item} {i}" for i in range(2, count + 1))]
    return [item + i for i in range(count)] if type(item) is int else [item]


_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1M",
    "uuid": "6f0b1c1e-5e0c-4c9c-8f5e-0c8f6b1f7a51",
    "uuid4": "6f0b1c1e-5e0c-4c9c-8f5e-0c8f6b1f7a51",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "email": "someone@example.org",
}


def _text(schema: Schema) -> str:
    if is_bytes(schema):
        return base64.urlsafe_b64encode(b"some bytes").decode()
    text = _FORMATS.get(schema.get("format", ""), "text")
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(text))
    return "".join(itertools.islice(itertools.cycle(text), max(least, min(len(text), most))))


def _number(schema: Schema) -> float:
    """Take 5, or the nearest that is allowed."""
    least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    most = schema.get("maximum", schema.get("exclusiveMaximum", max(5, least) + 1) - 1)
    number = float(max(least, min(5, most)))
    step = schema.get("multipleOf")
    if step:
        number = step * -(-number // step)
    return int(number) if number.is_integer() else number
