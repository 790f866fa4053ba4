"""What an engine is: one verb over calls and outcomes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from service.errors import EverycoreError


@dataclass(frozen=True, slots=True)
class Post:
    """A place in a run of a pipeline, for one pool process."""

    #: Position of the step in the pipeline.
    step: int
    #: The process's row of the board, and how many there are for all processes of the run.
    row: int
    rows: int
    #: The rows of all processes of the step.
    peers: tuple[int, ...]
    #: How many descriptors come along: board, way out, way in, and a bell of each peer if they keep turns.
    descriptors: int
    #: Whether an item that fails is left out.
    skip: bool
    #: ``time.monotonic()`` time of its end.
    deadline: float


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a registered task; what crosses into a pool process."""

    #: Name of a registered task, never a function object.
    task: str
    #: Keyword arguments, already validated.
    args: Mapping[str, Any] = field(default_factory=dict)
    #: Position in the run; the outcome carries it back.
    index: int = 0
    #: Id of the request that asked, for the logs.
    request_id: str = ""
    #: Seconds the call may run once it has started; ``None`` for no limit but the run's deadline.
    timeout: float | None = None
    #: Whether what a generator yields comes item by item, each an outcome, instead of as one list.
    stream: bool = False
    #: Which attempt of a job it is, whose log then gets what it prints; 0 for a call that is of no job.
    attempt: int = 0
    #: The place in a run of a pipeline, which ``task`` names, that its process is to fill.
    post: Post | None = None
    #: The descriptors that go along with a post; they stay the caller's.
    fds: tuple[int, ...] = ()
    #: Whether a pipeline, run by an engine that can, leaves out items that a stage has no result for.
    skip: bool = False
    #: The span it belongs to, by its W3C trace context; ``None`` when nobody traces.
    trace: Mapping[str, str] | None = None

    @property
    def is_accompanied(self) -> bool:
        """Whether the process has to know more of it than its arguments."""
        return self.attempt > 0 or self.trace is not None


class Timing(NamedTuple):
    """When and where a call ran. Times are ``time.monotonic()`` seconds, the same clock in every process."""

    #: Process that ran it; 0 when none did.
    pid: int
    #: When the run took the call in.
    queued: float
    #: When the task began.
    started: float
    #: When it ended.
    finished: float
    #: CPU seconds it took (user and system, all threads of its process).
    cpu: float = 0.0

    @property
    def wait(self) -> float:
        """Seconds between being taken in and being started."""
        return self.started - self.queued

    @property
    def run(self) -> float:
        """Seconds from start to end."""
        return self.finished - self.started


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended: a value or an error, and when."""

    index: int
    timing: Timing
    value: Any = None
    error: EverycoreError | None = None
    #: ``False`` for an item of a streamed call, which goes on.
    ended: bool = True

    def result(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True, slots=True)
class Feed:
    """Calls that come in over time, from somebody who may be slow."""

    #: Yields ``None`` when there is no call now, but may be later.
    calls: Iterator[Call | Outcome | None]
    #: Descriptor that becomes readable when ``calls`` should be asked again.
    fd: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something a running task said before it ended."""

    index: int
    #: ``"progress"`` or, from a job, ``"log"``.
    kind: str
    #: ``{"done", "total", "note"}`` or ``{"stream", "line"}``.
    data: Any


OnEvent = Callable[[Event], None]


class Outcomes(Iterator[Outcome]):
    """Outcomes as they come."""

    def __init__(self, outcomes: Generator[Outcome, None, None], at_hand: Sized = ()) -> None:
        """Take them from a generator, which keeps those in ``at_hand`` that it need not wait for."""
        self._outcomes = outcomes
        self._at_hand = at_hand

    def __next__(self) -> Outcome:
        """Return the next one, or wait for it."""
        return next(self._outcomes)

    @property
    def at_hand(self) -> bool:
        """Whether there is a next one already."""
        return len(self._at_hand) > 0

    def close(self) -> None:
        """Stop what is left; a second call does nothing."""
        self._outcomes.close()


class Engine(Protocol):
    """Runs calls somewhere with many cores."""

    def run(
        self,
        calls: Iterable[Call | Outcome] | Feed,
        *,
        deadline: float,
        on_event: OnEvent | None = None,
        hangup_fd: int | None = None,
        together: int = 0,
    ) -> Outcomes:
        """Return one outcome per call, and one per item of a streamed call, in order of completion.

        ``calls`` is consumed lazily, a little ahead of the outcomes. An outcome among them, of a call that
        is refused already, is handed through. ``deadline`` is a
        ``time.monotonic()`` time; what runs then is killed, what waits then is not started, and no more
        calls are waited for. ``on_event`` hears what a call says before its outcome is there: every line of a
        job's log, also when the job is killed or the outcomes are closed, and of its progress what there is
        time for. ``hangup_fd`` is a connection to whoever wants the outcomes. When its other
        end is closed, or the outcomes are, what is left is stopped. Calls with a post need each other: at
        most ``together`` of them run at a time, and the first starts when there is room for all of these.

        Raises ``Saturated`` or ``Stopping``, before any outcome, when the run got no turn at all,
        ``EngineUnavailable`` when there is no process to be had for what is left of it, and ``Abandoned``
        at a hang-up.
        """
        ...

    @property
    def backlog(self) -> float:
        """Seconds that one more call would wait now before it starts, as far as can be told."""
        ...

    @property
    def ready(self) -> bool:
        """Whether a call need not wait for the tasks, and what they share, to be loaded."""
        ...

    @property
    def closed(self) -> bool:
        """Whether it takes no more work."""
        ...

    def warm(self) -> None:
        """Load the tasks and what they share, now and whenever they are lost, so that calls need not wait."""
        ...

    def close(self) -> None:
        """Stop everything and free every process; a second call does nothing."""
        ...
