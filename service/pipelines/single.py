"""A call of a pipeline, and the one outcome that comes of it.

PipelineRun ─┬─ items ──> results ──> value of the outcome
             ├─ items left out, lines that stages print ──> the job's log
             └─ reports ── every so often ──> progress
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import Any

from service.engine.base import Call, Engine, Event, OnEvent, Outcome, Timing
from service.engine.problems import detail_of
from service.errors import (
    CallError,
    DeadlineExceeded,
    EngineUnavailable,
    StageFailed,
    TaskFailed,
    cause_of,
)
from service.pipelines.clock import Clock
from service.pipelines.report import StageReport
from service.pipelines.results import Results, results_of
from service.pipelines.run import Item, PipelineRun, Skipped
from service.tasks.pipelines import Pipeline
from service.telemetry.logs import get_logger

#: Seconds between two reports of progress.
PERIOD = 0.5
#: Most items left out that the job's log has a line for, and that ours has an entry for.
MAX_TOLD, MAX_NOTED = 1000, 10

_log = get_logger()


class PipelineCall:
    """One call of a pipeline; only one thread uses it."""

    def __init__(self, call: Call, pipeline: Pipeline, on_event: OnEvent | None, max_result: int) -> None:
        """Start nothing yet; ``on_event`` hears what comes before the outcome, as events of the call."""
        self._call = call
        self._pipeline = pipeline
        self._on_event = on_event
        self._results: Results = results_of(pipeline, max_result)
        self._skipped = 0
        self._said: dict[str, Any] | None = None
        self._queued = time.monotonic()

    def tell_that_it_waits(self) -> None:
        """Say that there is no room for it yet."""
        self._tell_progress([], "waits for other pipelines")

    def unrun(self, error: CallError) -> Outcome:
        """Return the outcome of a call that never ran."""
        now = time.monotonic()
        return Outcome(self._call.index, Timing(0, self._queued, now, now), error=error)

    def run(self, engine: Engine, deadline: float, hangup_fd: int | None) -> Outcome:
        """Return what came of it; raises what ``Engine.run`` raises."""
        call, was_ready = self._call, engine.ready
        if call.timeout is not None:
            deadline = min(deadline, time.monotonic() + call.timeout)
        with closing(Clock(PERIOD, lambda: self._look(run))) as clock:
            run = PipelineRun(
                engine,
                self._pipeline,
                call.args,
                deadline=deadline,
                skip=call.skip,
                request_id=call.request_id,
                attempt=call.attempt,
                trace=call.trace,
                on_event=self._pass_on,
                hangup_fd=hangup_fd,
                clock=clock,
            )
            try:
                outcome = self._outcome(run)
            finally:
                run.close()
        error = outcome.error
        if not was_ready and isinstance(error, DeadlineExceeded) and not error.started:
            # Its time was that of others, who load what all tasks share.
            raise EngineUnavailable("what the tasks need was not loaded in time")
        return outcome

    def _outcome(self, run: PipelineRun) -> Outcome:
        value, error = None, None
        self._look(run)
        try:
            for result in run:
                self._take(result)
            value = self._results.value()
        except CallError as failure:
            error = failure
        finally:
            run.close(error)
            self._look(run)
        if (known := run.timing) is None:
            assert error is not None
            return self.unrun(error)
        timing = known._replace(pid=os.getpid(), queued=self._queued)
        return Outcome(self._call.index, timing, value, error)

    def _take(self, result: Item | Skipped) -> None:
        if isinstance(result, Item):
            self._results.add(result)
            return
        self._skipped += 1
        if self._skipped <= MAX_TOLD:
            self._tell("log", {"stream": "system", "line": f"left out: {detail_of(result.error)}"})
        if self._skipped <= MAX_NOTED:
            self._note(result.error)

    def _note(self, error: StageFailed) -> None:
        cause = cause_of(error)
        more = {"traceback": cause.traceback} if isinstance(cause, TaskFailed) else {}
        call = self._call
        _log.warning("item left out", task=call.task, request_id=call.request_id, error=str(error), **more)

    # What is said meanwhile

    def _pass_on(self, event: Event) -> None:
        """Pass on what a stage prints: its event has the number of a process."""
        self._tell(event.kind, event.data)

    def _look(self, run: PipelineRun) -> None:
        note = f"{self._skipped} left out" if self._skipped else ""
        self._tell_progress(run.report(), note)

    def _tell_progress(self, report: list[StageReport], note: str) -> None:
        said = {
            "done": self._results.count,
            "total": None,
            "note": note,
            "stages": [_counts(stage) for stage in report],
        }
        if said != self._said:
            self._said = said
            self._tell("progress", said)

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        if self._on_event is not None:
            self._on_event(Event(self._call.index, kind, data))


def _counts(stage: StageReport) -> dict[str, Any]:
    return {
        "name": stage.name,
        "items_in": stage.items_in,
        "items_out": stage.items_out,
        "skipped": stage.skipped,
    }
