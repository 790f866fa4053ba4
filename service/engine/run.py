"""One run: the request's own thread sends chunks to pool processes and collects what comes back.

    calls --> chunk --> pool process --> outcomes --> caller
      ^---- calls taken back, or left by a process that died

The thread takes a first process by standing in line and further ones only while nobody else waits, or when
its turn comes; after each chunk it gives its process up to those who wait. A chunk that takes longer than
expected loses the calls it has not begun to other processes, so that one slow call does not hold up its
neighbours.
"""

from __future__ import annotations

import pickle
import select
import time
from collections import deque
from collections.abc import Generator, Iterable

from service.engine import child
from service.engine.base import Call, Event, OnEvent, Outcome
from service.engine.chunk import Chunk
from service.engine.estimates import CHUNK_BYTES, CHUNK_SECONDS, MAX_CHUNK
from service.engine.intake import Intake, Pending
from service.engine.pool import Pool
from service.engine.process import PoolProcess
from service.engine.spawner import MAX_WAIT, SpawnFailed
from service.engine.turn import Turn
from service.errors import CallError, Cancelled, DeadlineExceeded, NotSerializable, Stopping, TaskCrashed
from service.tasks import registry

#: Nothing more is sent while this many outcomes wait for the caller.
MAX_READY = 4 * MAX_CHUNK


class Run:
    """The state of one run; only one thread may use it."""

    def __init__(
        self,
        pool: Pool,
        calls: Iterable[Call],
        *,
        deadline: float,
        queue_timeout: float,
        on_event: OnEvent | None,
    ) -> None:
        """Prepare; ``outcomes`` does the work."""
        self._pool = pool
        self._intake = Intake(calls)
        self._limit = deadline - time.monotonic()
        self._deadline = deadline
        self._queue_timeout = queue_timeout
        self._on_event = on_event
        self._ready: deque[Outcome] = deque()
        self._chunks: list[Chunk] = []
        self._turn: Turn | None = None
        self._had_turn = False

    def outcomes(self) -> Generator[Outcome, None, None]:
        """Yield the outcomes in order of completion; closing the iterator stops what runs."""
        try:
            while True:
                self._dispatch()
                if self._ready:
                    self._leave_line()  # the caller may take its time
                    while self._ready:
                        yield self._ready.popleft()
                if self._chunks:
                    self._wait()
                elif not self._ready and self._intake.first() is None:
                    return
        finally:
            self._leave_line()
            if self._chunks:
                self._end(self._chunks, Cancelled())

    # Sending

    def _dispatch(self) -> None:
        """Send chunks for as long as there are calls, and processes to be had."""
        while len(self._ready) < MAX_READY and (first := self._intake.first()) is not None:
            if time.monotonic() >= self._deadline:
                self._refuse(DeadlineExceeded(self._limit, started=False))
                return
            task = registry.get(first.call.task)
            # The calls are taken in first: the caller's iterator may take long, or raise.
            most = self._pool.estimates[task.name].chunk(self._intake.remaining, self._pool.width(task.cpu))
            count = self._intake.gather(most)
            try:
                process = self._take(task.cpu)
            except Stopping:
                if not self._had_turn:
                    raise
                self._refuse(Cancelled())
                return
            if process is None:
                return
            self._send(process, task, count)

    def _take(self, cpu: int) -> PoolProcess | None:
        if not self._chunks and not self._ready:
            self._leave_line()
            if self._had_turn:
                return self._pool.take_again(cpu, self._deadline)
            return self._pool.take(cpu, self._deadline, time.monotonic() + self._queue_timeout)
        # A process gives its slot back before this thread hears of it, so slots alone are no bound.
        if len(self._chunks) >= self._pool.width(cpu):
            return None
        try:
            return self._take_one_more(cpu)
        except SpawnFailed:
            return None  # what it has will do for now

    def _take_one_more(self, cpu: int) -> PoolProcess | None:
        """Take a process without waiting: there is something to wait for, or to hand over, already."""
        if self._turn is None or self._turn.cpu != cpu:
            self._leave_line()
            process = self._pool.try_take(cpu, self._deadline)
            if process is not None or not self._chunks:
                return process
            self._turn = self._pool.join(cpu, bounded=False)
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
            self._ready.append(self._intake.take().unrun(error))

    def _send(self, process: PoolProcess, task: registry.Task, count: int) -> None:
        """Send the next chunk to a process that was taken, with its slot, for it."""
        try:
            process.begin()
        except OSError as error:
            self._discard(process)
            raise SpawnFailed(f"no memory can be shared: {error.strerror}") from error
        calls = self._pack(process, count)
        if not calls:
            process.give_slot_back()
            self._pool.give_back(process)
            return
        sent = time.monotonic()
        try:
            process.send(task.name, len(calls), self._deadline, slot=task.cpu > 0)
        except ConnectionError:  # it died while it was idle
            self._discard(process)
            self._intake.put_back(calls)
            return
        self._had_turn = True
        patience = self._pool.estimates[task.name].patience(len(calls))
        self._chunks.append(Chunk(process, task.name, calls, sent, patience, self._pool.memory_limit))

    def _pack(self, process: PoolProcess, count: int) -> list[Pending]:
        """Put up to ``count`` calls into a process's memory; one that can't be sent is answered at once."""
        calls: list[Pending] = []
        size = 0
        for _ in range(count):
            pending = self._intake.take()
            try:
                size = process.add(pending.call.args)
            except Exception as error:  # noqa: BLE001 - pickling runs code of the user's
                reason = f"{type(error).__name__}: {error}"
                self._ready.append(pending.unrun(NotSerializable("arguments", reason)))
            else:
                calls.append(pending)
            if size > CHUNK_BYTES:
                break
        self._intake.sent(len(calls), full=size > CHUNK_BYTES)
        return calls

    def _discard(self, process: PoolProcess) -> None:
        process.kill()
        self._pool.forget(process)

    # Receiving

    def _wait(self) -> None:
        """Wait until something happens, and handle it."""
        if len(self._chunks) == 1 and self._hear(self._chunks[0]):
            return  # a short call is often over before this thread goes on
        now = time.monotonic()
        look = min(self._deadline, now + MAX_WAIT)
        if self._intake.known:
            look = min(look, now + CHUNK_SECONDS)  # a process may have become free for it
        for chunk in self._chunks:
            look = min(look, chunk.next_look(now))
        self._listen(max(0.0, look - now))
        if (now := time.monotonic()) < look:
            return
        if now >= self._deadline:
            self._end(self._chunks, DeadlineExceeded(self._limit, started=True))
        for chunk in tuple(self._chunks):
            self._look_after(chunk, now)

    def _listen(self, seconds: float) -> None:
        poll = select.poll()
        speakers: dict[int, Chunk] = {}
        for chunk in self._chunks:
            # A process that died may have left its end of the socket to a child of its own.
            for fd in (chunk.process.fileno(), chunk.process.pidfd):
                poll.register(fd, select.POLLIN)
                speakers[fd] = chunk
        if self._turn is not None:
            for fd in self._turn.filenos():
                poll.register(fd, select.POLLIN)
        heard = {speakers.get(fd) for fd, _ in poll.poll(seconds * 1000)}
        if None in heard and self._turn is not None:
            self._turn.hear()
        for chunk in self._chunks[:]:
            if chunk in heard and not self._hear(chunk):
                self._lose(chunk)

    def _hear(self, chunk: Chunk) -> bool:
        """Handle a message, and tell whether there was one."""
        kind, content = chunk.process.receive()
        if kind is None:
            return False
        if kind == child.KIND_EVENT:
            self._tell(chunk, content)
        elif kind == child.KIND_DONE:
            if content < chunk.kept:
                self._intake.put_back(chunk.take_back())
            self._ready.extend(chunk.read())
            self._finish(chunk)
        else:
            self._lose(chunk)
        return True

    def _tell(self, chunk: Chunk, content: bytes) -> None:
        if self._on_event is None:
            return
        number, position, kind, data = pickle.loads(content)
        # A thread that a call left behind may speak up after its end.
        if number == chunk.process.number and chunk.done <= position < chunk.kept:
            self._on_event(Event(chunk.calls[position].call.index, kind, data))

    def _look_after(self, chunk: Chunk, now: float) -> None:
        """See to a chunk from which nothing was heard: read what is done, mind its limits."""
        self._ready.extend(chunk.read())
        if now >= chunk.late and chunk.kept - chunk.done > 1 and chunk.started is not None:
            self._pool.estimates[chunk.task].learn(now - chunk.started)
            self._intake.put_back(chunk.take_back())
        if chunk.overdue(now) is None:
            return
        # Once the rest is taken back it can't begin another call, which would be killed in its place.
        self._intake.put_back(chunk.take_back())
        self._ready.extend(chunk.read())
        if (limit := chunk.overdue(now)) is not None:
            self._end([chunk], DeadlineExceeded(limit, started=True))

    # Ending

    def _finish(self, chunk: Chunk) -> None:
        """Give the process of a chunk that is through back."""
        self._chunks.remove(chunk)
        if chunk.done:
            self._pool.estimates[chunk.task].learn(chunk.spent / chunk.done)
        self._pool.give_back(chunk.process)

    def _lose(self, chunk: Chunk) -> None:
        """Handle the death of a process."""
        if self._pool.closed:
            self._end([chunk], Cancelled())
        elif time.monotonic() >= self._deadline:  # the housekeeper was first
            self._end([chunk], DeadlineExceeded(self._limit, started=True))
        else:
            self._end([chunk], None)

    def _end(self, chunks: Iterable[Chunk], error: CallError | None) -> None:
        """Kill the processes that live; the calls that ran get ``error``, or how their process died."""
        chunks = tuple(chunks)
        for chunk in chunks:
            chunk.process.send_kill()
        for chunk in chunks:
            process = chunk.process
            back = chunk.kill()
            self._ready.extend(chunk.read())
            if chunk.done < chunk.kept:
                cause = error or TaskCrashed(process.pid, process.exit_code())
                self._ready.append(chunk.outcome_of_running(cause))
            self._intake.put_back(back)
            self._chunks.remove(chunk)
            self._pool.forget(process)
