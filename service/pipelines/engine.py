"""An engine that runs pipelines like tasks: for each call one outcome, with all results together.

calls ─┬─ of tasks ──────> inner engine ──────────────────> outcomes
       └─ of a pipeline ─> room for it ─> PipelineCall ───────^

It is for jobs, of which each has one result. Whoever wants items one by one has a ``PipelineRun``.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from service.engine.around import AroundEngine
from service.engine.base import Call, Engine, Feed, OnEvent, Outcome, Outcomes
from service.engine.crews import Crews
from service.errors import CallError, Stopping
from service.pipelines.single import PipelineCall
from service.tasks import registry


class PipelineEngine(AroundEngine):
    """Hands calls of tasks to another engine, and runs pipelines on that, too."""

    def __init__(self, inner: Engine, *, processes: int, max_result: int) -> None:
        """Close ``inner`` with this one.

        ``processes`` is how many pipelines may have; a result of theirs has up to ``max_result`` bytes.
        """
        super().__init__(inner)
        self._crews = Crews(processes)
        self._max_result = max_result

    def run(
        self,
        calls: Iterable[Call | Outcome] | Feed,
        *,
        deadline: float,
        on_event: OnEvent | None = None,
        hangup_fd: int | None = None,
        together: int = 0,
    ) -> Outcomes:
        """Return one outcome per call; see ``base.Engine``.

        That of a pipeline comes when all calls before it have ended, and before any behind it begins. Its
        value is bytes, or a list as ``Encoded``. In its progress there are ``stages``. Its timeout begins
        when there is room for all of its processes. Calls of a feed are not of pipelines.
        """
        if isinstance(calls, Feed):
            return self._inner.run(
                calls, deadline=deadline, on_event=on_event, hangup_fd=hangup_fd, together=together
            )
        return _Mixed(self._inner, self._crews, self._max_result, calls, deadline, on_event, hangup_fd)


class _Mixed(Outcomes):
    """The outcomes of one run."""

    def __init__(
        self,
        inner: Engine,
        crews: Crews,
        max_result: int,
        calls: Iterable[Call | Outcome],
        deadline: float,
        on_event: OnEvent | None,
        hangup_fd: int | None,
    ) -> None:
        """Begin when the first is asked for."""
        super().__init__(self._each())
        self._inner = inner
        self._crews = crews
        self._max_result = max_result
        self._calls = iter(calls)
        self._deadline = deadline
        self._on_event = on_event
        self._hangup_fd = hangup_fd
        self._of_tasks: Outcomes | None = None
        # Of a pipeline, and next.
        self._next: Call | None = None

    @property
    def at_hand(self) -> bool:
        """Whether there is a next one already."""
        return self._of_tasks is not None and self._of_tasks.at_hand

    def _each(self) -> Generator[Outcome, None, None]:
        while True:
            self._next = None
            outcomes = self._inner.run(
                self._tasks(), deadline=self._deadline, on_event=self._on_event, hangup_fd=self._hangup_fd
            )
            with closing(outcomes) as self._of_tasks:
                yield from outcomes
            self._of_tasks = None
            if self._next is None:
                return
            yield self._run(self._next)

    def _tasks(self) -> Iterator[Call | Outcome]:
        """Yield calls up to the next one of a pipeline."""
        for call in self._calls:
            if isinstance(call, Call) and registry.get(call.task).pipeline is not None:
                self._next = call
                return
            yield call

    def _run(self, call: Call) -> Outcome:
        """Run a pipeline once there is room for all its processes.

        The inner engine sees to room as well, but ends a run at its deadline whether it had any or not.
        """
        pipeline = registry.get(call.task).pipeline
        assert pipeline is not None
        attempt = PipelineCall(call, pipeline, self._on_event, self._max_result)

        def waiting() -> None:
            if self._inner.closed:
                raise Stopping
            attempt.tell_that_it_waits()

        size, deadline, hangup_fd = pipeline.processes, self._deadline, self._hangup_fd
        try:
            with self._crews.room(size, deadline, math.inf, hangup_fd, waiting):
                return attempt.run(self._inner, deadline, hangup_fd)
        except CallError as error:  # it did not get any in time
            return attempt.unrun(error)
