"""Values as JSON: exact integers of any size, never ``NaN``."""

from __future__ import annotations

import json
from typing import Any

from flask import Response
from pydantic_core import to_jsonable_python


def dumps(value: Any) -> bytes:
    """Encode a value; models, dataclasses, dates and arrays take their usual JSON form.

    Raises ``ValueError``, ``TypeError`` or ``RecursionError`` for what has none.
    """
    return json.dumps(value, allow_nan=False, default=_plain, separators=(",", ":")).encode()


def json_response(value: Any, status: int = 200) -> Response:
    """Answer with a value as JSON."""
    return Response(dumps(value), status, content_type="application/json")


def _plain(value: Any) -> Any:
    return to_jsonable_python(value, bytes_mode="base64", fallback=_from_array)


def _from_array(value: Any) -> Any:
    """Take numpy's arrays and scalars without knowing numpy."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
