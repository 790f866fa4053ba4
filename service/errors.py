"""Everything that Everycore raises on purpose.

    EverycoreError
    |-- ConfigurationError        a setting or a task module can't be used
    |   `-- TaskModuleError       a task module failed to import; names file and line
    |-- TaskNotFound              no task has that name
    |-- CallError                 one call gave no result; its neighbours are not concerned
    |   |-- TaskFailed            the task raised
    |   |-- DeadlineExceeded      it ran, or waited, past its deadline
    |   |-- TaskCrashed           its process died
    |   |   `-- RunnerLost        so did the runner that had the job
    |   |-- MemoryLimitExceeded   it asked for more memory than a pool process may have
    |   |-- NotSerializable       what it returned, or was given, can't travel between processes
    |   |   `-- ResultNotJson     what it returned has no form in JSON
    |   |-- StageFailed           a stage of a pipeline has no result for an item; its cause is one of these
    |   `-- Cancelled             somebody stopped it
    |-- Abandoned                 nobody wants the outcomes any more
    `-- EngineUnavailable         the engine takes no more work
        |-- Saturated             too many calls wait already, or this one waited too long
        `-- Stopping              the service is shutting down

What only one room can raise stands there and hangs below ``EverycoreError`` too: bad requests in
``service.api.problems``, arguments that don't fit in ``service.tasks.contract``.

An error carries its facts as attributes; ``str(error)`` is one sentence for a person. Which HTTP
status each becomes stands in ``service.api.problems``.
"""

from __future__ import annotations

import signal


class EverycoreError(Exception):
    """Root of the tree."""


class ConfigurationError(EverycoreError):
    """A setting or a task module can't be used; the message says which and why."""


class TaskModuleError(ConfigurationError):
    """A module named in ``SERVICE_TASK_MODULES`` could not be imported."""

    def __init__(self, module: str, file: str, line: int, cause: str) -> None:
        """Say where in the user's own code the import went wrong."""
        super().__init__(f"task module {module!r} failed to import: {file}:{line}: {cause}")
        self.module = module
        self.file = file
        self.line = line
        self.cause = cause


class TaskNotFound(EverycoreError):
    """No task is registered under that name."""

    def __init__(self, name: str, hint: str = "") -> None:
        """Keep the name that was asked for; ``hint`` says what there is instead."""
        super().__init__(f"there is no task {name!r}" + f"; {hint}" * bool(hint))
        self.name = name


class CallError(EverycoreError):
    """One call gave no result."""


class TaskFailed(CallError):
    """The task raised an exception."""

    def __init__(
        self, exception: str, message: str, traceback: str = "", bases: tuple[str, ...] = ()
    ) -> None:
        """Keep the exception's type name, its text, and the traceback for the log (never for a client).

        ``bases`` are its type and what that is derived from, each with its module: ``builtins.ValueError``.
        """
        super().__init__(f"{exception}: {message}" if message else exception)
        self.exception = exception
        self.message = message
        self.traceback = traceback
        self.bases = bases

    def __reduce__(self) -> tuple[type[TaskFailed], tuple[str, str, str, tuple[str, ...]]]:
        """Pickle what it was made of; the default would be its text."""
        return type(self), (self.exception, self.message, self.traceback, self.bases)


class DeadlineExceeded(CallError):
    """The call did not finish in time and was ended, or was never started."""

    def __init__(self, limit: float, *, started: bool) -> None:
        """``limit`` is the time it had, in seconds; ``started`` tells whether it ever ran."""
        what = "ran past its limit" if started else "was not started within its limit"
        # Who notices that the time was over before it began has a little less than none.
        self.limit = max(0.0, limit)
        super().__init__(f"the call {what} of {self.limit:.3g} s")
        self.started = started


class TaskCrashed(CallError):
    """The process that ran the call died."""

    def __init__(self, pid: int, exit_code: int | None) -> None:
        """``exit_code`` is negative for a signal, as in ``subprocess``; ``None`` when nobody could tell."""
        self.pid = pid
        self.exit_code = exit_code
        self.signal = signal_name(exit_code)
        how = f"by {self.signal}" if self.signal else f"with exit code {exit_code}"
        super().__init__(
            f"the process that ran the call died {how if exit_code is not None else 'of an unknown cause'}"
        )


class RunnerLost(TaskCrashed):
    """The runner that had the job died, or could not be reached for as long as a lease."""

    def __init__(self, pid: int) -> None:
        """``pid`` is that of the runner."""
        super().__init__(pid, None)
        self.args = ("the runner that had the job was lost",)


class MemoryLimitExceeded(CallError):
    """The call asked for more memory than there is for it."""

    def __init__(self, limit: int | None) -> None:
        """``limit`` is in bytes; ``None`` when it was the machine that had no more."""
        over = "more memory than there is" if limit is None else f"more than the {limit} bytes it may have"
        super().__init__(f"the call asked for {over}")
        self.limit = limit


class NotSerializable(CallError):
    """A result or an argument can't be sent between processes."""

    def __init__(self, what: str, reason: str) -> None:
        """``what`` is ``"result"`` or ``"arguments"``."""
        self.what = what
        self.reason = reason
        super().__init__(f"{self.complaint}: {reason}")

    @property
    def complaint(self) -> str:
        """What can't be done, without the reason: that may be a text of code of the task's own."""
        return f"the {self.what} can't be sent between processes"


class ResultNotJson(NotSerializable):
    """A result has no form in JSON."""

    complaint = "the result has no form in JSON"

    def __init__(self, reason: str) -> None:
        """``reason`` is the name of an exception, and its text."""
        super().__init__("result", reason)

    @classmethod
    def because(cls, error: Exception) -> ResultNotJson:
        """Say what was in the way."""
        return cls(f"{type(error).__name__}: {error}")


class StageFailed(CallError):
    """A stage of a pipeline, or its producer, has no result for an item."""

    def __init__(self, stage: str, item: int | None, cause: EverycoreError) -> None:
        """``item`` is the number of the producer's item, from 0, that it goes back to.

        It is ``None`` when the stage had none in hand, or all of them. ``cause`` is what went wrong.
        """
        super().__init__(f"{stage_and_item(stage, item)}: {cause}")
        self.stage = stage
        self.item = item
        self.cause = cause

    def __reduce__(self) -> tuple[type[StageFailed], tuple[str, int | None, EverycoreError]]:
        """Pickle what it was made of; the default would be its text."""
        return type(self), (self.stage, self.item, self.cause)


class Cancelled(CallError):
    """The call was stopped before it finished."""

    def __init__(self) -> None:
        """Nothing more is known."""
        super().__init__("the call was cancelled")


class Abandoned(EverycoreError):
    """Whoever wanted the outcomes of a run has hung up; what was left of it was stopped."""

    def __init__(self) -> None:
        """Nothing more is known."""
        super().__init__("the client went away")


class EngineUnavailable(EverycoreError):
    """The engine takes no more work now."""


class Saturated(EngineUnavailable):
    """Every slot is busy and the queue is full, or the wait was too long."""

    def __init__(self, reason: str, retry_after: float) -> None:
        """``retry_after`` is in seconds, an estimate."""
        super().__init__(reason)
        self.retry_after = retry_after


class Stopping(EngineUnavailable):
    """The service is shutting down."""

    def __init__(self) -> None:
        """Nothing more is known."""
        super().__init__("the service is stopping")


def stage_and_item(stage: str, item: int | None) -> str:
    """Word where in a pipeline something happened."""
    return f"stage {stage!r}" if item is None else f"stage {stage!r}, item {item}"


def cause_of(error: Exception) -> Exception:
    """Return what went wrong, wherever in a pipeline it was."""
    while isinstance(error, StageFailed):
        error = error.cause
    return error


def signal_name(exit_code: int | None) -> str | None:
    """``"SIGSEGV"`` for -11; ``None`` for an exit code that is no signal."""
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
