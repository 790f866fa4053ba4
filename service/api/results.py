"""Values as JSON: exact integers of any size, never ``NaN``. Arrays as .npy files, for who asks for them."""

from __future__ import annotations

from typing import Any

from flask import Request, Response

from service.tasks.strict_json import dumps

__all__ = ["JSON", "NPY", "dumps", "json_response", "nothing", "npy_response", "prefers_npy"]

JSON = "application/json"
#: The media type of NumPy's .npy files; it is not registered.
NPY = "application/x-npy"


def json_response(value: Any, status: int = 200) -> Response:
    """Answer with a value as JSON."""
    return Response(dumps(value), status, content_type=JSON)


def nothing() -> Response:
    """Answer that there is nothing to send."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def prefers_npy(request: Request) -> bool:
    """Tell whether an array should be answered as a .npy file: when ``Accept`` names that before JSON."""
    return request.accept_mimetypes.best_match([JSON, NPY]) == NPY


def npy_response(array: Any) -> Response:
    """Answer with an array as a .npy file; raises ``ValueError`` or ``TypeError`` for what is none."""
    from service.tasks import arrays  # noqa: PLC0415 - it takes numpy, which not every service has use for

    return Response(arrays.dump(array), content_type=NPY)
