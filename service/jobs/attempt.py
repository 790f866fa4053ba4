"""One attempt of a job, from its claim to how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from service.engine.base import Call, Event, Outcome
from service.engine.problems import document_of
from service.errors import EverycoreError, NotSerializable, ResultNotJson, TaskFailed, cause_of
from service.jobs import arguments, plain
from service.jobs.account import named
from service.jobs.claims import Claim, Line, Settlement, given_back
from service.jobs.model import Job, Payload, State
from service.jobs.retries import Verdict, judge
from service.tasks.contract import Contract
from service.tasks.strict_json import dumps
from service.telemetry.logs import get_logger
from service.telemetry.tracing import Span, Tracer

_log = get_logger()

#: Most lines, and most characters, that one attempt may add to its job's log.
MAX_LINES = 10_000
MAX_CHARACTERS = 1024 * 1024
#: Largest result that is kept, in bytes.
MAX_RESULT = 64 * 1024 * 1024


class Attempt:
    """What a lane knows of a job that it runs."""

    def __init__(
        self,
        claim: Claim,
        contract: Contract,
        write: Callable[[Line], None],
        timeout: float,
        tracer: Tracer | None = None,
    ) -> None:
        """``write`` takes lines for the log; ``timeout`` is for a job that has none of its own."""
        self.job = claim.job
        self.progress: dict[str, Any] | None = None
        self._claim = claim
        self._contract = contract
        self._write = write
        self._timeout = timeout if claim.job.timeout is None else claim.job.timeout
        self._seq = claim.log_end
        self._characters = 0
        self._dropped = 0
        self._args: dict[str, Any] = {}
        self._span = None if tracer is None else _span(tracer, claim.job)

    def call(self, index: int) -> Call:
        """Return what the engine is to run; raises what ``arguments.read`` raises."""
        self._args = arguments.read(self._contract, self._claim.args)
        job = self.job
        request = job.request_id or job.id
        trace = None if self._span is None else self._span.context
        return Call(
            job.task,
            self._args,
            index,
            request,
            self._timeout,
            attempt=job.attempts,
            skip=job.skip,
            trace=trace,
        )

    def hear(self, event: Event) -> None:
        """Note what the task says."""
        if event.kind == "progress":
            self.progress = plain.progress(event.data)
        elif event.kind == "log":
            self._add(event.data["stream"], event.data["line"])

    def _add(self, stream: str, line: str) -> None:
        self._characters += len(line)
        if self._seq - self._claim.log_end >= MAX_LINES or self._characters > MAX_CHARACTERS:
            self._dropped += 1
            return
        self._say(stream, line)

    def _say(self, stream: str, line: str) -> None:
        self._seq += 1
        self._write(Line(self.job.id, self.job.attempts, self._seq, time.time(), stream, plain.text(line)))

    # The end

    def settle(self, outcome: Outcome) -> Settlement:
        """Return what becomes of the job after an outcome."""
        error = outcome.error
        result: Payload | None = None
        if error is None:
            try:
                result = self._result(outcome.value)
            except EverycoreError as unfit:
                error = unfit
        timing = outcome.timing if outcome.timing.pid else None
        run, cpu = (timing.run, timing.cpu) if timing is not None else (None, None)
        if error is None:
            self._tell_what_was_dropped()
            return Settlement(
                self.job,
                State.SUCCEEDED,
                result=result,
                progress=self.progress,
                run_seconds=run,
                cpu_seconds=cpu,
            )
        verdict = judge(self.job, error, self._contract.task.job)
        self._note(error, verdict)
        return Settlement(
            self.job,
            verdict.state,
            run_at=verdict.run_at,
            failed=verdict.failed,
            crashed=verdict.crashed,
            error=document_of(error),
            progress=self.progress,
            run_seconds=run,
            cpu_seconds=cpu,
        )

    def cancelled(self) -> Settlement:
        """Return what becomes of a job that was killed because somebody wanted it."""
        self._tell_what_was_dropped()
        self._say("system", f"attempt {self.job.attempts} was cancelled")
        return Settlement(self.job, State.CANCELLED, progress=self.progress)

    def given_back(self, why: str) -> Settlement:
        """Return what becomes of a job that was stopped, or not begun, through no fault of its own."""
        self._tell_what_was_dropped()
        self._say("system", f"attempt {self.job.attempts} was given back: {why}")
        return given_back(self.job)

    def end(self, settlement: Settlement) -> None:
        """End its span: it has become of the job what ``settlement`` says."""
        if self._span is not None:
            error = "" if settlement.error is None else settlement.outcome
            details = {"everycore.outcome": settlement.outcome, "everycore.job.state": settlement.state.value}
            self._span.end(error=error, details=details)

    def _note(self, error: EverycoreError, verdict: Verdict) -> None:
        self._tell_what_was_dropped()
        detail = document_of(error)["detail"]
        then = f"; again in {verdict.run_at - time.time():.1f} s" if verdict.run_at is not None else ""
        self._say("system", f"attempt {self.job.attempts} ended: {detail}{then}")
        cause = cause_of(error)
        more = {"traceback": cause.traceback} if isinstance(cause, TaskFailed) else {}
        _log.warning(
            "attempt failed",
            **named(self.job),
            error=str(error),
            then=verdict.state.value,
            **more,
        )

    def _tell_what_was_dropped(self) -> None:
        if self._dropped:
            self._say("system", f"the log is full: {self._dropped} lines were dropped")
            self._dropped = 0

    def _result(self, value: Any) -> Payload:
        payload = self._encoded(value)
        if len(payload.content) > MAX_RESULT:
            size = f"{len(payload.content)} bytes, and at most {MAX_RESULT} are kept"
            raise NotSerializable("result", f"too large: {size}")
        return payload

    def _encoded(self, value: Any) -> Payload:
        if isinstance(value, bytes | bytearray | memoryview):
            return Payload(self._media_type(), bytes(value))
        try:
            return Payload(arguments.JSON, dumps(value))
        except Exception as error:  # code of the user's runs here
            raise ResultNotJson.because(error) from error

    def _media_type(self) -> str:
        try:
            found: object = self._contract.task.media_type_of(self._args)
        except Exception as error:
            raise NotSerializable("result", f"{type(error).__name__}: {error}") from error
        if not isinstance(found, str) or not found.isascii() or not found.isprintable():
            raise NotSerializable("result", f"TypeError: its media type is {found!r}")
        return found


def _span(tracer: Tracer, job: Job) -> Span:
    return tracer.begin(
        f"job {job.task}",
        "consumer",
        job.trace,
        details={
            "everycore.task": job.task,
            "everycore.job.id": job.id,
            "everycore.job.attempt": job.attempts,
            "everycore.request_id": job.request_id,
        },
    )
