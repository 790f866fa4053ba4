"""One run: the request's own thread sends chunks to pool processes and collects what comes back.

    calls --> chunk --> pool process --> outcomes --> caller
      ^---- calls taken back, or left by a process that died

The thread takes a first process by standing in line and further ones only while nobody else waits, or when
its turn comes; after each chunk it gives its process up to those who wait. A chunk that takes longer than
expected loses the calls it has not begun to other processes, so that one slow call does not hold up its
neighbours.
"""

from __future__ import annotations

import select
import time
from collections.abc import Generator, Iterable

from service.engine.base import Call, Feed, OnEvent, Outcome, Outcomes
from service.engine.chunk import Chunk
from service.engine.estimates import CHUNK_BYTES, CHUNK_SECONDS, MAX_CHUNK
from service.engine.flight import Flight
from service.engine.intake import MAX_READY, Intake, Pending
from service.engine.observer import Reason
from service.engine.pool import Pool
from service.engine.problems import kind_of
from service.engine.process import FAR, PoolProcess
from service.engine.spawner import MAX_WAIT, SpawnFailed
from service.engine.turn import Turn, check_connected
from service.errors import (
    Abandoned,
    CallError,
    Cancelled,
    ConfigurationError,
    DeadlineExceeded,
    EngineUnavailable,
    NotSerializable,
    Stopping,
)
from service.tasks import registry

#: How many times its usual time a call may take and still end in time, when it starts as late as it may.
LEEWAY = 1.5


class Run:
    """The state of one run; only one thread may use it."""

    def __init__(
        self,
        pool: Pool,
        calls: Iterable[Call | Outcome] | Feed,
        *,
        deadline: float,
        queue_timeout: float,
        on_event: OnEvent | None,
        hangup_fd: int | None,
        together: int,
    ) -> None:
        """Prepare; ``outcomes`` does the work."""
        self._pool = pool
        self._intake = Intake(calls)
        self._flight = Flight(pool, self._intake, deadline, on_event)
        self._ready = self._intake.ready
        self._deadline = deadline
        self._queue_timeout = queue_timeout
        self._hangup_fd = hangup_fd
        self._together = together
        self._turn: Turn | None = None
        self._had_turn = False

    def outcomes(self) -> Outcomes:
        """Return the outcomes in order of completion; closing the iterator stops what runs."""
        return Outcomes(self._of_crew() if self._together else self._outcomes(), self._ready)

    def _of_crew(self) -> Generator[Outcome, None, None]:
        queued_until = time.monotonic() + self._queue_timeout
        with self._pool.crew(self._together, self._deadline, queued_until, self._hangup_fd):
            yield from self._outcomes()

    def _outcomes(self) -> Generator[Outcome, None, None]:
        try:
            yield from self._one_by_one()
        except (Abandoned, ConfigurationError, EngineUnavailable) as error:
            if (head := self._intake.head) is not None and head.post is None:
                self._flight.observer.refused(head.task, kind_of(error).slug)
            raise
        finally:
            self._leave_line()
            try:
                if self._flight.chunks:
                    self._flight.end(self._flight.chunks, Cancelled())
            finally:
                self._flight.observer.over()

    def _one_by_one(self) -> Generator[Outcome, None, None]:
        while True:
            self._dispatch()
            if self._ready:
                self._leave_line()  # the caller may take its time
                if len(self._ready) >= MAX_READY:
                    check_connected(self._hangup_fd)  # nothing but refused calls: nobody has looked
                while self._ready:
                    yield self._ready.popleft()
                if self._intake.starved is not None:
                    continue  # whoever feeds it may have more by now, because of what it got
            if self._flight.chunks or self._may_get_more():
                self._wait()
            elif self._intake.first() is None and not self._ready:
                return

    def _may_get_more(self) -> bool:
        return self._intake.starved is not None and time.monotonic() < self._deadline

    # Sending

    def _dispatch(self) -> None:
        """Send chunks for as long as there are calls, and processes to be had."""
        while len(self._ready) < MAX_READY and (first := self._intake.first()) is not None:
            if time.monotonic() >= self._deadline:
                self._refuse(DeadlineExceeded(self._flight.limit, started=False))
                return
            task = registry.get(first.call.task)
            if first.call.stream:
                self._pool.check_streams()
            if first.call.post is not None:
                if not self._send_post():
                    return
                continue
            # The calls are taken in first: the caller's iterator may take long, or raise.
            most = self._pool.estimates[task.name].chunk(self._intake.remaining, self._pool.width(task.cpu))
            count = self._intake.gather(most)
            try:
                process = self._take(task)
            except Stopping:
                if not self._had_turn:
                    raise
                self._refuse(Cancelled())
                return
            if process is None:
                return
            self._send(process, slot=task.cpu > 0, count=count)

    def _send_post(self) -> bool:
        """Have a process fill a post; there is room for it, so only the deadline may come first."""
        process = self._pool.crew_process(self._deadline)
        if process is not None:
            self._send(process, slot=False, count=1)
        return process is not None

    def _take(self, task: registry.Task) -> PoolProcess | None:
        if not self._flight.chunks and not self._ready:
            self._leave_line()
            if self._had_turn:
                return self._pool.take_again(task.cpu, self._deadline, self._hangup_fd)
            return self._pool.try_take(task.cpu, self._deadline) or self._wait_in_line(task)
        # A process gives its slot back before this thread hears of it, so slots alone are no bound.
        if len(self._flight.chunks) >= self._pool.width(task.cpu):
            return None
        try:
            return self._take_one_more(task.cpu)
        except SpawnFailed:
            return None  # what it has will do for now

    def _wait_in_line(self, task: registry.Task) -> PoolProcess | None:
        """Wait for a first process.

        A call that can't be expected to end in time would only take time from others. Calls of a task
        may differ, so half of the time is for waiting, whatever earlier ones took.
        """
        needed = min(LEEWAY * self._pool.estimates[task.name].usual, self._flight.limit / 2)
        last_start = min(time.monotonic() + self._queue_timeout, self._deadline - needed)
        return self._pool.take(task.cpu, self._deadline, last_start, self._hangup_fd)

    def _take_one_more(self, cpu: int) -> PoolProcess | None:
        """Take a process without waiting: there is something to wait for, or to hand over, already."""
        if self._turn is None or self._turn.cpu != cpu:
            self._leave_line()
            process = self._pool.try_take(cpu, self._deadline)
            if process is not None or not self._flight.chunks:
                return process
            self._turn = self._pool.join(cpu)
        process = self._turn.try_take(self._deadline)
        if process is not None:
            self._leave_line()
        return process

    def _leave_line(self) -> None:
        if self._turn is not None:
            self._turn.close()
            self._turn = None

    def _refuse(self, error: CallError) -> None:
        """Answer what is pending, and a part of what is still to come, without running it."""
        for _ in range(MAX_CHUNK):
            if self._intake.first() is None:
                return
            self._flight.refuse(self._intake.take(), error)

    def _send(self, process: PoolProcess, *, slot: bool, count: int) -> None:
        """Send the next chunk to a process that was taken, with its slot, for it."""
        try:
            process.begin()
        except OSError as error:
            self._discard(process, "killed")
            raise SpawnFailed(f"no memory can be shared: {error.strerror}") from error
        calls = self._pack(process, count)
        if not calls:
            process.give_slot_back()
            self._pool.give_back(process)
            return
        sent = time.monotonic()
        first = calls[0].call
        try:
            process.send(first, len(calls), self._deadline, slot=slot)
        except ConnectionError:  # it died while it was idle
            self._discard(process, "crashed")
            self._intake.put_back(calls)
            return
        except OSError as error:  # a part of it may be on its way
            self._discard(process, "killed")
            raise SpawnFailed(f"no descriptors can be sent: {error.strerror}") from error
        self._had_turn = True
        patience = self._pool.estimates[first.task].patience(len(calls))
        chunk = Chunk(process, first.task, calls, sent, patience, self._pool.memory_limit)
        self._flight.add(chunk)

    def _pack(self, process: PoolProcess, count: int) -> list[Pending]:
        """Put up to ``count`` calls into a process's memory; one that can't be sent is answered at once."""
        calls: list[Pending] = []
        size = 0
        for _ in range(count):
            pending = self._intake.take()
            call = pending.call
            try:
                size = process.add(call)
            except Exception as error:  # noqa: BLE001 - pickling runs code of the user's
                reason = f"{type(error).__name__}: {error}"
                self._flight.refuse(pending, NotSerializable("arguments", reason))
            else:
                calls.append(pending)
            if size > CHUNK_BYTES:
                break
        self._intake.sent(len(calls), full=size > CHUNK_BYTES)
        return calls

    def _discard(self, process: PoolProcess, reason: Reason) -> None:
        process.kill()
        self._pool.forget(process, reason)

    # Receiving

    def _wait(self) -> None:
        """Wait until something happens, and handle it."""
        chunks, now = self._flight.chunks, time.monotonic()
        if len(chunks) == 1 and chunks[0].is_new:
            # A short call is over in less time than the looking after it would take.
            chunks[0].is_new = False
            alone = self._turn is None and now + FAR < self._deadline
            if self._flight.hear(chunks[0], wait=alone and chunks[0].should_be_short):
                return
            now = time.monotonic()
        look = min(self._deadline, now + MAX_WAIT, self._flight.next_look)
        if self._intake.known:
            look = min(look, now + CHUNK_SECONDS)  # a process may have become free for it
        self._listen(max(0.0, look - now))
        if (now := time.monotonic()) >= look:
            self._flight.look_after(now)

    def _listen(self, seconds: float) -> None:
        poll = select.poll()
        speakers: dict[int, Chunk] = {}
        for chunk in self._flight.chunks:
            # A process that died may have left its end of the socket to a child of its own.
            for fd in (chunk.process.fileno(), chunk.process.pidfd):
                poll.register(fd, select.POLLIN)
                speakers[fd] = chunk
        if self._turn is not None:
            for fd in self._turn.filenos():
                poll.register(fd, select.POLLIN)
        if self._intake.starved is not None:
            poll.register(self._intake.starved, select.POLLIN)
        if self._hangup_fd is not None:
            poll.register(self._hangup_fd, select.POLLRDHUP)
        for fd, _ in poll.poll(seconds * 1000):
            self._hear(fd, speakers.get(fd))

    def _hear(self, fd: int, speaker: Chunk | None) -> None:
        if fd == self._hangup_fd:
            raise Abandoned
        if speaker is None:
            if self._turn is not None:
                self._turn.hear()
        elif speaker in self._flight.chunks and not self._flight.hear(speaker):
            self._flight.lose(speaker)
