"""Pipelines over HTTP: what there is, and running one.

POST body ─> arguments ─┬─> PipelineRun ─> results, sent as they come (pipeline_streams)
                        └─> a job, when the client would rather not wait (job_calls)
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from service.api import calls, job_calls, pipeline_streams, requests, results
from service.api.admission import admitted
from service.api.arguments import Given, accepted, fitting, payload_of, read_arguments
from service.api.job_headers import idempotency_key, preferences
from service.api.pipeline_forms import form_for
from service.api.problems import InvalidRequest
from service.tasks.contract import Contract, InvalidArguments
from service.tasks.pipelines import Pipeline, Step

bp = Blueprint("pipelines", __name__, url_prefix="/v1/pipelines")

#: What becomes of a run when a stage has no result for an item; the first unless the query says.
ON_ERROR = ("stop", "skip")


@bp.get("")
def index() -> Response:
    """List every pipeline."""
    return results.json_response({"pipelines": [_describe(found) for found in calls.pipelines().values()]})


@bp.get("/<name>")
def show(name: str) -> Response:
    """Tell what one pipeline takes and returns, and what it is made of."""
    return results.json_response(_describe(calls.pipeline(name)))


@bp.post("/<name>")
@admitted
def run(name: str) -> Response:
    """Run one pipeline and send its results."""
    contract = calls.pipeline(name)
    deadline = requests.deadline(request)
    wishes, key = preferences(request), idempotency_key(request)
    skip = _skips()
    limit = int(requests.settings().max_body)
    given = read_arguments(contract, request, limit, deadline, reserved=("on_error",))
    arguments = _fitting(contract, given)
    if wishes.wants_job:
        return job_calls.run(contract, payload_of(given), wishes, key, skip=skip)
    pipeline = pipeline_of(contract)
    return pipeline_streams.respond(
        calls.run_pipeline(pipeline, arguments, deadline, skip=skip),
        form_for(pipeline),
        pipeline.steps[-1].name,
    )


def pipeline_of(contract: Contract) -> Pipeline:
    """Return the pipeline that a contract is of."""
    assert contract.task.pipeline is not None
    return contract.task.pipeline


def _fitting(contract: Contract, given: Given) -> dict[str, Any]:
    """Return the producer's arguments, and say of ``on_error``, which no producer takes, where it belongs."""
    try:
        return fitting(contract, given)
    except InvalidArguments as error:
        for said in error.errors:
            if said["loc"] == ["on_error"]:
                said["msg"] = "it belongs into the query: ?on_error=skip"
        raise


def _skips() -> bool:
    """Read what the query says of errors; raises ``InvalidRequest``."""
    said = request.args.getlist("on_error") or [ON_ERROR[0]]
    if len(said) > 1 or said[0] not in ON_ERROR:
        complaint = f"it must be one of {', '.join(ON_ERROR)}"
        raise InvalidRequest("the query", [{"loc": ["on_error"], "msg": complaint}])
    return said[0] == "skip"


def _describe(contract: Contract) -> dict[str, Any]:
    pipeline = pipeline_of(contract)
    return {
        "name": pipeline.name,
        "href": url_for("pipelines.show", name=pipeline.name),
        "description": pipeline.description,
        "timeout": pipeline.timeout,
        "buffer": pipeline.buffer,
        "accepts": accepted(contract),
        "arguments": contract.arguments,
        "result": _result(contract, pipeline),
        "media_type": pipeline.media_type,
        "stages": [_describe_stage(step) for step in pipeline.steps],
    }


def _result(contract: Contract, pipeline: Pipeline) -> dict[str, Any]:
    if pipeline.media_type is None:
        return contract.result
    return {**contract.result, "contentMediaType": pipeline.media_type}


def _describe_stage(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "kind": step.kind.name.lower(),
        "processes": step.processes,
        "ordered": step.ordered,
        "cpu": step.cpu,
        "timeout": step.timeout,
    }
