"""The engine of one Gunicorn worker: a lazily created pool of processes on this machine.

local    the engine: makes the pool on first use, after the fork of the worker
run      one run in its request's thread: cuts calls into chunks, and waits
intake   the calls of a run that wait; flight: the chunks under way, and what became of them
pool     the processes; turn: a place in the line for them; slots: the CPU budget of the machine
observer what all of these tell whoever counts; occupancy: how much of the machine is taken
process  one pool process seen from here; spawner: where it comes from
-------  sockets, pipes and shared memory: transport
child    what runs in the pool process; capture: what a job prints there; forkserver: what it is forked from
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from service.engine.base import Call, Feed, OnEvent, Outcome, Outcomes
from service.engine.observer import Nobody, Observer
from service.engine.pool import Pool
from service.engine.run import Run
from service.errors import Stopping
from service.settings import Settings
from service.tasks import resources


class LocalEngine:
    """Runs calls on pool processes of this worker; any thread may use it."""

    def __init__(
        self,
        *,
        modules: Sequence[str] = (),
        processes: int,
        cpu_slots: int,
        runtime_dir: Path,
        idle_seconds: float = 60.0,
        recycle_calls: int = 0,
        memory_limit: int | None = None,
        queue_limit: int = 256,
        queue_timeout: float = 10.0,
    ) -> None:
        """Start nothing yet.

        ``modules`` are imported beside the built-in tasks. At most ``processes`` processes live here,
        and at most ``cpu_slots`` calls compute at once among all that share ``runtime_dir``. A process
        ends after ``idle_seconds`` without work or, unless 0, after ``recycle_calls`` calls; it may
        allocate ``memory_limit`` bytes beyond what it starts with. At most ``queue_limit`` runs of all that
        share ``runtime_dir`` wait for a first process, for at most ``queue_timeout`` seconds.
        """
        self._pool_arguments: dict[str, Any] = {
            "modules": tuple(modules),
            "processes": processes,
            "cpu_slots": cpu_slots,
            "runtime_dir": runtime_dir,
            "idle_seconds": idle_seconds,
            "recycle_calls": recycle_calls,
            "memory_limit": memory_limit,
            "queue_limit": queue_limit,
        }
        #: Hears what becomes of calls and processes, if it is set before the first run.
        self.observer: Observer = Nobody()
        self._queue_timeout = queue_timeout
        self._lock = threading.Lock()
        self._pool: Pool | None = None
        self._owner = 0
        self._closed = False

    @classmethod
    def of(
        cls, settings: Settings, *, queue_timeout: float | None = None, observer: Observer | None = None
    ) -> LocalEngine:
        """Make one of the settings; ``queue_timeout`` may be another than the one for requests."""
        engine = cls(
            modules=settings.task_modules,
            processes=settings.pool_processes,
            cpu_slots=settings.cpu_slots,
            runtime_dir=settings.runtime_dir,
            idle_seconds=settings.pool_idle_seconds,
            recycle_calls=settings.pool_recycle_calls,
            memory_limit=settings.memory_limit,
            queue_limit=settings.queue_limit,
            queue_timeout=settings.queue_timeout if queue_timeout is None else queue_timeout,
        )
        engine.observer = observer or engine.observer
        return engine

    def run(
        self,
        calls: Iterable[Call | Outcome] | Feed,
        *,
        deadline: float,
        on_event: OnEvent | None = None,
        hangup_fd: int | None = None,
        together: int = 0,
    ) -> Outcomes:
        """Return one outcome per call, in order of completion; see ``base.Engine``."""
        run = Run(
            self._ensure_pool(),
            calls,
            deadline=deadline,
            queue_timeout=self._queue_timeout,
            on_event=on_event,
            hangup_fd=hangup_fd,
            together=together,
        )
        return run.outcomes()

    def warm(self) -> None:
        """Load the tasks and what they share, now and whenever they are lost, so that calls need not wait.

        A call finds the code that was there when this worker was started, not what replaced it since.
        """
        self._ensure_pool().keep_warm()

    @property
    def ready(self) -> bool:
        """Whether a call need not wait for the tasks, and what they share, to be loaded."""
        pool = self._pool
        return pool.ready if pool is not None else not resources.count()

    @property
    def backlog(self) -> float:
        """Seconds that one more call would wait now before it starts, as far as can be told."""
        pool = self._pool
        return pool.backlog if pool is not None else 0.0

    def _ensure_pool(self) -> Pool:
        pool = self._pool
        if pool is not None and self._owner == os.getpid():
            return pool
        with self._lock:
            if self._closed:
                raise Stopping
            # An engine made before Gunicorn forked its workers has one pool in each of them.
            if self._pool is None or self._owner != os.getpid():
                self._pool, self._owner = self._new_pool(), os.getpid()
            return self._pool

    def _new_pool(self) -> Pool:
        return Pool(**self._pool_arguments, observer=self.observer)

    @property
    def closed(self) -> bool:
        """Whether the engine takes no more work."""
        return self._closed

    def close(self) -> None:
        """Kill what runs and end every process; a second call does nothing."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None and self._owner == os.getpid():
            pool.close()
