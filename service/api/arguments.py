"""A task's arguments from whatever form of body it takes.

application/json      one object, checked strictly from its bytes; ``bytes`` as base64, arrays as lists
multipart/form-data   files as they are, arrays as .npy files, other fields as text
image/*, text/*, …    the body is the task's only required ``bytes``; the rest stands in the query
application/x-npy     the same with the only required array

The last three are for tasks with such a parameter. Text is read as what it should be: "3" as an integer.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Request
from werkzeug.datastructures import MultiDict

from service.api.bodies import parse_multipart, read_body
from service.api.problems import WrongMediaType
from service.api.results import NPY
from service.jobs.arguments import JSON, of_fields
from service.jobs.model import Payload
from service.tasks.contract import Contract, InvalidArguments

_MULTIPART = "multipart/form-data"
_RAW = (
    *("application/octet-stream", "application/zip", "application/gzip", "application/x-gzip"),
    *("text/*", "image/*", "audio/*", "video/*"),
)

#: A JSON object as it came, or the texts and contents of a form, of an upload and its query.
Given = bytes | dict[str, Any]


def read_arguments(
    contract: Contract, request: Request, limit: int, until: float, *, reserved: Collection[str] = ()
) -> Given:
    """Read what is given; a body without a media type is taken for JSON.

    Parameters of the query that are ``reserved`` are no arguments, whatever the body.
    Raises ``WrongMediaType``, what ``read_body`` raises, or ``InvalidArguments``.
    """
    media_type = request.mimetype or JSON
    if not _is_accepted(contract, media_type):
        raise WrongMediaType(media_type, accepted(contract))
    body = read_body(request, limit, until)
    query: MultiDict[str, str] = MultiDict()
    if request.query_string:
        query = _without(request.args, reserved)
    if media_type in (JSON, _MULTIPART) and query:
        said = [{"loc": [name], "msg": f"the query is not read beside {media_type}"} for name in query]
        raise InvalidArguments(contract.task.name, said)
    if media_type == JSON:
        return body
    if media_type == _MULTIPART:
        fields, files = parse_multipart(request, body)
        contents = MultiDict((name, file.read()) for name, file in files.items(multi=True))
        return _together(contract, fields, _values(contents))
    name = contract.array if media_type == NPY else contract.upload
    return _together(contract, query, {str(name): body})


def fitting(contract: Contract, given: Given) -> dict[str, Any]:
    """Return keyword arguments that fit; raises ``MalformedJson``, ``InvalidArguments`` or ``TaskFailed``."""
    return contract.validate_json(given) if isinstance(given, bytes) else contract.validate_text(given)


def payload_of(given: Given) -> Payload:
    """Return what is given in the form in which jobs keep it."""
    return Payload(JSON, given) if isinstance(given, bytes) else of_fields(given)


def _together(contract: Contract, texts: MultiDict[str, str], contents: dict[str, Any]) -> dict[str, Any]:
    if twice := contents.keys() & texts.keys():
        said = [
            {"loc": [name], "msg": "it is given twice, as text and as content"}
            for name in sorted(twice, key=str)
        ]
        raise InvalidArguments(contract.task.name, said)
    return _values(texts) | contents


def accepted(contract: Contract) -> list[str]:
    """Return the media types that a task takes."""
    media_types = [JSON]
    if contract.upload is not None or contract.arrays:
        media_types.append(_MULTIPART)
    if contract.array is not None:
        media_types.append(NPY)
    if contract.upload is not None:
        media_types.extend(_RAW)
    return media_types


def _is_accepted(contract: Contract, media_type: str) -> bool:
    if media_type == JSON:
        return True
    family = media_type.partition("/")[0] + "/*"
    return not {media_type, family}.isdisjoint(accepted(contract))


def _without(query: MultiDict[str, str], names: Collection[str]) -> MultiDict[str, str]:
    return MultiDict((name, value) for name, value in query.items(multi=True) if name not in names)


def _values(fields: MultiDict[str, Any]) -> dict[str, Any]:
    """Return each field's value, or the list of its values when it is given more than once."""
    return {name: values[0] if len(values) == 1 else values for name, values in fields.lists()}
