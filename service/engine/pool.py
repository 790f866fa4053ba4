"""The pool processes of one Gunicorn worker, and the line of those who wait for one.

A request's thread takes a process out, like a database connection, and puts it back. A process that
computes also needs one of the CPU slots that all workers share. Threads wait in line, first come, first
served; the first in line for a slot is the one that competes for it with the other workers.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from service.engine.estimates import Estimate
from service.engine.process import PoolProcess
from service.engine.slots import Slots
from service.engine.spawner import Spawner
from service.errors import Saturated, Stopping

#: Seconds between two looks for processes that have been idle, or busy, for too long.
HOUSEKEEPING = 0.25
#: Seconds for idle processes to end by themselves when the pool is closed.
CLOSE_PATIENCE = 1.0


class Line:
    """Threads that wait for the same thing, first come, first served."""

    def __init__(self, limit: int) -> None:
        """Let at most ``limit`` threads wait."""
        self._limit = limit
        self._lock = threading.Lock()
        self._turns: deque[threading.Event] = deque()

    @property
    def waiting(self) -> int:
        """How many threads stand in line."""
        return len(self._turns)

    @contextmanager
    def turn(self, until: float, *, bounded: bool = True) -> Iterator[bool]:
        """Stand in line; the body runs when it is this thread's turn, or with ``False`` when time is up."""
        mine = threading.Event()
        with self._lock:
            if bounded and len(self._turns) >= self._limit:
                msg = f"{len(self._turns)} runs wait already"
                raise Saturated(msg, retry_after=1.0)
            self._turns.append(mine)
            if self._turns[0] is mine:
                mine.set()
        try:
            yield mine.wait(max(0.0, until - time.monotonic()))
        finally:
            with self._lock:
                self._turns.remove(mine)
                if self._turns:
                    self._turns[0].set()


class Pool:
    """Grows under demand up to ``processes``, shrinks when idle."""

    def __init__(
        self,
        *,
        modules: Sequence[str],
        processes: int,
        cpu_slots: int,
        runtime_dir: Path,
        idle_seconds: float,
        recycle_calls: int,
        memory_limit: int | None,
        queue_limit: int,
    ) -> None:
        """Start nothing yet but the housekeeper."""
        self.memory_limit = memory_limit
        #: What is known of each task's cost.
        self.estimates: defaultdict[str, Estimate] = defaultdict(Estimate)
        self.slots = Slots(runtime_dir, cpu_slots)
        #: Lines of the calls that compute, and of those that mostly wait.
        self.lines = {1: Line(queue_limit), 0: Line(queue_limit)}
        # A few processes are kept for calls that compute, or sleepers could lock them out.
        self._limits = {1: processes, 0: max(1, processes - min(cpu_slots, processes // 2))}
        self._idle_seconds = idle_seconds
        self._recycle_calls = recycle_calls
        self._spawner = Spawner(modules, memory_limit)
        self._idle: deque[PoolProcess] = deque()
        self._busy: set[PoolProcess] = set()
        self._starting = 0
        self._lock = threading.Lock()
        #: A process was given back, or the pool closed.
        self._free = threading.Condition(self._lock)
        self._closed = threading.Event()
        threading.Thread(target=self._keep_house, name="pool-housekeeper", daemon=True).start()

    def width(self, cpu: int) -> int:
        """Return how many processes a run may have at best."""
        return self.slots.count if cpu else self._limits[0]

    @property
    def size(self) -> int:
        """How many processes there are, or are being started."""
        return len(self._idle) + len(self._busy) + self._starting

    # Taking and giving back

    def take(self, cpu: int, until: float, queued_until: float) -> PoolProcess | None:
        """Wait in line for a process, and for a slot if ``cpu`` is 1; ``None`` when the deadline came first.

        Raises ``Saturated`` when the line is full or the wait takes beyond ``queued_until``.
        """
        if (process := self.try_take(cpu, until)) is not None:
            return process
        patience = min(until, queued_until)
        with self.lines[cpu].turn(patience) as my_turn:
            process = self._take_now(cpu, patience) if my_turn else None
        if process is None and time.monotonic() < until:
            self._check_open()
            msg = "no CPU became free in time"
            raise Saturated(msg, retry_after=1.0)
        return process

    def _take_now(self, cpu: int, until: float) -> PoolProcess | None:
        process = self._process(cpu, until)
        if process is None or not cpu or self.slots.acquire(process.holder, until, self._closed.is_set):
            return process
        self.give_back(process)
        return None

    def take_again(self, cpu: int, until: float) -> PoolProcess | None:
        """Wait like ``take``, for a run that had a turn already: behind the others, but never refused."""
        if cpu:
            self.slots.give_way()
        with self.lines[cpu].turn(until, bounded=False) as my_turn:
            return self._take_now(cpu, until) if my_turn else None

    def try_take(self, cpu: int, until: float) -> PoolProcess | None:
        """Take one more process if nobody waits for it and all it needs is free."""
        if self.contended(cpu):
            return None
        process = self._process(cpu, until, wait=False)
        if process is None or not cpu or self.slots.try_acquire(process.holder):
            return process
        self.give_back(process)
        return None

    def contended(self, cpu: int) -> bool:
        """Tell whether somebody, in this worker or another, waits for what a process of this kind holds."""
        return self.lines[cpu].waiting > 0 or (cpu > 0 and self.slots.contended)

    def _process(self, cpu: int, until: float, *, wait: bool = True) -> PoolProcess | None:
        """Return an idle process or a new one, if need be after waiting for a place."""
        with self._lock:
            while len(self._busy) + self._starting >= self._limits[cpu]:
                self._check_open()
                if not wait or not self._free.wait(until - time.monotonic()):
                    return None
            self._check_open()
            if self._idle:
                # The one used last has the warmest caches, and the others may grow old enough to be ended.
                process = self._idle.pop()
                self._busy.add(process)
                return process
            self._starting += 1
        return self._start(until)

    def _start(self, until: float) -> PoolProcess | None:
        process = None
        try:
            process = PoolProcess(self._spawner, self.slots.open(), until)
        except TimeoutError:
            return None
        finally:
            with self._lock:
                self._starting -= 1
                if process is not None:
                    self._busy.add(process)
                else:
                    self._free.notify()
        return process

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Stopping

    def give_back(self, process: PoolProcess) -> None:
        """Keep a process for the next call, or let it go if it has served long enough."""
        with self._lock:
            self._busy.discard(process)
            process.idle_since, process.deadline = time.monotonic(), math.inf
            if self._closed.is_set() or process.worn or 0 < self._recycle_calls <= process.calls:
                process.close()
            else:
                self._idle.append(process)
            self._free.notify()

    def discard(self, process: PoolProcess) -> None:
        """Kill a process and forget it."""
        process.kill()
        with self._lock:
            self._busy.discard(process)
            process.close()
            self._free.notify()

    # Shrinking and ending

    def _keep_house(self) -> None:
        while not self._closed.wait(HOUSEKEEPING):
            now = time.monotonic()
            with self._lock:
                while self._idle and self._idle[0].idle_since < now - self._idle_seconds:
                    self._idle.popleft().close()
                for process in self._busy:
                    # Its thread is late: it waits for a client that reads slowly.
                    if process.deadline < now - HOUSEKEEPING:
                        process.send_kill()

    @property
    def closed(self) -> bool:
        """Whether the pool takes no more work."""
        return self._closed.is_set()

    def close(self) -> None:
        """End every process; threads that use or want one get ``Stopping`` or a dead process."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            idle = list(self._idle)
            self._idle.clear()
            for process in self._busy:
                process.send_kill()
            self._free.notify_all()
        for process in idle:
            process.stop()
        until = time.monotonic() + CLOSE_PATIENCE
        for process in idle:
            process.wait(until - time.monotonic())
            process.close()
        self._spawner.close()
        with self._lock:
            unused = self._free.wait_for(self._unused, until - time.monotonic())
        if unused:
            self.slots.close()

    def _unused(self) -> bool:
        return not self._busy and not self._starting and not any(line.waiting for line in self.lines.values())
