"""Values as JSON: exact integers of any size, never ``NaN``. Arrays as .npy files, for who asks for them."""

from __future__ import annotations

from typing import Any

from flask import Request, Response

from service.tasks.strict_json import dumps

__all__ = ["NPY", "dumps", "json_response", "npy_response", "prefers_npy"]

_JSON = "application/json"
#: The media type of NumPy's .npy files; it is not registered.
NPY = "application/x-npy"


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
