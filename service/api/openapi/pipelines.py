"""The endpoints of pipelines, and their schemas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.api import streams
from service.api.openapi.api import RUNNING, Api, Endpoint
from service.api.openapi.bodies import BINARY, bodies, query
from service.api.openapi.parts import Operation, answer, json_content, object_of, parameter, ref
from service.api.openapi.schemas import Schema, hoist
from service.api.pipeline_forms import MAX_SKIPPED
from service.api.pipelines import ON_ERROR, pipeline_of
from service.tasks.contract import Contract
from service.tasks.pipelines import Kind, Pipeline

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_NAME: Schema = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
_STREAMED: Schema = {
    "type": "string",
    "description": "An `item` each, as soon as it is there, or `skipped` for one that was left out; then"
    " `summary` or `error`.",
}

_ON_ERROR: Operation = {
    "name": "on_error",
    "in": "query",
    "schema": {"enum": list(ON_ERROR), "default": ON_ERROR[0]},
    "description": "Whether an item that a stage has no result for ends the run, or is left out.",
}

PIPELINE_SCHEMAS: dict[str, Schema] = {
    "Pipeline": object_of(
        name=_TEXT,
        href={"type": "string", "format": "uri-reference"},
        description=_TEXT,
        timeout={"type": ["number", "null"], "description": "Seconds that a run may take."},
        buffer=_COUNT | {"description": "Items that wait between two stages at most."},
        accepts={"type": "array", "items": _TEXT, "description": "Media types of the body."},
        arguments={"type": "object", "description": "JSON Schema."},
        result={"type": "object", "description": "JSON Schema of one result."},
        media_type={"type": ["string", "null"], "description": "What the results are, if they are bytes."},
        stages={"type": "array", "items": ref("Stage"), "description": "The producer first."},
    ),
    "Stage": object_of(
        name=_TEXT,
        kind={
            "enum": [kind.name.lower() for kind in Kind],
            "description": "Makes one of an item (`each`), or any number (`spread`), or takes all (`whole`).",
        },
        processes=_COUNT,
        ordered={"type": "boolean", "description": "Whether items leave in the order in which they came."},
        cpu={"enum": [0, 1], "description": "CPU slots that each of its processes takes while it works."},
        timeout={"type": ["number", "null"], "description": "Seconds that one item may take."},
    ),
    "PipelineSummary": object_of(
        items=_COUNT | {"description": "Results."},
        skipped=_COUNT | {"description": "Items that were left out."},
        wall=_SECONDS | {"description": "Seconds that all of it took."},
        cpu=_SECONDS | {"description": "CPU seconds of all processes."},
        stages={"type": "array", "items": ref("StageSummary")},
    ),
    "StageSummary": object_of(
        name=_TEXT,
        processes=_COUNT,
        items_in=_COUNT,
        items_out=_COUNT,
        skipped=_COUNT,
        busy=_SECONDS | {"description": "Seconds at work, of all its processes together."},
        cpu=_SECONDS | {"description": "CPU seconds."},
        waiting=object_of(input=_SECONDS, output=_SECONDS, slot=_SECONDS, turn=_SECONDS)
        | {"description": "Seconds waiting: for an item, to hand one on, for a CPU slot, for its turn."},
    ),
}


def look(api: Api) -> Endpoint:
    """Describe ``GET /v1/pipelines`` and ``GET /v1/pipelines/{name}``."""
    api.schemas.update(PIPELINE_SCHEMAS)
    listed = json_content(object_of(pipelines={"type": "array", "items": ref("Pipeline")}))
    yield (
        "/v1/pipelines",
        "get",
        api.operation(
            "list_pipelines",
            "List every pipeline",
            tag="pipelines",
            responses={200: answer("Every pipeline, by name.", listed)},
        ),
    )
    names = sorted(contract.task.name for contract in _pipelines(api))
    yield (
        "/v1/pipelines/{name}",
        "get",
        api.operation(
            "show_pipeline",
            "Tell what one pipeline takes and returns, and what it is made of",
            tag="pipelines",
            parameters=[_NAME | ({"example": names[0]} if names else {})],
            responses={200: answer("The pipeline.", json_content(ref("Pipeline")))},
            problems=(404, 500),
        ),
    )


def run(api: Api) -> Endpoint:
    """Describe ``POST /v1/pipelines/{name}``, one path for each pipeline."""
    for contract in _pipelines(api):
        pipeline = pipeline_of(contract)
        first_line = pipeline.description.partition("\n")[0]
        yield (
            f"/v1/pipelines/{pipeline.name}",
            "post",
            api.operation(
                f"run_{pipeline.name}",
                first_line or f"Run {pipeline.name}",
                tag="pipelines",
                description=pipeline.description,
                parameters=[
                    *query(contract, api.schemas),
                    _ON_ERROR,
                    *map(parameter, ("Request-Timeout", "Prefer", "Idempotency-Key")),
                ],
                requestBody={"required": True, "content": bodies(contract, api.schemas)},
                responses={
                    200: answer("The results.", _results(contract, pipeline, api.schemas)),
                    202: answer("A job.", json_content(ref("Job")), "Location", "Preference-Applied"),
                },
                problems=(*RUNNING, 408, 413, 415, 422),
            ),
        )


def _pipelines(api: Api) -> list[Contract]:
    return [contract for contract in api.contracts.values() if contract.task.pipeline is not None]


def _results(contract: Contract, pipeline: Pipeline, schemas: dict[str, Schema]) -> dict[str, Any]:
    if pipeline.media_type is not None:
        return {pipeline.media_type.partition(";")[0].strip(): {"schema": BINARY}}
    results = {"type": "array", "items": hoist(contract.result, f"{pipeline.name}.result", schemas)}
    problems = {"type": "array", "items": {"type": "object"}, "maxItems": MAX_SKIPPED}
    streamed = object_of(
        pipeline={"const": pipeline.name},
        results=results,
        skipped=problems | {"description": "Why items were left out, of the first of them."},
        summary=ref("PipelineSummary"),
        error={"type": "object", "description": "The problem, if the run broke off."},
    )
    streamed["required"] = ["pipeline", "results", "skipped"]
    streamed["oneOf"] = [{"required": ["summary"]}, {"required": ["error"]}]
    of_job = object_of(
        task={"const": pipeline.name},
        timing=ref("Timing"),
        skipped=_COUNT | {"description": "Items that were left out."},
        result=results,
    )
    lines = {media_type: {"schema": _STREAMED} for media_type in (streams.NDJSON, streams.EVENTS)}
    return lines | json_content({"anyOf": [streamed, of_job]})


ENDPOINTS: tuple[Callable[[Api], Endpoint], ...] = (run, look)
