"""A runner that does what a test wants, when it wants it, and waiting for what others do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from service.engine.fake import FakeEngine
from service.jobs.attempt import Attempt
from service.jobs.claims import Claim, Claims, Line, Settlement, Step, Want
from service.jobs.database import Database
from service.jobs.model import Payload, State
from service.tasks import contract, registry


class HandRunner:
    """Claims jobs and settles them, a step at a time."""

    def __init__(self, database: Database) -> None:
        """Take jobs of every task."""
        self._contracts = {task.name: contract.build(task) for task in registry.all_tasks()}
        self._claims = Claims(database, list(self._contracts))
        self._claims.register()

    def claim(self) -> list[Claim]:
        """Claim whatever can be."""
        wants = {cpu: Want(10_000, len) for cpu in (0, 1)}
        return self._claims.step(Step(wants=wants)).claimed

    def say(self, claim: Claim, *lines: str, first: int = 1, progress: dict[str, Any] | None = None) -> None:
        """Write lines to a job's log, and how far it has come."""
        job = claim.job
        written = [
            Line(job.id, job.attempts, first + i, time.time(), "stdout", line) for i, line in enumerate(lines)
        ]
        said = {} if progress is None else {job.id: (job.attempts, progress)}
        self._claims.step(Step(lines=written, progress=said))

    def settle(self, claim: Claim, state: State, result: Payload | None = None, **facts: Any) -> None:
        """Say how an attempt ended."""
        settlement = Settlement(claim.job, state, result=result, **facts)
        assert not self._claims.step(Step(settlements=[settlement])).refused

    def run(self) -> None:
        """Run whatever can be, as the runner does, in this process."""
        lines: list[Line] = []
        for claim in self.claim():
            attempt = Attempt(claim, self._contracts[claim.job.task], lines.append, timeout=60)
            (outcome,) = FakeEngine().run([attempt.call(0)], deadline=math.inf, on_event=attempt.hear)
            self._claims.step(Step(lines=lines, settlements=[attempt.settle(outcome)]))
            lines.clear()


def wait_until(true: Callable[[], object], within: float = 10) -> None:
    """Look again and again until something is true."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.002)


@contextmanager
def meanwhile(call: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Make a call in another thread."""
    with ThreadPoolExecutor(1) as executor:
        yield executor.submit(call)


def events_of(stream: bytes) -> Sequence[tuple[str, str, str]]:
    """Return kind, id and data of each event of a stream."""
    found = []
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], fields["id"], fields["data"]))
    return found
