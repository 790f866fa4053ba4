"""Values as JSON: exact integers of any size, never ``NaN``. Arrays as .npy files, for who asks for them."""

from __future__ import annotations

import json
from typing import Any

from flask import Request, Response
from pydantic_core import to_jsonable_python

_JSON = "application/json"
#: The media type of NumPy's .npy files; it is not registered.
NPY = "application/x-npy"


def dumps(value: Any) -> bytes:
    """Encode a value; models, dataclasses, dates and arrays take their usual JSON form.

    Raises ``ValueError``, ``TypeError`` or ``RecursionError`` for what has none.
    """
    return json.dumps(value, allow_nan=False, default=_plain, separators=(",", ":")).encode()


def json_response(value: Any, status: int = 200) -> Response:
    """Answer with a value as JSON."""
    return Response(dumps(value), status, content_type=_JSON)


def prefers_npy(request: Request) -> bool:
    """Tell whether an array should be answered as a .npy file: when ``Accept`` names that before JSON."""
    return request.accept_mimetypes.best_match([_JSON, NPY]) == NPY


def npy_response(array: Any) -> Response:
    """Answer with an array as a .npy file; raises ``ValueError`` or ``TypeError`` for what is none."""
    from service.tasks import arrays  # noqa: PLC0415 - it takes numpy, which not every service has use for

    return Response(arrays.dump(array), content_type=NPY)


def _plain(value: Any) -> Any:
    return to_jsonable_python(value, bytes_mode="base64", fallback=_from_array)


def _from_array(value: Any) -> Any:
    """Take numpy's arrays and scalars without knowing numpy."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
