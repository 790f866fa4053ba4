"""One task over many items, and different tasks at once.

application/json       {"items": […]} or {"calls": […]}; the answer has an entry for each, in their order
application/x-ndjson   as a body, an item a line, read as needed; as an answer (``Accept``), an entry a line,
                       in order of completion, and the summary last
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, cast

from flask import Blueprint, Response, request
from pydantic_core import to_json

from service.api import calls, problems, requests, streaming
from service.api.admission import admitted
from service.api.bodies import read_body
from service.api.lines import LineFeed
from service.api.many import Item, Listed, Many
from service.api.problems import WrongMediaType
from service.api.results import dumps
from service.engine.base import Call, Feed, Outcome
from service.errors import EverycoreError
from service.tasks import strict_json
from service.tasks.contract import Contract, InvalidArguments, MalformedJson

bp = Blueprint("maps", __name__)

JSON, NDJSON = "application/json", "application/x-ndjson"
ON_ERROR = ("collect", "stop")
#: Most items that a body, or an answer, in JSON holds: they are in memory all at once.
MAX_ITEMS = 250_000
_NO_SUCH_ON_ERROR: dict[str, Any] = {"loc": ["on_error"], "msg": f"it must be one of {', '.join(ON_ERROR)}"}


@bp.post("/v1/tasks/<name>/map")
@admitted
def map_task(name: str) -> Response:
    """Run one task over many items."""
    contract = calls.task(name)
    deadline = requests.deadline(request)
    limit = int(requests.settings().max_body)
    media_type = request.mimetype or JSON
    if media_type == NDJSON:
        on_error = _query_on_error(name)
        feed = LineFeed(request, limit, deadline)
        lines = (None if line is None else Item(contract, line) for line in feed)
        many = _many(lines, on_error, deadline)
        try:
            return _answer({"task": name}, many, Feed(many.calls(), feed.fd), deadline, feed.close)
        except BaseException:
            feed.close()
            raise
    if media_type != JSON:
        raise WrongMediaType(media_type, [JSON, NDJSON])
    body = _members(name, read_body(request, limit, deadline), "items")
    items = Listed(body["items"], lambda item: Item(contract, to_json(item)))
    many = _many(items, body["on_error"], deadline)
    return _answer({"task": name}, many, _all(many), deadline)


@bp.post("/v1/batch")
@admitted
def batch() -> Response:
    """Run different tasks at once."""
    deadline = requests.deadline(request)
    if (media_type := request.mimetype or JSON) != JSON:
        raise WrongMediaType(media_type, [JSON])
    body = _members("batch", read_body(request, int(requests.settings().max_body), deadline), "calls")
    contracts = calls.contracts()
    many = _many(Listed(body["calls"], lambda given: _call(given, contracts)), body["on_error"], deadline)
    return _answer({}, many, _all(many), deadline)


def _call(given: Any, contracts: Mapping[str, Contract]) -> Item | EverycoreError:
    if (
        not isinstance(given, dict)
        or not isinstance(given.get("task"), str)
        or given.keys() - {"task", "args"}
    ):
        said = [{"loc": [], "msg": 'a call is {"task": name, "args": {…}}'}]
        return InvalidArguments("batch", said)
    contract = contracts.get(given["task"])
    if contract is None or contract.task.pipeline is not None:
        return calls.no_task(given["task"], contracts)
    return Item(contract, to_json(given.get("args", {})))


def _members(of: str, raw: bytes, many: str) -> dict[str, Any]:
    """Read ``{many: [...], "on_error": ...}``; raises ``MalformedJson`` or ``InvalidArguments``."""
    try:
        body = strict_json.loads(raw)
    except ValueError as error:
        raise MalformedJson(f"the body is not JSON: {error}") from None
    said: list[dict[str, Any]] = []
    if not isinstance(body, dict):
        raise InvalidArguments(of, [{"loc": [], "msg": f'the body must be an object with "{many}"'}])
    said += [{"loc": [name], "msg": "there is no such member"} for name in body.keys() - {many, "on_error"}]
    if not isinstance(body.get(many), list):
        said.append({"loc": [many], "msg": "it must be a list"})
    elif len(body[many]) > MAX_ITEMS:
        said.append({"loc": [many], "msg": f"it has more than {MAX_ITEMS} members; send a map as {NDJSON}"})
    body = {"on_error": _query_on_error(of)} | body
    if body["on_error"] not in ON_ERROR:
        said.append(_NO_SUCH_ON_ERROR)
    if said:
        raise InvalidArguments(of, said)
    return body


def _query_on_error(of: str) -> str:
    """Return what the query says of errors, the only thing that it may say."""
    unknown = sorted(request.args.keys() - {"on_error"})
    said = [{"loc": [name], "msg": "the query has no such parameter"} for name in unknown]
    value = request.args.get("on_error", ON_ERROR[0])
    if value not in ON_ERROR:
        said.append(_NO_SUCH_ON_ERROR)
    if said:
        raise InvalidArguments(of, said)
    return value


def _many(items: Iterable[Item | EverycoreError | None], on_error: str, deadline: float) -> Many:
    return Many(
        items,
        trace=requests.trace(),
        deadline=deadline,
        stop_at_error=on_error == "stop",
        with_timing=_is_streamed(),
    )


def _all(many: Many) -> Iterator[Call | Outcome]:
    """Return the calls of items that are all there."""
    return cast("Iterator[Call | Outcome]", many.calls())


def _is_streamed() -> bool:
    return request.accept_mimetypes.best_match([JSON, NDJSON]) == NDJSON


def _answer(
    head: dict[str, Any],
    many: Many,
    of: Iterable[Call | Outcome] | Feed,
    deadline: float,
    close: Callable[[], None] = lambda: None,
) -> Response:
    outcomes = calls.engine().run(of, deadline=deadline, hangup_fd=calls.hangup_fd())
    entries = many.entries(outcomes)
    if _is_streamed():
        return streaming.response(_lines(many, entries), NDJSON, outcomes, close)
    with closing(outcomes):
        kept = list(itertools.islice(entries, MAX_ITEMS + 1))
    if len(kept) > MAX_ITEMS:
        said = [{"loc": [], "msg": f"an answer in JSON has at most {MAX_ITEMS} entries; accept {NDJSON}"}]
        raise InvalidArguments("map", said)
    ordered = b",".join(entry for _, entry in sorted(kept))
    close()
    tail = dumps({**head, "summary": many.summary.document()})
    return Response(b'{"results":[' + ordered + b"]," + tail[1:], content_type=JSON)


def _lines(many: Many, entries: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    try:
        for _, entry in entries:
            yield entry + b"\n"
        yield dumps({"summary": many.summary.document()}) + b"\n"
    except EverycoreError as error:
        if not many.summary.total:
            raise  # there is a status to say it with
        problems.note(error)
        yield dumps({"error": problems.describe(error).document()}) + b"\n"
