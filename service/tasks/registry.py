"""The table of tasks: ``@task`` fills it, the web side and the pool processes read it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, overload

from service.errors import ConfigurationError, TaskNotFound
from service.tasks import mistakes, signature
from service.tasks.options import (
    ExceptionTypes,
    JobOptions,
    check_follow_up,
    cpu_objection,
    schedule_of,
    timeout_objection,
)
from service.tasks.periods import Cron, Every

if TYPE_CHECKING:
    # It registers here.
    from service.tasks.pipelines import Pipeline

#: Modules of the project's own tasks.
BUILT_IN = (
    "service.tasks.animations",
    "service.tasks.arithmetic",
    "service.tasks.digits",
    "service.tasks.gallery",
    "service.tasks.images",
    "service.tasks.logs",
    "service.tasks.matrices",
    "service.tasks.passwords",
    "service.tasks.samples",
    "service.tasks.text",
)

#: Modules of the project's own tasks by what they import and is not always installed.
EXTRAS = {"av": "service.tasks.video"}


@dataclass(frozen=True, slots=True)
class Task:
    """One registered task."""

    name: str
    function: Callable[..., Any]
    #: CPU slots one call takes: 1, or 0 for a task that mostly waits.
    cpu: int
    #: Seconds one call may run; ``None`` for the service's own limit.
    timeout: float | None
    #: Media type of a ``bytes`` result, or a function that finds it from the call's arguments.
    media_type: str | Callable[..., str]
    #: What holds for its jobs.
    job: JobOptions = field(default_factory=JobOptions)
    #: When a job of it is due by itself.
    schedule: Every | Cron | None = None
    #: The pipeline that this is; its producer is the function then.
    pipeline: Pipeline | None = None

    @property
    def streams(self) -> bool:
        """Whether it is a generator, whose items can be had one by one."""
        return inspect.isgeneratorfunction(self.function)

    @property
    def description(self) -> str:
        """What it is for: the function's docstring, unless a pipeline says something else."""
        return self.docstring if self.pipeline is None else self.pipeline.description

    @property
    def docstring(self) -> str:
        """The function's docstring, cleaned."""
        return inspect.getdoc(self.function) or ""

    @property
    def origin(self) -> str:
        """The names of what it is made of, with their modules."""
        if self.pipeline is None:
            return _qualified(self.function)
        return "a pipeline of " + ", ".join(_qualified(step.function) for step in self.pipeline.steps)

    @property
    def where(self) -> str:
        """Where it stands and what it is called, as the beginning of a message."""
        if self.pipeline is None:
            return f"{signature.place(self.function)}{self.function.__qualname__}"
        return self.pipeline.where

    def refuse(self, reason: str) -> ConfigurationError:
        """Build the error that says which task or pipeline is meant, and where it stands."""
        if self.pipeline is None:
            return signature.unusable(self.function, reason)
        return self.pipeline.refuse(reason)

    def media_type_of(self, args: Mapping[str, Any]) -> str:
        """Media type of the bytes that a call with these arguments returns."""
        return self.media_type if isinstance(self.media_type, str) else self.media_type(**args)


_tasks: dict[str, Task] = {}


F = TypeVar("F", bound=Callable[..., Any])


@overload
def task(function: F, /) -> F: ...
@overload
def task(
    *,
    name: str | None = ...,
    cpu: int = ...,
    timeout: float | None = ...,
    media_type: str | Callable[..., str] = ...,
    retries: int = ...,
    retry_on: ExceptionTypes = ...,
    retry_delay: float = ...,
    crash_retries: int = ...,
    on_success: str | None = ...,
    on_failure: str | None = ...,
    every: str | float | None = ...,
    cron: str | None = ...,
) -> Callable[[F], F]: ...
def task(  # noqa: PLR0913 - each option is a keyword of its own, which is what people look for
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    cpu: int = 1,
    timeout: float | None = None,
    media_type: str | Callable[..., str] = "application/octet-stream",
    retries: int = 0,
    retry_on: ExceptionTypes = Exception,
    retry_delay: float = 1.0,
    crash_retries: int = 3,
    on_success: str | None = None,
    on_failure: str | None = None,
    every: str | float | None = None,
    cron: str | None = None,
) -> F | Callable[[F], F]:
    """Register a function as a task and return it unchanged; ``@task`` and ``@task(...)`` both do.

    ``name`` defaults to the function's own. ``cpu`` is 1, or 0 for a task that mostly waits.
    ``timeout`` is in seconds. ``media_type`` describes a ``bytes`` result: a string, or a
    function that takes the same arguments as the task.

    The others are for jobs. One that ends in an error of the types ``retry_on`` is tried up to ``retries``
    times more, after ``retry_delay`` seconds and then twice as long each time; one whose process dies,
    ``crash_retries`` times more. ``on_success`` and ``on_failure`` name tasks to be called with the finished
    ``job``. ``every`` is a time, such as ``"5m"``, or ``cron`` an expression, after which a job is due by
    itself.
    """
    if said := cpu_objection(cpu) or timeout_objection(timeout):
        raise ConfigurationError(said)

    job = JobOptions(retries, retry_on, retry_delay, crash_retries, on_success, on_failure)

    def register(function: F) -> F:
        signature.check(function)
        schedule = schedule_of(function, every, cron, functools.partial(signature.unusable, function))
        add(Task(name or function.__name__, function, cpu, timeout, media_type, job, schedule))
        return function

    return register if function is None else register(function)


def add(entry: Task) -> None:
    """Put a task into the table; raises ``ConfigurationError`` if another one has its name."""
    if not signature.NAME.fullmatch(entry.name):
        raise entry.refuse(f"its name {entry.name!r} has other characters than A-Z a-z 0-9 _ . -")
    known = _tasks.get(entry.name)
    if known is not None and known.origin != entry.origin:
        raise entry.refuse(f"{entry.name!r} is already registered by {known.origin}")
    if known is not None and known.pipeline is not None and entry.pipeline is not None:
        entry.pipeline.check_again(known.pipeline)
    _tasks[entry.name] = entry


def _qualified(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def get(name: str) -> Task:
    """Return the task of that name, or raise ``TaskNotFound``."""
    try:
        return _tasks[name]
    except KeyError:
        raise TaskNotFound(name) from None


def all_tasks() -> tuple[Task, ...]:
    """Return every registered task, pipelines too, by name."""
    return tuple(_tasks[name] for name in sorted(_tasks))


def plain_tasks() -> tuple[Task, ...]:
    """Return every task that is no pipeline, by name."""
    return tuple(entry for entry in all_tasks() if entry.pipeline is None)


def pipelines() -> tuple[Task, ...]:
    """Return every task that is a pipeline, by name."""
    return tuple(entry for entry in all_tasks() if entry.pipeline is not None)


def built_in() -> tuple[str, ...]:
    """Return the modules of the project's own tasks, as far as what they import is installed."""
    return (*BUILT_IN, *(module for needed, module in EXTRAS.items() if importlib.util.find_spec(needed)))


def load(modules: Iterable[str] = ()) -> None:
    """Import the built-in task modules and the user's own, which registers what they hold.

    Raises ``TaskModuleError`` with the file and line of the user's mistake, ``ConfigurationError``
    for a module that does not exist, and for a follow-up that can't be one.
    """
    for module in (*built_in(), *modules):
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise mistakes.explain(module, error) from error
    for entry in all_tasks():
        for option, name in entry.job.follow_ups.items():
            follower = _tasks.get(name)
            check_follow_up(entry.where, option, name, follower.function if follower else None)
