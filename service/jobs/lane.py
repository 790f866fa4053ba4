"""A lane: the thread in which a runner has jobs run, one long one or a few short ones at a time.

runner ──claims──> lane ──calls──> engine
     <──lines, progress, settlements, idle── news
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from service.engine.base import Call, Engine, Event, Outcome, Timing
from service.engine.problems import document_of
from service.errors import Abandoned, ConfigurationError, EngineUnavailable, EverycoreError, TaskCrashed
from service.jobs.account import named
from service.jobs.attempt import Attempt
from service.jobs.claims import Claim, Settlement
from service.jobs.model import State
from service.jobs.news import News
from service.tasks.contract import Contract
from service.telemetry.logs import get_logger
from service.telemetry.tracing import Tracer

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Idle:
    """A lane is through with what it had."""

    lane: Lane


@dataclass(frozen=True, slots=True)
class Ran:
    """A call of a task took this many seconds."""

    task: str
    seconds: float


class Lane:
    """Takes claims from the runner's thread, and tells it what becomes of them."""

    def __init__(
        self,
        cpu: int,
        engine: Engine,
        contracts: Mapping[str, Contract],
        news: News,
        timeout: float,
        tracer: Tracer | None = None,
    ) -> None:
        """Start its thread; ``cpu`` is how many CPU slots its jobs take, the rest as for ``Attempt``."""
        self.cpu = cpu
        self._engine = engine
        self._contracts = contracts
        self._news = news
        self._timeout = timeout
        self._tracer = tracer
        self._inbox: queue.SimpleQueue[Sequence[Claim] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._hangup: socket.socket | None = None
        self._attempts: list[Attempt] = []
        self._condemned: set[str] = set()
        self._why = ""
        self._halted = False
        threading.Thread(target=self._serve, name="job-lane", daemon=True).start()

    # From the runner's thread

    def start(self, claims: Sequence[Claim]) -> None:
        """Run these jobs."""
        self._condemned, self._why = set(), "what it ran with was stopped"
        self._halted = False
        self._attempts = [
            Attempt(claim, self._contracts[claim.job.task], self._news.put, self._timeout, self._tracer)
            for claim in claims
        ]
        self._inbox.put(claims)

    @property
    def attempts(self) -> Sequence[Attempt]:
        """What it has, or had last."""
        return self._attempts

    def cancel(self, jobs: set[str]) -> None:
        """Kill what runs if one of these jobs is among it; the others are given back."""
        if mine := jobs & {attempt.job.id for attempt in self._attempts}:
            self._condemned |= mine
            self._hang_up()

    def stop(self, why: str) -> None:
        """Kill what runs, and give all of it back."""
        self._why = why
        self._hang_up()

    def close(self) -> None:
        """End the thread, once it is idle."""
        self._inbox.put(None)

    def _hang_up(self) -> None:
        with self._lock:
            self._halted = True
            if self._hangup is not None:
                self._hangup.close()

    # In its own thread

    def _serve(self) -> None:
        while self._inbox.get() is not None:
            try:
                self._run(self._attempts)
            except Exception:  # noqa: BLE001 - the lane has to go on, whatever a job does
                _log.exception("a lane failed")
            self._news.put(Idle(self))

    def _run(self, attempts: Sequence[Attempt]) -> None:
        unsettled = dict(enumerate(attempts))
        why = ""
        try:
            with self._connected() as hangup_fd:
                self._collect(attempts, unsettled, hangup_fd)
        except Abandoned:
            why = self._why
        except (EngineUnavailable, ConfigurationError) as error:
            refusal = _unrun(error)
            self._settle_all(unsettled, lambda attempt: attempt.settle(refusal))
        except Exception:  # noqa: BLE001 - as above
            _log.exception("jobs could not be run")
            # It counts, or a job that brings this about would be tried for ever.
            crash = _unrun(TaskCrashed(os.getpid(), None))
            self._settle_all(unsettled, lambda attempt: attempt.settle(crash))
        condemned = self._condemned
        self._settle_all(
            unsettled,
            lambda attempt: attempt.cancelled() if attempt.job.id in condemned else attempt.given_back(why),
        )

    def _collect(self, attempts: Sequence[Attempt], unsettled: dict[int, Attempt], hangup_fd: int) -> None:
        def hear(event: Event) -> None:
            attempts[event.index].hear(event)
            if event.kind == "progress":
                self._news.put(attempts[event.index])

        run = self._engine.run(_calls(attempts), deadline=math.inf, on_event=hear, hangup_fd=hangup_fd)
        with closing(run) as outcomes:
            for outcome in outcomes:
                attempt = unsettled[outcome.index]
                if outcome.timing.pid:
                    self._news.put(Ran(attempt.job.task, outcome.timing.run))
                self._settle(attempt, attempt.settle(outcome))
                del unsettled[outcome.index]

    def _settle_all(self, unsettled: dict[int, Attempt], settled: Callable[[Attempt], Settlement]) -> None:
        while unsettled:
            _, attempt = unsettled.popitem()
            try:
                settlement = settled(attempt)
            except Exception:  # noqa: BLE001 - a job that nobody settles would be running for ever
                _log.exception("a job could not be settled", **named(attempt.job))
                error = document_of(TaskCrashed(os.getpid(), None))
                settlement = Settlement(attempt.job, State.FAILED, crashed=1, error=error)
            self._settle(attempt, settlement)

    def _settle(self, attempt: Attempt, settlement: Settlement) -> None:
        attempt.end(settlement)
        self._news.put(settlement)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[int]:
        """Give the engine a connection that breaks when what runs is no longer wanted."""
        ours, engines = socket.socketpair()
        with ours, engines:
            with self._lock:
                if self._halted:
                    raise Abandoned
                self._hangup = ours
            try:
                yield engines.fileno()
            finally:
                with self._lock:
                    self._hangup = None


def _calls(attempts: Sequence[Attempt]) -> Iterator[Call | Outcome]:
    """Make calls as late as possible; arguments that don't fit any more, of an older version, are no call."""
    for index, attempt in enumerate(attempts):
        try:
            yield attempt.call(index)
        except EverycoreError as error:
            yield _unrun(error, index)


def _unrun(error: EverycoreError, index: int = 0) -> Outcome:
    return Outcome(index, Timing(0, 0.0, 0.0, 0.0), error=error)
