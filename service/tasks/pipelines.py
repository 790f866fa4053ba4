"""Pipelines: functions that pass items on to each other, each in processes of its own.

    Pipeline("log_statistics", read_log, Stage(count_lines, processes=4), add_up)

producer ─items─> stage ─items─> stage ─items─> whoever runs it

It is checked as a whole here, and stands in the table of tasks: a job of it is a job like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from service.errors import ConfigurationError
from service.tasks import neighbours, registry, signature, steps
from service.tasks.options import ExceptionTypes, JobOptions, schedule_of, timeout_objection
from service.tasks.periods import Cron, Every
from service.tasks.stages import Kind, Stage, Step
from service.tasks.steps import refusal

__all__ = ["MAX_BUFFER", "Kind", "Pipeline", "Stage", "Step", "check_size"]

#: Most items that may wait between two steps.
MAX_BUFFER = 1000

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(;[ -~]+)?", re.ASCII)


class Pipeline:
    """A producer and the stages that its items go through, registered under a name."""

    def __init__(  # noqa: PLR0913 - each option is a keyword of its own, as for @task
        self,
        name: str,
        produce: Callable[..., Any] | Stage,
        /,
        *stages: Callable[..., Any] | Stage,
        buffer: int = 8,
        timeout: float | None = None,
        media_type: str | None = None,
        description: str | None = None,
        retries: int = 0,
        retry_on: ExceptionTypes = Exception,
        retry_delay: float = 1.0,
        crash_retries: int = 3,
        on_success: str | None = None,
        on_failure: str | None = None,
        every: str | float | None = None,
        cron: str | None = None,
    ) -> None:
        """Register a pipeline; what can't be meant is refused with ``ConfigurationError``.

        ``produce`` is a generator function, whose parameters are the pipeline's, and at least one stage
        follows it. ``buffer`` is how many items may wait between two steps. ``timeout`` is in seconds, for
        a whole run. ``media_type`` is what the bytes of the last stage are together. ``description``
        defaults to the docstring of ``produce``. The others are for jobs, as for ``@task``.
        """
        if not isinstance(name, str):
            raise ConfigurationError(f"a pipeline begins with its name, in quotes, not with {name!r}")
        self.name = name
        #: Its producer, then the stages.
        self.steps = _read(name, produce, stages)
        self.buffer = buffer
        self.timeout = timeout
        self.media_type = media_type
        head = self.steps[0].function
        entry = registry.Task(
            name,
            head,
            cpu=0,
            timeout=timeout,
            media_type=media_type or "application/octet-stream",
            job=self._job(retries, retry_on, retry_delay, crash_retries, on_success, on_failure),
            schedule=self._schedule(every, cron),
            pipeline=self,
        )
        self.description = entry.docstring if description is None else description
        self._check()
        self._options = (self.steps, buffer, timeout, media_type, self.description, entry.job, entry.schedule)
        registry.add(entry)

    def __repr__(self) -> str:
        """Return its name and those of its steps."""
        return f"<Pipeline {self.name}: {' > '.join(step.name for step in self.steps)}>"

    @property
    def processes(self) -> int:
        """How many processes all its steps have together."""
        return sum(step.processes for step in self.steps)

    @property
    def where(self) -> str:
        """Where it stands, by its producer, and what it is called, as the beginning of a message."""
        return f"{signature.place(self.steps[0].function)}pipeline {self.name!r}"

    def refuse(self, said: str) -> ConfigurationError:
        """Build the error that says which pipeline is meant."""
        return ConfigurationError(f"{self.where}: {said}")

    def check_again(self, known: Pipeline) -> None:
        """Raise ``ConfigurationError`` if the one of its name has the same functions, but other options.

        A module that is loaded again has functions of its own, and may have been changed meanwhile.
        """
        functions, others = ([step.function for step in one.steps] for one in (self, known))
        if functions == others and self._options != known._options:
            raise self.refuse(
                f"{self.name!r} is already registered, of the same functions with other options"
            )

    def _check(self) -> None:
        if not steps.is_count(self.buffer) or self.buffer > MAX_BUFFER:
            raise self.refuse(f"buffer must be a whole number from 1 to {MAX_BUFFER}, not {self.buffer!r}")
        if said := timeout_objection(self.timeout):
            raise self.refuse(said)
        if not isinstance(self.description, str):
            raise self.refuse(f"description must be a text, not {self.description!r}")
        if self.media_type is None:
            return
        if not _MEDIA_TYPE.fullmatch(str(self.media_type)):
            raise self.refuse(f"media_type must be one, such as 'text/csv', not {self.media_type!r}")
        last = self.steps[-1]
        if last.sink or not neighbours.fits(last.gives, bytes | bytearray | memoryview):
            given = "nothing" if last.sink else neighbours.name_of(last.gives)
            raise self.refuse(f"with media_type= its last stage gives bytes, but {last.name!r} gives {given}")

    def _job(self, *options: Any) -> JobOptions:
        try:
            return JobOptions(*options)
        except ConfigurationError as error:
            raise self.refuse(str(error)) from error

    def _schedule(self, every: str | float | None, cron: str | None) -> Every | Cron | None:
        return schedule_of(self.steps[0].function, every, cron, self.refuse)


def check_size(processes: int) -> None:
    """Raise ``ConfigurationError`` if a pipeline of the user's needs more processes than a pool may have.

    The project's own are not the user's fault: who runs one that is too large is told then.
    """
    ours = registry.built_in()
    for entry in registry.pipelines():
        pipeline = entry.pipeline
        if pipeline is None or all(step.function.__module__ in ours for step in pipeline.steps):
            continue
        if pipeline.processes > processes:
            raise pipeline.refuse(
                f"its steps have {pipeline.processes} processes, and SERVICE_POOL_PROCESSES is {processes}"
            )


def _read(
    pipeline: str, produce: Callable[..., Any] | Stage, stages: tuple[Callable[..., Any] | Stage, ...]
) -> tuple[Step, ...]:
    read = [steps.producer(pipeline, produce)]
    if not stages:
        raise refusal(pipeline, read[0].function, "at least one stage has to follow the producer")
    in_order = True
    for given in stages:
        step = steps.stage(pipeline, given, in_order=in_order)
        _check_place(pipeline, read, step)
        in_order = step.processes == 1 or step.keeps_turns
        read.append(step)
    return tuple(read)


def _check_place(pipeline: str, earlier: list[Step], step: Step) -> None:
    if step.name in (other.name for other in earlier):
        said = f"two steps are called {step.name!r}; Stage(…, name=…) tells them apart"
        raise refusal(pipeline, step.function, said)
    before = earlier[-1]
    if before.sink:
        said = f"stage {before.name!r}: declared -> None it passes nothing on, and can only be the last"
        raise refusal(pipeline, before.function, said)
    if not neighbours.fits(before.gives, step.takes):
        raise refusal(pipeline, step.function, neighbours.mismatch(before, step))
