"""Tasks over HTTP: what there is, and running one.

POST body ─> arguments ─┬─> engine ─┬─ bytes: as they are, with their media type
                        │           ├─ an array, if asked for so: a .npy file
                        │           ├─ items of a generator: sent as they come (streams)
                        │           └─ anything else: {"task", "result", "timing"}
                        └─> a job, when the client would rather not wait (job_calls)
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from service.api import calls, job_calls, requests, results, streams
from service.api.admission import admitted
from service.api.arguments import accepted, fitting, payload_of, read_arguments
from service.api.job_headers import idempotency_key, preferences
from service.api.many import timing_of
from service.engine.base import Outcome
from service.errors import ResultNotJson
from service.tasks.contract import Contract

bp = Blueprint("tasks", __name__, url_prefix="/v1/tasks")


@bp.get("")
def index() -> Response:
    """List every task."""
    return results.json_response({"tasks": [_describe(contract) for contract in calls.tasks().values()]})


@bp.get("/<name>")
def show(name: str) -> Response:
    """Tell what one task takes and returns."""
    return results.json_response(_describe(calls.task(name)))


@bp.post("/<name>")
@admitted
def run(name: str) -> Response:
    """Run one task and answer with its result."""
    contract = calls.task(name)
    deadline = requests.deadline(request)
    wishes, key = preferences(request), idempotency_key(request)
    given = read_arguments(contract, request, int(requests.settings().max_body), deadline)
    arguments = fitting(contract, given)
    if wishes.wants_job:
        return job_calls.run(contract, payload_of(given), wishes, key)
    if contract.task.streams and streams.media_type() != streams.JSON:
        return streams.run(contract.task, arguments, deadline)
    (outcome,) = calls.run(contract.task, [arguments], deadline)
    if isinstance(outcome.value, bytes | bytearray | memoryview):
        return Response(bytes(outcome.value), content_type=contract.task.media_type_of(arguments))
    try:
        if contract.returns_array and results.prefers_npy(request):
            return results.npy_response(outcome.value)
        return _answer(name, outcome)
    except (ValueError, TypeError, RecursionError) as error:
        raise ResultNotJson.because(error) from error


def _describe(contract: Contract) -> dict[str, Any]:
    task = contract.task
    return {
        "name": task.name,
        "href": url_for("tasks.show", name=task.name),
        "description": task.description,
        "cpu": task.cpu,
        "timeout": task.timeout,
        "streams": task.streams,
        "accepts": accepted(contract),
        "arguments": contract.arguments,
        "result": contract.result,
    }


def _answer(name: str, outcome: Outcome) -> Response:
    timing = timing_of(outcome.timing) | {"total": requests.trace().total}
    return results.json_response({"task": name, "result": outcome.value, "timing": timing})
