"""One run of a pipeline, as its owner sees it: items as they come, and an end that says what went wrong.

    posts ──> engine ──> processes ──last channel──> feed ──┐
                 └── outcome of each process ───────────────┴──> items, skipped items, or an error

The owner's thread is in no item's way from stage to stage. It takes results from the last channel only as
fast as they are wanted, so that whoever reads slowly slows the stages, and in the end the producer.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.engine.base import Call, Engine, Event, Feed, OnEvent, Outcome, Timing
from service.engine.channel import Empty
from service.engine.failures import UNSENDABLE, error_of
from service.engine.parcels import Lost, Parcel, Unreadable
from service.engine.problems import kind_of
from service.errors import (
    Abandoned,
    CallError,
    Cancelled,
    DeadlineExceeded,
    EngineUnavailable,
    EverycoreError,
    MemoryLimitExceeded,
    NotSerializable,
    StageFailed,
    TaskCrashed,
)
from service.pipelines.clock import Clock
from service.pipelines.report import StageReport
from service.pipelines.wiring import Wiring
from service.tasks.pipelines import Kind, Pipeline
from service.telemetry.metrics.pipelines import RunMetrics

#: Most items, and bytes of them, that are taken from the last channel at once.
MAX_TAKEN, MAX_BYTES = 64, 256 * 1024
#: How many processes that had no item that is known may die in a run that leaves out what fails.
IDLE_DEATHS = 3
#: Seconds that a run waits for stages whose results nobody wants any more to end by themselves.
PATIENCE = 0.05


class _Over(Exception):
    """There are no more results, and some stage has not noticed."""


@dataclass(frozen=True, slots=True)
class Item:
    """A result; ``number`` is that of the producer's item, from 0, that it comes from."""

    number: int
    value: Any


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that was left out."""

    error: StageFailed


class PipelineRun(Iterator[Item | Skipped]):
    """Yields what the last stage passes on."""

    def __init__(  # noqa: PLR0913 - what a caller may want, each by its name
        self,
        engine: Engine,
        pipeline: Pipeline,
        args: Mapping[str, Any],
        *,
        deadline: float,
        skip: bool = False,
        request_id: str = "",
        attempt: int = 0,
        trace: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
        hangup_fd: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Start nothing before the first item is asked for; ``args`` fit the producer.

        ``deadline`` is a ``time.monotonic()`` time. With ``skip`` an item whose stage raises, crashes or
        passes its limit is left out. ``attempt`` is of the job that this is, if it is one, and ``trace`` the
        context it belongs to; ``on_event`` hears what its processes print. ``hangup_fd`` as for
        ``Engine.run``. ``clock`` is looked at while it waits.

        Iterating raises ``StageFailed``, ``DeadlineExceeded`` and what ``Engine.run`` says. Raises
        ``EngineUnavailable`` when there are no descriptors to be had, and ``Stopping``.
        """
        self._pipeline = pipeline
        self._deadline = deadline
        self._skip = skip
        self._on_event = on_event
        self._clock = clock
        self._begun = time.monotonic()
        self._started: float | None = None
        self._found: deque[Item | Skipped] = deque()
        self._failure: EverycoreError | None = None
        self._idle_deaths = 0
        self._report: list[StageReport] | None = None
        self._metrics = RunMetrics(pipeline.name)
        with contextlib.ExitStack() as undo:
            try:
                self._wiring = undo.enter_context(contextlib.closing(Wiring(pipeline)))
            except OSError as error:
                raise EngineUnavailable(f"no channels can be had: {error.strerror}") from error
            self._call = functools.partial(
                self._wiring.call,
                args=args,
                skip=skip,
                deadline=deadline,
                request_id=request_id,
                attempt=attempt,
                trace=trace,
            )
            self._to_start = deque(range(len(self._wiring.positions)))
            news = self._wiring.results.fileno()
            self._outcomes = engine.run(
                Feed(self._feed(), news if clock is None else clock.beside(news)),
                deadline=deadline,
                on_event=self._hear,
                hangup_fd=hangup_fd,
                together=pipeline.processes,
            )
            undo.pop_all()

    # For the caller

    def __next__(self) -> Item | Skipped:
        """Return the next result, or wait for it."""
        try:
            while not self._found:
                self._look()
        except (StopIteration, _Over):
            self._end("succeeded")
            raise StopIteration from None
        except Exception as error:
            self.close(error)
            raise
        except BaseException:
            self.close()
            raise
        return self._found.popleft()

    @property
    def at_hand(self) -> bool:
        """Whether there is a next one already."""
        return bool(self._found)

    def close(self, error: Exception | None = None) -> None:
        """Kill what runs, because of an error or because nobody wants more; a second call does nothing."""
        if error is None or isinstance(error, Abandoned):
            self._end("cancelled")
        else:
            self._end(kind_of(error).slug)

    def _end(self, outcome: str) -> None:
        if self._report is None:
            self._outcomes.close()
            self._found.clear()
            self._report = self._reports()
            self._wiring.close()
            self._metrics.tell(self._report)
            self._metrics.ended(outcome)

    def report(self) -> list[StageReport]:
        """Return what each stage has done up to now."""
        return self._report if self._report is not None else self._reports()

    @property
    def timing(self) -> Timing | None:
        """When it was asked for, began and ended, or what is known by now; ``None`` before its start."""
        if self._started is None:
            return None
        cpu = sum(stage.cpu for stage in self.report())
        return Timing(0, self._begun, self._started, time.monotonic(), cpu)

    def _reports(self) -> list[StageReport]:
        now, board = time.monotonic(), self._wiring.board
        rows = list(enumerate(self._wiring.positions))
        return [
            StageReport.of(step, (board.tally(row, now) for row, of in rows if of == at))
            for at, step in enumerate(self._pipeline.steps)
        ]

    # For the engine

    def _feed(self) -> Iterator[Call | Outcome | None]:
        """Yield the posts to fill, and then what has arrived."""
        while True:
            while self._to_start:
                yield self._call(self._to_start.popleft())
            if self._started is None:
                self._started = time.monotonic()
            try:
                yield from self._arrived()
            except EOFError:
                break
            if self._clock is not None:
                self._clock.look_if_it_rang()
            if self._metrics.is_due:
                self._metrics.tell(self.report())
            yield None
        yield from self._let_the_others_end()

    def _let_the_others_end(self) -> Iterator[None]:
        """Wait a moment for those before a stage that took no more than it wanted."""
        until = time.monotonic() + PATIENCE
        while self._wiring.running:
            if time.monotonic() >= until:
                raise _Over
            time.sleep(0.001)  # there is nothing to wait for: the end of the results stays readable
            yield None

    def _arrived(self) -> Iterator[Outcome]:
        results, size = self._wiring.results, 0
        timing = Timing(0, self._begun, self._begun, self._begun)
        for _ in range(MAX_TAKEN):
            try:
                parcel = Parcel(*results.receive(wait=False))
            except Empty:
                return
            except EOFError:
                raise
            except MemoryError:
                raise MemoryLimitExceeded(None) from None
            except Exception as error:
                # There are too many open files, for one.
                cause = NotSerializable("result", f"{type(error).__name__}: {error}")
                raise StageFailed(self._pipeline.steps[-1].name, None, cause) from error
            yield Outcome(-1, timing, parcel, ended=False)
            size += len(parcel.content) + sum(map(len, parcel.buffers))
            if size >= MAX_BYTES:
                return

    def _hear(self, event: Event) -> None:
        # How far it is, the caller can see in the report; a stage knows of its own items only.
        if self._on_event is not None and event.kind == "log":
            self._on_event(event)

    # What comes of it

    def _look(self) -> None:
        """Wait for something to happen, and take whatever else has."""
        if self._failure is not None:
            raise self._failure
        self._take(next(self._outcomes))
        while self._outcomes.at_hand and self._failure is None:
            self._take(next(self._outcomes))

    def _take(self, outcome: Outcome) -> None:
        if not outcome.ended:
            self._add(outcome.value)
        elif outcome.error is None or not self._wiring.is_wanted(outcome.index):
            self._wiring.ended(outcome.index)
        else:
            self._lose(outcome)

    def _add(self, parcel: Parcel) -> None:
        """Take a result, or learn that an item is left out."""
        lost = parcel.content
        if not isinstance(lost, Lost):
            try:
                self._found.append(Item(parcel.number, parcel.unpack()))
            except Unreadable as error:
                lost = Lost(len(self._pipeline.steps) - 1, UNSENDABLE, str(error))
            else:
                return
        cause = error_of(lost.status, lost.said, None)
        failed = StageFailed(self._pipeline.steps[lost.step].name, parcel.number, cause)
        if self._skip:
            self._found.append(Skipped(failed))
        elif self._failure is None:
            self._fail(failed)

    def _lose(self, outcome: Outcome) -> None:
        """See to a process that did not come to its end."""
        row, step = outcome.index, self._wiring.step(outcome.index)
        assert outcome.error is not None
        cause = self._cause(outcome.error, step.timeout)
        late = isinstance(cause, DeadlineExceeded) and time.monotonic() >= self._deadline
        if late or isinstance(cause, Cancelled):
            self._fail(cause)
            return
        number = self._wiring.board.number(row)
        failed = StageFailed(step.name, number, cause)
        self._idle_deaths += number is None
        can_go_on = self._skip and step.kind in (Kind.EACH, Kind.SPREAD) and self._idle_deaths <= IDLE_DEATHS
        if not can_go_on or not isinstance(cause, TaskCrashed | DeadlineExceeded | MemoryLimitExceeded):
            self._fail(failed)
            return
        had_item = self._wiring.board.has_item(row)
        self._wiring.lost(row)
        self._to_start.append(row)
        if had_item:
            self._found.append(Skipped(failed))

    def _cause(self, error: EverycoreError, timeout: float | None) -> EverycoreError:
        """Return what ended a process: the kernel's timer stands for a limit."""
        if not isinstance(error, TaskCrashed) or error.exit_code != -signal.SIGALRM:
            return error
        if time.monotonic() >= self._deadline:
            return DeadlineExceeded(self._deadline - self._begun, started=True)
        return error if timeout is None else DeadlineExceeded(timeout, started=True)

    def _fail(self, error: EverycoreError) -> None:
        """End the run; what has arrived by now comes before the error."""
        self._failure = error
        while self._outcomes.at_hand:
            outcome = next(self._outcomes)
            if not outcome.ended:
                self._add(outcome.value)
        self._outcomes.close()
        with contextlib.suppress(EOFError, CallError):  # there is no more, or it can't be read
            for outcome in self._arrived():
                self._add(outcome.value)
