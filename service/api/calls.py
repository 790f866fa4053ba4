"""From a request to the engine and back: the calls one request makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any

from flask import current_app, request

from service.api.problems import PipelineNotFound
from service.api.requests import trace
from service.engine.base import Call, Engine, Outcome
from service.errors import EverycoreError, TaskNotFound
from service.pipelines.run import PipelineRun
from service.tasks.contract import Contract
from service.tasks.pipelines import Pipeline
from service.tasks.registry import Task


def engine() -> Engine:
    """Return the application's engine."""
    found: Engine = current_app.extensions["everycore.engine"]
    return found


def client_socket() -> Any:
    """Return the socket that the request came by; ``None`` where the server does not tell."""
    return request.environ.get("gunicorn.socket")


def hangup_fd() -> int | None:
    """Return the descriptor that tells when the client has gone."""
    sock = client_socket()
    return None if sock is None else int(sock.fileno())


def contracts() -> Mapping[str, Contract]:
    """Return the contract of every task and of every pipeline, by name: all that a job can be of."""
    found: Mapping[str, Contract] = current_app.extensions["everycore.contracts"]
    return found


def tasks() -> dict[str, Contract]:
    """Return the contract of every task that is no pipeline, by name."""
    return {name: found for name, found in contracts().items() if found.task.pipeline is None}


def pipelines() -> dict[str, Contract]:
    """Return the contract of every pipeline, by name."""
    return {name: found for name, found in contracts().items() if found.task.pipeline is not None}


def contract(name: str) -> Contract:
    """Return the contract of the task or pipeline that the request is about, or raise ``TaskNotFound``."""
    return _found(name, contracts(), TaskNotFound)


def task(name: str) -> Contract:
    """Return the contract of the task that the request is about, or raise ``TaskNotFound``."""
    return _found(name, tasks(), lambda name: no_task(name, contracts()))


def pipeline(name: str) -> Contract:
    """Return the contract of the pipeline that the request is about, or raise ``PipelineNotFound``."""
    return _found(name, pipelines(), _no_pipeline)


def no_task(name: str, known: Mapping[str, Contract]) -> TaskNotFound:
    """Say that there is no task of that name, and where its pipeline is if one is ``known``."""
    return TaskNotFound(name, f"it is a pipeline: /v1/pipelines/{name}" if name in known else "")


def _no_pipeline(name: str) -> PipelineNotFound:
    return PipelineNotFound(name, f"it is a task: /v1/tasks/{name}" if name in tasks() else "")


def _found(name: str, among: Mapping[str, Contract], error: Callable[[str], EverycoreError]) -> Contract:
    if name not in among:
        raise error(name)
    trace().task = name
    return among[name]


def run(task: Task, arguments: Iterable[Mapping[str, Any]], deadline: float) -> list[Outcome]:
    """Run a task once for each set of arguments; return the outcomes in order of completion.

    The first error is raised, and what has not ended by then is stopped.
    """
    known = trace()
    known.task = task.name
    calls = [Call(task.name, args, i, known.id, task.timeout) for i, args in enumerate(arguments)]
    # An abandoned run has to stop now, not whenever the last traceback that knows it is forgotten.
    with closing(engine().run(calls, deadline=deadline, hangup_fd=hangup_fd())) as outcomes:
        done: list[Outcome] = []
        try:
            for outcome in outcomes:
                done.append(outcome)
                outcome.result()
        finally:
            for outcome in done:
                known.ran(outcome.timing)
        return done


def run_pipeline(
    pipeline: Pipeline, arguments: Mapping[str, Any], deadline: float, *, skip: bool = False
) -> PipelineRun:
    """Return a run of a pipeline, whose results come as one asks for them; to be closed.

    With ``skip`` an item that a stage has no result for is left out.
    """
    known = trace()
    known.task = pipeline.name
    if pipeline.timeout is not None:
        deadline = min(deadline, time.monotonic() + pipeline.timeout)
    return PipelineRun(
        engine(),
        pipeline,
        arguments,
        deadline=deadline,
        skip=skip,
        request_id=known.id,
        hangup_fd=hangup_fd(),
    )
