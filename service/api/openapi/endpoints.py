"""The endpoints, one function for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.api import maps, samples
from service.api.openapi import jobs, pipelines
from service.api.openapi.api import RUNNING, Api, Endpoint
from service.api.openapi.bodies import bodies, query, results
from service.api.openapi.parts import Operation, answer, json_content, object_of, parameter, ref
from service.api.openapi.schemas import Schema


def run_task(api: Api) -> Endpoint:
    """Describe ``POST /v1/tasks/{name}``, one path for each task."""
    for contract in api.contracts.values():
        task = contract.task
        if task.pipeline is not None:
            continue
        first_line = task.description.partition("\n")[0]
        yield (
            f"/v1/tasks/{task.name}",
            "post",
            api.operation(
                f"run_{task.name}",
                first_line or f"Run {task.name}",
                tag="tasks",
                description=task.description,
                parameters=[
                    *query(contract, api.schemas),
                    *map(parameter, ("Request-Timeout", "Prefer", "Idempotency-Key")),
                ],
                requestBody={"required": True, "content": bodies(contract, api.schemas)},
                responses={
                    200: answer("The result.", results(contract, api.schemas)),
                    202: answer("A job.", json_content(ref("Job")), "Location", "Preference-Applied"),
                },
                problems=(*RUNNING, 408, 413, 415, 422),
            ),
        )


def list_tasks(api: Api) -> Endpoint:
    """Describe ``GET /v1/tasks``."""
    tasks = {"type": "array", "items": ref("Task")}
    listed = answer("Every task, by name.", json_content(object_of(tasks=tasks)))
    yield (
        "/v1/tasks",
        "get",
        api.operation("list_tasks", "List every task", tag="tasks", responses={200: listed}),
    )


def show_task(api: Api) -> Endpoint:
    """Describe ``GET /v1/tasks/{name}``."""
    yield (
        "/v1/tasks/{name}",
        "get",
        api.operation(
            "show_task",
            "Tell what one task takes and returns",
            tag="tasks",
            parameters=[_name_of_a_task(api)],
            responses={200: answer("The task.", json_content(ref("Task")))},
            problems=(404, 500),
        ),
    )


def run_many(api: Api) -> Endpoint:
    """Describe ``POST /v1/tasks/{name}/map`` and ``POST /v1/batch``."""
    task = {"task": {"type": "string"}}
    call = object_of(**task, args={"type": "object"}) | {"required": ["task"]}
    yield (
        "/v1/tasks/{name}/map",
        "post",
        _many(
            api,
            ("map_task", "Run one task over many items"),
            body=_items("items", {"description": "The arguments of one call."}),
            result=object_of(results=_entries(), **task, summary=ref("Summary")),
            parameters=[_name_of_a_task(api)],
            problems=(404, 413, 415, 422),
        ),
    )
    yield (
        "/v1/batch",
        "post",
        _many(
            api,
            ("batch", "Run different tasks at once"),
            body=_items("calls", {"anyOf": [call, {}]}),
            result=object_of(results=_entries(), summary=ref("Summary")),
            parameters=[],
            problems=(413, 415, 422),
        ),
    )


def _name_of_a_task(api: Api) -> Operation:
    names = sorted(name for name, contract in api.contracts.items() if contract.task.pipeline is None)
    name: Operation = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    return name | ({"example": names[0]} if names else {})


def _entries() -> Schema:
    return {"type": "array", "items": ref("Entry")}


def _items(name: str, item: Schema) -> Schema:
    on_error = {"enum": list(maps.ON_ERROR), "default": maps.ON_ERROR[0]}
    return object_of(**{name: {"type": "array", "items": item}}, on_error=on_error) | {"required": [name]}


def _many(
    api: Api,
    name_and_summary: tuple[str, str],
    *,
    body: Schema,
    result: Schema,
    parameters: list[Operation],
    problems: tuple[int, ...],
) -> Operation:
    lines = {maps.NDJSON: {"schema": {"type": "string", "description": "An entry a line, the summary last."}}}
    on_error = {"name": "on_error", "in": "query", "schema": {"enum": list(maps.ON_ERROR)}}
    return api.operation(
        *name_and_summary,
        tag="tasks",
        parameters=[*parameters, on_error, parameter("Request-Timeout")],
        requestBody={"required": True, "content": json_content(body)},
        responses={200: answer("An entry for each.", json_content(result) | lines)},
        problems=(400, 408, 499, 500, 503, *problems),
    )


def run_samples(api: Api) -> Endpoint:
    """Describe the samples, which have an error form of their own."""
    integer = {"type": "integer", "minimum": 0, "maximum": samples.MAX_N}
    yield (
        "/concurrent_cpu_tasks/",
        "get",
        _sample(api, samples.concurrent_cpu_tasks, "n", integer, samples.MAX_NUMBERS, {"type": "integer"}),
    )
    integer = {"type": "integer", "minimum": -samples.MAX_ITEM, "maximum": samples.MAX_ITEM}
    yield (
        "/parallel_data_processing/",
        "get",
        _sample(
            api, samples.parallel_data_processing, "item", integer, samples.MAX_ITEMS, {"type": "string"}
        ),
    )
    yield "/process_queue_communication/", "get", _queue_sample(api)
    yield "/start_background_process/", "post", _background_sample(api)


def operate(api: Api) -> Endpoint:
    """Describe what tells where the service stands."""
    links = object_of(service={"const": "everycore"}, links={"type": "object"})
    yield "/", "get", _operating(api, "index", "Links to everything else", {200: ("The links.", links)})
    alive = object_of(status={"const": "ok"})
    yield (
        "/healthz",
        "get",
        _operating(
            api, "healthz", "Tell that the process answers", {200: ("It does.", alive)}, needs_key=False
        ),
    )
    ready = {200: ("It is.", ref("Readiness")), 503: ("It is not.", ref("Readiness"))}
    yield (
        "/readyz",
        "get",
        _operating(api, "readyz", "Tell whether work is taken", ready, needs_key=False),
    )
    text: dict[str, Any] = {"schema": {"type": "string"}}
    found = answer("The metrics.", {"text/plain": text, "application/openmetrics-text": text})
    summary = "Tell what has been counted"
    yield "/metrics", "get", api.operation("metrics", summary, tag="operation", responses={200: found})
    contract = {200: ("This document.", {"type": "object"})}
    yield "/openapi.json", "get", _operating(api, "openapi", "This document", contract)


def _sample(
    api: Api, view: Callable[..., Any], query: str, schema: Schema, most: int, result: Schema
) -> Operation:
    results = {"type": "array", "items": result}
    numbers = {"name": query, "in": "query", "schema": {"type": "array", "items": schema, "maxItems": most}}
    body = json_content(object_of(results=results, total_time={"type": "number", "minimum": 0}))
    return api.operation(
        view.__name__,
        (view.__doc__ or "").replace("``", ""),
        tag="samples",
        parameters=[numbers, parameter("Request-Timeout")],
        responses={200: answer("The results.", body)},
        problems=RUNNING,
        in_samples_form=True,
    )


def _queue_sample(api: Api) -> Operation:
    body = json_content(object_of(results={"type": "array", "items": {"type": "string"}}))
    many = {"type": "integer", "minimum": 0, "maximum": samples.MAX_ITEMS}
    view = samples.process_queue_communication
    return api.operation(
        view.__name__,
        (view.__doc__ or "").replace("``", ""),
        tag="samples",
        parameters=[{"name": "items", "in": "query", "schema": many}, parameter("Request-Timeout")],
        responses={200: answer("The results.", body)},
        problems=RUNNING,
        in_samples_form=True,
    )


def _background_sample(api: Api) -> Operation:
    job = object_of(id={"type": "string"}, href={"type": "string", "format": "uri-reference"})
    started = object_of(message={"type": "string"}, job=job)
    members = api.contracts["background_task"].arguments["properties"]
    body = {
        "type": "object",
        "properties": members,
        "required": list(members),
        "example": {"message": "hello", "duration": 0.1},
    }
    view = samples.start_background_process
    return api.operation(
        view.__name__,
        (view.__doc__ or "").replace("``", ""),
        tag="samples",
        parameters=[parameter("Request-Timeout")],
        requestBody={"required": True, "content": json_content(body)},
        responses={202: answer("It has been started.", json_content(started), "Location")},
        problems=(400, 408, 413, 415, 503),
        in_samples_form=True,
    )


def _operating(
    api: Api, name: str, summary: str, responses: dict[int, tuple[str, Schema]], *, needs_key: bool = True
) -> Operation:
    answers = {status: answer(text, json_content(schema)) for status, (text, schema) in responses.items()}
    return api.operation(name, summary, tag="operation", responses=answers, needs_key=needs_key)


ENDPOINTS: tuple[Callable[[Api], Endpoint], ...] = (
    run_task,
    run_many,
    list_tasks,
    show_task,
    *pipelines.ENDPOINTS,
    *jobs.ENDPOINTS,
    run_samples,
    operate,
)
