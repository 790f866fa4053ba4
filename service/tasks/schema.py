"""JSON Schema of type hints, by pydantic, without what it can't be in JSON."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema

from service.tasks.strict_json import dumps

Schema = dict[str, Any]


def of_arguments(model: type[BaseModel]) -> Schema:
    """Describe what a model takes; raises what pydantic raises, or ``TypeError``."""
    schema: Schema = _without_infinities(model.model_json_schema(schema_generator=_Arguments))
    return schema


def of_result(annotation: Any) -> Schema:
    """Describe what a value of that type is in JSON; raises what pydantic raises."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    schema: Schema = _without_infinities(adapter.json_schema(mode="serialization", schema_generator=_Quiet))
    return schema


class _Quiet(GenerateJsonSchema):
    """Leaves a default that has no form in JSON out, and does not warn of it."""

    ignored_warning_kinds = GenerateJsonSchema.ignored_warning_kinds | {"non-serializable-default"}

    def encode_default(self, dft: Any) -> Any:
        encoded = super().encode_default(dft)
        try:
            dumps(encoded)
        except (ValueError, TypeError) as error:
            raise PydanticSerializationError("infinity, or a key that is no text") from error
        return encoded


class _Arguments(_Quiet):
    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        """Say what their text is; pydantic counts the bytes, where JSON Schema would count the text."""
        # A model of the user's takes the text itself for the bytes, unless its own configuration differs.
        if self._config.val_json_bytes != "base64":
            return {"type": "string"}
        least, most = schema.get("min_length"), schema.get("max_length")
        bounds = [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
        text = f"Bytes in base64{', ' + ' and '.join(bounds) + ' bytes' if bounds else ''}."
        return {"type": "string", "contentEncoding": "base64", "description": text}

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> JsonSchemaValue:
        """Refuse it: pydantic would check its items only when the task reads them, in another process."""
        raise TypeError(f"the items of a {schema['type']} can't be checked; say list or Sequence")


def _without_infinities(schema: Any) -> Any:
    """Drop bounds that are none: ``le=math.inf``."""
    if isinstance(schema, dict):
        return {name: _without_infinities(value) for name, value in schema.items() if not _is_infinite(value)}
    if isinstance(schema, list):
        return [_without_infinities(value) for value in schema if not _is_infinite(value)]
    return schema


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
