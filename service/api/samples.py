"""The samples that Everycore started from: their paths and their JSON, on the kept pool."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Sequence
from contextlib import closing

from flask import Blueprint, Response, request

from service.api import calls, job_documents, jobs, pipelines, problems, requests, results
from service.api.admission import admitted
from service.api.bodies import read_body
from service.api.job_store import store
from service.jobs.arguments import JSON
from service.jobs.model import Payload
from service.pipelines.run import Item
from service.tasks import registry, strict_json
from service.tasks.contract import InvalidArguments

bp = Blueprint("samples", __name__)

DEFAULT_N = (10_000_000, 8_000_000, 12_000_000, 9_000_000)
DEFAULT_ITEMS = tuple(range(1, 11))
DEFAULT_PRODUCED = 5

MAX_NUMBERS = 64
MAX_ITEMS = 1000

MAX_N = 100_000_000
MAX_ITEM = 10**18 - 1

MISSING = "Missing message or duration in request"

_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


class InvalidQuery(problems.RequestError):
    """The query, or the body, holds something that the sample does not take."""


@bp.get("/concurrent_cpu_tasks/", strict_slashes=False)
@admitted
def concurrent_cpu_tasks() -> Response:
    """Sum squares up to each ``n`` in parallel; results in order of completion."""
    numbers = _integers("n", DEFAULT_N, most=MAX_NUMBERS, between=(0, MAX_N))
    outcomes = calls.run(
        registry.get("sum_of_squares"),
        [{"n": n} for n in numbers],
        requests.deadline(request),
    )
    return _answer([outcome.value for outcome in outcomes])


@bp.get("/parallel_data_processing/", strict_slashes=False)
@admitted
def parallel_data_processing() -> Response:
    """Process each ``item`` in parallel; results in the order of the items."""
    items = _integers("item", DEFAULT_ITEMS, most=MAX_ITEMS, between=(-MAX_ITEM, MAX_ITEM))
    outcomes = calls.run(
        registry.get("process_data"),
        [{"item": item} for item in items],
        requests.deadline(request),
    )
    return _answer([outcome.value for outcome in sorted(outcomes, key=lambda outcome: outcome.index)])


@bp.post("/start_background_process/", strict_slashes=False)
@admitted
def start_background_process() -> Response:
    """Start a process in the background that prints the ``message``, waits, and prints it again."""
    contract = calls.contract("background_task")
    args = results.dumps(_message_and_duration())
    try:
        contract.validate_json(args)
    except InvalidArguments as error:
        said = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors)
        raise InvalidQuery(said) from None
    job, _ = store().submit(jobs.intake().call(contract, Payload(JSON, args)))
    href = job_documents.href_of_job(job.id)
    answer = {"message": "Background task started successfully", "job": {"id": job.id, "href": href}}
    response = results.json_response(answer, 202)
    response.headers["Location"] = href
    return response


@bp.get("/process_queue_communication/", strict_slashes=False)
@admitted
def process_queue_communication() -> Response:
    """Have one process put ``items`` on a queue and another take them; what it makes of them, in order."""
    (items,) = _integers("items", [DEFAULT_PRODUCED], most=1, between=(0, MAX_ITEMS))
    pipeline = pipelines.pipeline_of(calls.pipeline("process_queue_communication"))
    with closing(calls.run_pipeline(pipeline, {"items": items}, requests.deadline(request))) as run:
        try:
            consumed = [result.value for result in run if isinstance(result, Item)]
        finally:
            if run.timing is not None:
                requests.trace().ran(run.timing)
    return results.json_response({"results": consumed})


@bp.errorhandler(Exception)
def say_error(error: Exception) -> Response:
    """Answer an error in the samples' own form, with the status it has everywhere."""
    if isinstance(error, InvalidQuery):
        return results.json_response({"error": str(error)}, 400)
    problems.note(error)
    problem = problems.describe(error)
    request.environ["everycore.problem"] = problem.kind.slug
    response = results.json_response({"error": problem.detail}, problem.kind.status)
    response.headers.update(problem.headers)
    return response


def _message_and_duration() -> dict[str, object]:
    raw = read_body(request, int(requests.settings().max_body), requests.deadline(request))
    try:
        body = strict_json.loads(raw)
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    message, duration = body.get("message"), body.get("duration")
    is_number = isinstance(duration, int | float) and not isinstance(duration, bool)
    if not isinstance(message, str) or not is_number or duration in (math.inf, -math.inf):
        raise InvalidQuery(MISSING)
    return {"message": message, "duration": duration}


def _answer(values: list[object]) -> Response:
    return results.json_response({"results": values, "total_time": requests.trace().total})


def _integers(name: str, default: Sequence[int], *, most: int, between: tuple[int, int]) -> Sequence[int]:
    """Return the query's integers of that name, or the sample's own."""
    if unknown := sorted(set(request.args) - {name}):
        raise InvalidQuery(f"unknown parameter {unknown[0]!r}; this sample takes only {name!r}")
    texts = request.args.getlist(name)
    if len(texts) > most:
        raise InvalidQuery(f"{name!r} is given {len(texts)} times; at most {most} are taken")
    return [_integer(name, text, *between) for text in texts] or default


def _integer(name: str, text: str, least: int, most: int) -> int:
    if _INTEGER.fullmatch(text) and least <= (number := int(text)) <= most:
        return number
    raise InvalidQuery(f"{name!r} must be an integer from {least} to {most}, not {reprlib.repr(text)}")
