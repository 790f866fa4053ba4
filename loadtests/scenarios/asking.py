"""The user that all users are: asks, reads whole answers, checks them, and has Locust take down each task.

task ──> ask ──> ask … ──> Failure?      one row for each task: from its first request to its last answer
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, TypeVar

from locust import FastHttpUser, tag

from loadtests.scenarios.answers import Answer, Failure, Unexpected, Wrong, check_status
from loadtests.scenarios.pace import Pace

#: The environment variable with the API key, where the service asks for one.
API_KEY = "EVERYCORE_API_KEY"
#: Seconds after which a user gives up.
PATIENCE = 60.0
#: Details of failures that go to the log, of each process; Locust's table has the kinds of all of them.
DETAILS = 20

Checked = TypeVar("Checked")
Task = Callable[[Any], None]

_log = logging.getLogger("everycore.loadtest")
_details_left = [DETAILS]


class Asking(FastHttpUser):  # type: ignore[misc]
    """Asks again as soon as it has its answer, or ``--pace`` times a second, whenever answers come."""

    abstract = True
    host = "http://127.0.0.1:8000"
    network_timeout = PATIENCE
    connection_timeout = PATIENCE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Find out how often to ask."""
        super().__init__(*args, **kwargs)
        rate = self.environment.parsed_options.pace
        self._pace = Pace(rate, time.monotonic()) if rate else None
        #: When the first request of a task was sent and the last answer read, and how much was read.
        self._sent: float | None = None
        self._read = 0.0
        self._bytes = 0

    def wait_time(self) -> float:
        """Return the seconds until the next task."""
        return self._pace.wait(time.monotonic()) if self._pace else 0.0

    def ask(
        self,
        path: str,
        check: Callable[[Answer], Checked],
        *,
        method: str = "POST",
        body: Any = None,
        headers: dict[str, str] | None = None,
        status: int = 200,
        lines: bool = False,
    ) -> Checked:
        """Ask once, and return what ``check`` makes of the answer; raise ``Failure`` where that is wrong.

        A ``body`` that is not bytes is sent as JSON. With ``lines`` the answer is read line by line.
        """
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        said = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            **with_key(),
            **(headers or {}),
        }
        if self._sent is None:
            self._sent = time.perf_counter()
        # Caught and not entered, Locust takes nothing down for it: `_as_one` does that for the whole task.
        response = self.client.request(
            method, path, data=sent, headers=said, catch_response=True, stream=True
        )
        try:
            answer = self._take(response, lines=lines)
            check_status(answer, status)
            return _checked(answer, check)
        except Failure as failure:
            _note(f"{method} {path}", failure, response)
            raise

    def _take(self, response: Any, *, lines: bool) -> Answer:
        """Read the whole answer; the clock stops there, for checking it is not the service's time."""
        try:
            answer = _whole(response, lines=lines)
            self._bytes += sum(map(len, answer.lines))
            return answer
        finally:
            self._read = time.perf_counter()

    def take_down(self, name: str, kind: str, failure: Failure | None) -> None:
        """Have Locust's statistics take down what was asked since the last time."""
        took = self._read - self._sent if self._sent is not None else 0.0
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=1000 * took,
            response_length=self._bytes,
            exception=failure,
            context={},
            start_time=time.time() - took,
        )
        self._sent, self._bytes = None, 0


def _whole(response: Any, *, lines: bool) -> Answer:
    if not response.status_code:
        raise Unexpected(f"no answer: {type(response.error).__name__}")
    stream = response.stream
    read = []
    try:
        while lines and (line := stream.readline(b"\n")):
            read.append(line.rstrip(b"\r\n"))
        read.append(stream.read())
    except (OSError, HTTPException) as error:
        raise Unexpected(f"the answer broke off: {type(error).__name__}") from error
    return Answer(response.status_code, response.headers, read)


def _checked(answer: Answer, check: Callable[[Answer], Checked]) -> Checked:
    try:
        return check(answer)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Wrong(f"an answer in another form: {error!r}") from error


def with_key() -> dict[str, str]:
    """Return the header with the API key, if there is one."""
    key = os.environ.get(API_KEY)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _note(request: str, failure: Failure, response: Any) -> None:
    if _details_left[0] > 0:
        _details_left[0] -= 1
        request_id = (response.headers or {}).get("X-Request-ID")
        _log.warning("%s: %r (request id %s)", request, failure, request_id)


def scenario(name: str, **kinds: Task) -> list[Task]:
    """Return the tasks of a scenario, tagged by its name; ``kinds`` tells them apart in the statistics."""
    return [tag(name)(_as_one(name, kind, task)) for kind, task in kinds.items()]


def _as_one(name: str, kind: str, asks: Task) -> Task:
    def task(user: Asking) -> None:
        failed = None
        try:
            asks(user)
        except Failure as failure:
            failed = failure
        user.take_down(name, kind, failed)

    task.__name__, task.__doc__ = asks.__name__, asks.__doc__
    return task
