"""One task over many items, and different tasks at once.

application/json       {"items": […]} or {"calls": […]}; the answer has an entry for each, in their order
application/x-ndjson   as a body, an item a line, read as needed; as an answer (``Accept``), an entry a line,
                       in order of completion, and the summary last
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

from flask import Blueprint, Response, request
from pydantic_core import from_json, to_json

from service.api import calls, problems, requests
from service.api.bodies import read_body, read_lines
from service.api.many import Item, Many
from service.api.problems import WrongMediaType
from service.api.results import dumps
from service.errors import EverycoreError, TaskNotFound
from service.tasks.contract import Contract, InvalidArguments, MalformedJson

bp = Blueprint("maps", __name__)

JSON, NDJSON = "application/json", "application/x-ndjson"
ON_ERROR = ("collect", "stop")


@bp.post("/v1/tasks/<name>/map")
def map_task(name: str) -> Response:
    """Run one task over many items."""
    contract = calls.contract(name)
    deadline = requests.deadline(request)
    limit = int(requests.settings().max_body)
    media_type = request.mimetype or JSON
    if media_type == NDJSON:
        lines: Iterable[Item | EverycoreError] = (Item(contract, line) for line in read_lines(request, limit))
        return _answer({"task": name}, lines, request.args.get("on_error", "collect"), deadline)
    if media_type != JSON:
        raise WrongMediaType(media_type, [JSON, NDJSON])
    body = _members(read_body(request, limit), "items")
    items = [Item(contract, to_json(item)) for item in body["items"]]
    return _answer({"task": name}, items, body["on_error"], deadline)


@bp.post("/v1/batch")
def batch() -> Response:
    """Run different tasks at once."""
    deadline = requests.deadline(request)
    if (media_type := request.mimetype or JSON) != JSON:
        raise WrongMediaType(media_type, [JSON])
    body = _members(read_body(request, int(requests.settings().max_body)), "calls")
    return _answer(
        {}, [_call(given, calls.contracts()) for given in body["calls"]], body["on_error"], deadline
    )


def _call(given: Any, contracts: Any) -> Item | EverycoreError:
    if (
        not isinstance(given, dict)
        or not isinstance(given.get("task"), str)
        or given.keys() - {"task", "args"}
    ):
        said = [{"loc": [], "msg": 'a call is {"task": name, "args": {…}}'}]
        return InvalidArguments("batch", said)
    contract: Contract | None = contracts.get(given["task"])
    if contract is None:
        return TaskNotFound(given["task"])
    return Item(contract, to_json(given.get("args", {})))


def _members(raw: bytes, many: str) -> dict[str, Any]:
    """Read ``{many: [...], "on_error": ...}``; raises ``MalformedJson`` or ``InvalidArguments``."""
    try:
        body = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedJson(f"the body is not JSON: {error}") from None
    said: list[dict[str, Any]] = []
    if not isinstance(body, dict):
        raise InvalidArguments("map", [{"loc": [], "msg": f'the body must be an object with "{many}"'}])
    said += [{"loc": [name], "msg": "there is no such member"} for name in body.keys() - {many, "on_error"}]
    if not isinstance(body.get(many), list):
        said.append({"loc": [many], "msg": "it must be a list"})
    if body.get("on_error", "collect") not in ON_ERROR:
        said.append({"loc": ["on_error"], "msg": f"it must be one of {', '.join(ON_ERROR)}"})
    if said:
        raise InvalidArguments("map", said)
    return {"on_error": "collect"} | body


def _answer(
    head: dict[str, Any], items: Iterable[Item | EverycoreError], on_error: str, deadline: float
) -> Response:
    if on_error not in ON_ERROR:
        said = [{"loc": ["on_error"], "msg": f"it must be one of {', '.join(ON_ERROR)}"}]
        raise InvalidArguments("map", said)
    streamed = request.accept_mimetypes.best_match([JSON, NDJSON]) == NDJSON
    many = Many(
        items,
        trace=requests.trace(),
        deadline=deadline,
        stop_at_error=on_error == "stop",
        with_timing=streamed,
    )
    entries = many.entries(calls.engine())
    if streamed:
        return _stream(many, entries)
    ordered = b",".join(entry for _, entry in sorted(entries))
    tail = dumps({**head, "summary": many.summary.document()})
    return Response(b'{"results":[' + ordered + b"]," + tail[1:], content_type=JSON)


def _stream(many: Many, entries: Generator[tuple[int, bytes], None, None]) -> Response:
    # The first entry before the status: a service that is full says so, instead of breaking off.
    first = next(entries, None)

    def lines() -> Iterator[bytes]:
        try:
            if first is not None:
                yield first[1] + b"\n"
            for _, entry in entries:
                yield entry + b"\n"
            yield dumps({"summary": many.summary.document()}) + b"\n"
        except EverycoreError as error:  # the status is sent already
            problems.note(error)
            yield dumps({"error": problems.describe(error).document()}) + b"\n"
        finally:
            entries.close()  # a client that went away stops its work

    return Response(lines(), content_type=NDJSON)
