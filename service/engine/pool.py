"""The pool processes of one Gunicorn worker.

A request's thread takes a process out, like a database connection, and puts it back. A process that
computes also needs one of the CPU slots that all workers share. Who finds nothing free stands in line
(``turn``), first come, first served.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from service.engine.crews import Crews
from service.engine.estimates import Estimate, Mean, Remembered
from service.engine.observer import Observer, Reason
from service.engine.occupancy import places_to_wait
from service.engine.process import PoolProcess
from service.engine.slots import RESCAN, Holder, Slots
from service.engine.spawner import ForkServerDied, Spawner, SpawnFailed
from service.engine.turn import Turn, check_connected
from service.engine.warmer import Warmer
from service.errors import Saturated, Stopping

#: Seconds between two looks for processes that have been idle, or busy, for too long.
HOUSEKEEPING = 0.25
#: Seconds for which a look at who waits in other workers is good enough; short calls would look too often.
ASK_SECONDS = 0.001
#: Seconds for which a count of all who wait is good enough; it takes a system call a place.
COUNT_SECONDS = 0.01
#: Seconds after which an idle process gives back the memory of its last messages.
TRIM_SECONDS = 5.0
#: How many times longer than expected a wait may take and still be in time.
ROOM = 2.0
#: Seconds for idle processes to end by themselves when the pool is closed.
CLOSE_PATIENCE = 1.0


def for_waiting(processes: int, cpu_slots: int) -> int:
    """Return how many processes calls may have that take no slot.

    The others are kept for calls that compute, or sleepers could lock them out.
    """
    return max(1, processes - min(cpu_slots, processes // 2))


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
        observer: Observer,
    ) -> None:
        """Start nothing yet but the housekeeper."""
        #: Hears what becomes of runs and processes.
        self.observer = observer
        self.memory_limit = memory_limit
        #: What is known of each task's cost.
        self.estimates: defaultdict[str, Estimate] = defaultdict(Estimate)
        self.slots = slots = Slots(runtime_dir, cpu_slots)
        #: Streams under way.
        self.streams = 0
        #: Seconds for which a run keeps a slot before it gives way.
        self.turns = Mean()
        # The places of all who wait, in whatever worker, for a first process.
        self._places = places = places_to_wait(runtime_dir, queue_limit)
        #: Lines of the runs that want to compute, and of those that mostly wait.
        self.lines: dict[int, deque[Turn]] = {1: deque(), 0: deque()}
        self._limits = {1: processes, 0: for_waiting(processes, cpu_slots)}
        self._idle_seconds = idle_seconds
        self._recycle_calls = recycle_calls
        # They have room of their own, or a pipeline could wait for a process that sleepers have.
        self._crews = Crews(processes)
        #: How many of those busy and starting are of crews.
        self._in_crews = 0
        self._spawner = Spawner(modules, memory_limit, cpu_slots)
        self._idle: deque[PoolProcess] = deque()
        self._busy: set[PoolProcess] = set()
        self._starting = 0
        self._warmer: Warmer | None = None
        self._others_wait = Remembered(ASK_SECONDS, lambda: slots.contended)
        self._waiting = Remembered(COUNT_SECONDS, lambda: places.taken)
        #: Guards everything above that changes.
        self.lock = threading.Lock()
        self._closed = threading.Event()
        _pools.add(self)
        threading.Thread(target=self._keep_house, name="pool-housekeeper", daemon=True).start()

    def check_streams(self) -> None:
        """Raise ``Saturated`` when as many streams as may be are under way: each keeps its process."""
        if self.streams >= self._limits[0]:
            raise Saturated(f"{self.streams} streams are under way already", retry_after=self.backlog)

    def count_stream(self, change: int) -> None:
        """Note that a stream begins (1) or ends (-1)."""
        with self.lock:
            self.streams += change

    def width(self, cpu: int) -> int:
        """Return how many processes a run may have at best."""
        return self.slots.count if cpu else self._limits[0]

    # Taking

    def take(self, cpu: int, until: float, queued_until: float, hangup_fd: int | None) -> PoolProcess | None:
        """Wait for a process, and for a slot if ``cpu`` is 1; ``None`` when the deadline came first.

        ``try_take`` should have been tried. Raises ``Saturated`` when all places to wait are taken or the
        wait takes, or would take, beyond ``queued_until``, ``Stopping`` when the pool is closed,
        ``Abandoned`` when ``hangup_fd`` is hung up, and what ``Spawner.spawn`` raises.
        """
        began, last = time.monotonic(), min(until, queued_until)
        place = self._take_place(last if cpu else math.inf)
        process = self._wait(cpu, last, hangup_fd, place)
        if process is None and (now := time.monotonic()) < until:
            # Whoever comes next waits no less than this one did.
            raise Saturated("no CPU became free in time", retry_after=max(self.backlog, now - began))
        return process

    def take_again(self, cpu: int, until: float, hangup_fd: int | None) -> PoolProcess | None:
        """Wait like ``take``, for a run that had a turn already: behind the others, but never refused."""
        return self._wait(cpu, until, hangup_fd, None)

    def _take_place(self, last: float) -> Holder:
        """Take one of the places for those who wait, if the wait should end by ``last``."""
        left = last - time.monotonic()
        # An estimate, so there is some room: who is let in and does not get a turn has waited in vain. With
        # short calls it is known without counting who waits.
        if 0 < left < ROOM * self._backlog(self._places.count) and left < ROOM * self.backlog:
            raise Saturated(f"calls have to wait for {self.backlog:.1f} seconds", retry_after=self.backlog)
        if (place := self._places.try_take()) is None:
            raise Saturated(f"{self._places.count} requests wait already", retry_after=self.backlog)
        return place

    @property
    def backlog(self) -> float:
        """Seconds that one more run would wait for a slot, going by how long others kept theirs."""
        # Runs that had a turn already wait without a place.
        return self._backlog(max(self._waiting(), len(self.lines[1])))

    def _backlog(self, waiting: int) -> float:
        return waiting * self.turns.value / self.slots.count

    def _wait(
        self, cpu: int, until: float, hangup_fd: int | None, place: Holder | None
    ) -> PoolProcess | None:
        if cpu:
            # A slot that is free now was given back for somebody who waits and is not there yet.
            self.slots.give_way()
        with closing(self.join(cpu, place)) as turn:
            while (process := turn.try_take(until)) is None:
                left = until - time.monotonic()
                if left <= 0:
                    return None
                check_connected(hangup_fd)
                turn.wait(min(left, RESCAN))
        return process

    def join(self, cpu: int, place: Holder | None = None) -> Turn:
        """Stand in line; ``place`` is given back at the end of it."""
        try:
            turn = Turn(self, cpu, place)
        except BaseException:  # too many open files, for one
            if place is not None:
                place.close()
            raise
        with self.lock:
            self.lines[cpu].append(turn)
        return turn

    def try_take(self, cpu: int, until: float) -> PoolProcess | None:
        """Take a process if nobody waits for one and all it needs is free."""
        self.check_open()
        if self.lines[cpu] or (cpu and self._others_wait()):
            return None
        process = self.process(cpu, until)
        if process is None or not cpu or process.holder.try_acquire():
            return process
        self.give_back(process)
        return None

    def process(self, cpu: int, until: float) -> PoolProcess | None:
        """Return an idle process or a new one; ``None`` when there are too many, or at ``until``."""
        with self.lock:
            self.check_open()
            if len(self._busy) + self._starting - self._in_crews >= self._limits[cpu]:
                return None
            if (process := self._idle_one()) is not None:
                return process
            self._starting += 1
        return self._start(until)

    def crew(
        self, size: int, until: float, queued_until: float, hangup_fd: int | None
    ) -> contextlib.AbstractContextManager[None]:
        """Have room for ``size`` processes that need each other; see ``Crews.room``."""
        return self._crews.room(size, until, queued_until, hangup_fd, self.check_open)

    def crew_process(self, until: float) -> PoolProcess | None:
        """Return an idle process or a new one, for which there is room; ``None`` at ``until``."""
        with self.lock:
            self.check_open()
            self._in_crews += 1
            if (process := self._idle_one()) is not None:
                process.in_crew = True
                return process
            self._starting += 1
        try:
            process = self._start(until, in_crew=True)
        finally:
            if process is None:
                with self.lock:
                    self._in_crews -= 1
        return process

    def _idle_one(self) -> PoolProcess | None:
        if not self._idle:
            return None
        # The one used last has the warmest caches, and the others may grow old enough to be ended.
        process = self._idle.pop()
        self._busy.add(process)
        return process

    def _no_longer_busy(self, process: PoolProcess) -> None:
        if process in self._busy and process.in_crew:
            self._in_crews -= 1
            process.in_crew = False
        self._busy.discard(process)

    def _start(self, until: float, *, in_crew: bool = False) -> PoolProcess | None:
        process = None
        try:
            try:
                process = PoolProcess(self._spawner, self.slots, until)
            except ForkServerDied:
                process = PoolProcess(self._spawner, self.slots, until)  # there is another by now
        except TimeoutError:
            return None
        except SpawnFailed:
            self.check_open()  # closing ends the fork server
            raise
        except OSError as error:
            raise SpawnFailed(f"no process can be had: {error.strerror}") from error
        finally:
            with self.lock:
                self._starting -= 1
                if process is not None:
                    process.in_crew = in_crew
                    self._busy.add(process)
                self._call_next()
        self.observer.process_started()
        return process

    def keep_warm(self) -> None:
        """From now on, load the tasks and what they share whenever they are not there."""
        self._warmer = Warmer(self._spawner, self._closed)
        self._warmer.see_to_it()

    @property
    def ready(self) -> bool:
        """Whether a call need not wait for the tasks, and what they share, to be loaded."""
        return self._spawner.ready

    def check_open(self) -> None:
        """Raise ``Stopping`` once the pool is closed."""
        if self._closed.is_set():
            raise Stopping

    # Giving back

    def give_back(self, process: PoolProcess) -> None:
        """Keep a process for the next call, or let it go if it has served long enough."""
        with self.lock:
            self._no_longer_busy(process)
            process.idle_since, process.deadline = time.monotonic(), math.inf
            process.trimmed = False
            if self._closed.is_set() or process.worn or 0 < self._recycle_calls <= process.calls:
                self._dismiss(process, "recycled")
            else:
                self._idle.append(process)
            self._call_next()

    def forget(self, process: PoolProcess, reason: Reason) -> None:
        """Let go of a process that was killed, or died."""
        with self.lock:
            self._no_longer_busy(process)
            self._dismiss(process, reason)
            self._call_next()

    def _dismiss(self, process: PoolProcess, reason: Reason) -> None:
        process.close()
        self.observer.process_ended("closed" if self._closed.is_set() else reason)

    def _call_next(self) -> None:
        """Have the first of each line look again: there may be room for another process."""
        for line in self.lines.values():
            if line:
                line[0].call()

    # Shrinking and ending

    def _keep_house(self) -> None:
        while not self._closed.wait(HOUSEKEEPING):
            now = time.monotonic()
            if self._warmer is not None:
                self._warmer.see_to_it()
            with self.lock:
                while self._idle and self._idle[0].idle_since < now - self._idle_seconds:
                    self._dismiss(self._idle.popleft(), "idle")
                for process in self._idle:
                    if not process.trimmed and process.idle_since + TRIM_SECONDS < now:
                        process.trim()
                for process in tuple(self._busy):
                    self._look_after(process, now)

    def _look_after(self, process: PoolProcess, now: float) -> None:
        """Do what the thread of a run should do, but may be late with: its client reads slowly."""
        if process.wait(0):
            self._no_longer_busy(process)
            process.give_slot_back()
            self._call_next()
        elif process.deadline < now - HOUSEKEEPING:
            process.send_kill()

    @property
    def closed(self) -> bool:
        """Whether the pool takes no more work."""
        return self._closed.is_set()

    def close(self) -> None:
        """End every process; threads that use or want one get ``Stopping`` or a dead process."""
        with self.lock:
            if self._closed.is_set():
                return
            self._closed.set()
            idle = list(self._idle)
            self._idle.clear()
            for process in self._busy:
                process.send_kill()
            self._call_next()
        for process in idle:
            process.stop()
        until = time.monotonic() + CLOSE_PATIENCE
        for process in idle:
            process.wait(until - time.monotonic())
            self._dismiss(process, "closed")
        self._spawner.close()

    def let_go(self) -> None:
        """Close every descriptor without a word, as a fork of the owner must: they are not its own."""
        self._closed.set()
        self._spawner.let_go()
        for process in (*self._idle, *self._busy):
            process.close()


#: The pools of this process. A fork of it would keep their processes alive, and their slots taken.
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _let_go_of_all() -> None:
    for pool in tuple(_pools):
        pool.let_go()


os.register_at_fork(after_in_child=_let_go_of_all)
