"""From a request to the engine and back: the calls one request makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from flask import current_app, request

from service.api.requests import trace
from service.engine.base import Call, Engine, Outcome
from service.errors import TaskNotFound
from service.tasks.contract import Contract
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
    """Return every task's contract, by name."""
    found: Mapping[str, Contract] = current_app.extensions["everycore.contracts"]
    return found


def contract(name: str) -> Contract:
    """Return the contract of the task that the request is about, or raise ``TaskNotFound``."""
    try:
        found = contracts()[name]
    except KeyError:
        raise TaskNotFound(name) from None
    trace().task = name
    return found


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
