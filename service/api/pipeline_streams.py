"""The results of a pipeline on their way to a client: each is sent as soon as it is there.

PipelineRun ─> items, and errors of those left out ─> a form ─> pieces ─> streaming
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flask import Response, request

from service.api import problems, streaming
from service.api.pipeline_forms import Form
from service.api.requests import trace
from service.engine.problems import is_invalid_input, members_of
from service.errors import EverycoreError, ResultNotJson, StageFailed, TaskFailed, cause_of
from service.pipelines.report import StageReport
from service.pipelines.run import Item, PipelineRun, Skipped
from service.telemetry.logs import get_logger

#: Items left out that the log has an entry for, and whose numbers it has: there may be a million.
NOTED, NUMBERED = 10, 1000

_log = get_logger()


def respond(run: PipelineRun, form: Form, stage: str) -> Response:
    """Answer with the results of a run, which its last ``stage`` gives; an error before the first raises."""
    stream = Stream(run, form, stage)
    try:
        return streaming.response(stream.pieces(), form.media_type, run, stream.close)
    except BaseException:
        stream.close()
        raise


class Stream:
    """What came of one run, piece by piece."""

    def __init__(self, run: PipelineRun, form: Form, stage: str) -> None:
        """Send nothing yet; ``stage`` is the last one's name."""
        self._run = run
        self._form = form
        self._stage = stage
        # Pieces are made when the request's own context has ended.
        self._trace = trace()
        self._environ = request.environ
        self._begun = time.monotonic()
        self._items = 0
        self._skipped = 0
        self._numbers: list[int | None] = []
        self._closed = False

    def pieces(self) -> Iterator[bytes]:
        """Yield the results as they come, then how it ended."""
        has_begun = False
        try:
            for result in self._run:
                piece = self._piece(result)
                if piece and not has_begun:
                    self._note_timing()  # for the header
                    has_begun = True
                # An empty one lets those go that are ready, but must not begin an answer.
                if has_begun:
                    yield piece
        except EverycoreError as error:
            self._run.close(error)
            if not has_begun:
                raise  # there is a status to say it with
            _note(error)
            problem = problems.describe(error)
            self._environ["everycore.problem"] = problem.kind.slug
            yield self._form.error(error, problem.document())
        else:
            yield self._form.summary(self._summary())

    def close(self) -> None:
        """Stop what is left, and tell the log what became of it; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._run.close()
        self._note_timing()
        if self._skipped:
            listed = self._numbers
            _log.warning("items were left out", task=self._trace.task, skipped=self._skipped, items=listed)

    def _piece(self, result: Item | Skipped) -> bytes:
        if isinstance(result, Skipped):
            return self._left_out(result.error)
        try:
            piece = self._form.item(result.value)
        except TaskFailed as error:
            raise StageFailed(self._stage, result.number, error) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise StageFailed(self._stage, result.number, ResultNotJson.because(error)) from error
        self._items += 1
        return piece

    def _left_out(self, error: StageFailed) -> bytes:
        self._skipped += 1
        if self._skipped <= NOTED:
            _note(error)
        if self._skipped <= NUMBERED:
            self._numbers.append(error.item)
        return self._form.skipped(problems.describe(error).document())

    def _note_timing(self) -> None:
        if self._run.timing is not None:
            self._trace.ran(self._run.timing)

    def _summary(self) -> dict[str, Any]:
        stages = self._run.report()
        return {
            "items": self._items,
            "skipped": self._skipped,
            "wall": time.monotonic() - self._begun,
            "cpu": sum(stage.cpu for stage in stages),
            "stages": [_report(stage) for stage in stages],
        }


def _note(error: EverycoreError) -> None:
    """Log an error; bad input, too: a client that gets bytes is not told of it."""
    if is_invalid_input(error):
        _log.warning("input can't be used", error=str(cause_of(error)), **members_of(error))
    problems.note(error)


def _report(stage: StageReport) -> dict[str, Any]:
    return {
        "name": stage.name,
        "processes": stage.processes,
        "items_in": stage.items_in,
        "items_out": stage.items_out,
        "skipped": stage.skipped,
        "busy": stage.busy,
        "cpu": stage.cpu,
        "waiting": {
            "input": stage.waiting_input,
            "output": stage.waiting_output,
            "slot": stage.waiting_slot,
            "turn": stage.waiting_turn,
        },
    }
