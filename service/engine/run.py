"""One run: the request's own thread sends chunks to pool processes and collects what comes back.

    calls --> chunk --> pool process --> outcomes --> caller
      ^---- calls taken back, or left by a process that died

The thread takes a first process by standing in line and further ones only while nobody else waits; after
each chunk it gives its process up to those who wait. A chunk that takes longer than expected loses the
calls it has not begun to other processes, so that one slow call does not hold up its neighbours.
"""

from __future__ import annotations

import operator
import pickle
import select
import time
from collections import deque
from collections.abc import Generator, Iterable

from service.engine import child
from service.engine.base import Call, Event, OnEvent, Outcome
from service.engine.chunk import Chunk, Pending
from service.engine.estimates import CHUNK_SECONDS, MAX_CHUNK
from service.engine.pool import Pool
from service.engine.process import PoolProcess
from service.errors import CallError, Cancelled, DeadlineExceeded, NotSerializable, Stopping, TaskCrashed
from service.tasks import registry

#: A call whose process dies this often before any call was begun is given up.
MAX_TRIES = 3
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
        self._calls = iter(calls)
        #: Calls still in the iterator, 0 when nobody knows.
        self._left = operator.length_hint(calls, 0)
        self._limit = deadline - time.monotonic()
        self._deadline = deadline
        self._queue_timeout = queue_timeout
        self._on_event = on_event
        self._pending: deque[Pending] = deque()
        self._ready: deque[Outcome] = deque()
        self._chunks: dict[int, Chunk] = {}
        self._poll = select.poll()
        self._had_turn = False

    def outcomes(self) -> Generator[Outcome, None, None]:
        """Yield the outcomes in order of completion; closing the iterator stops what runs."""
        try:
            while True:
                self._dispatch()
                while self._ready:
                    yield self._ready.popleft()
                if self._chunks:
                    self._wait()
                elif not self._ready and self._peek() is None:
                    return
        finally:
            for chunk in tuple(self._chunks.values()):
                self._end(chunk, Cancelled())

    # Sending

    def _peek(self) -> Pending | None:
        if not self._pending:
            call = next(self._calls, None)
            if call is None:
                return None
            self._left = max(0, self._left - 1)
            self._pending.append(Pending(call, time.monotonic()))
        return self._pending[0]

    def _dispatch(self) -> None:
        """Send chunks for as long as there are calls, and processes to be had."""
        while len(self._ready) < MAX_READY and (first := self._peek()) is not None:
            if time.monotonic() >= self._deadline:
                self._refuse(DeadlineExceeded(self._limit, started=False))
                return
            cpu = registry.get(first.call.task).cpu
            try:
                process = self._take(cpu)
            except Stopping:
                if not self._had_turn:
                    raise
                self._refuse(Cancelled())
                return
            if process is None:
                return
            self._send(process, cpu)

    def _take(self, cpu: int) -> PoolProcess | None:
        if self._chunks:
            # A process gives its slot back before this thread hears of it, so slots alone are no bound.
            spare = len(self._chunks) < self._pool.width(cpu)
            return self._pool.try_take(cpu, self._deadline) if spare else None
        if self._had_turn:
            return self._pool.take_again(cpu, self._deadline)
        return self._pool.take(cpu, self._deadline, time.monotonic() + self._queue_timeout)

    def _refuse(self, error: CallError) -> None:
        """Answer what is pending, and a part of what is still to come, without running it."""
        for _ in range(MAX_CHUNK):
            if self._peek() is None:
                return
            self._ready.append(self._pending.popleft().unrun(error))

    def _send(self, process: PoolProcess, cpu: int) -> None:
        """Send the next chunk to a process that was taken, with its slot, for it."""
        calls = self._next_chunk(cpu)
        task = calls[0].call.task
        try:
            size = process.pack(task, [pending.call.args for pending in calls])
        except Exception as error:  # noqa: BLE001 - pickling runs code of the user's
            process.holder.release()
            process.holder.ring()
            self._pool.give_back(process)
            self._reject(calls, f"{type(error).__name__}: {error}")
            return
        estimate = self._pool.estimates[task]
        estimate.size = max(size / len(calls), 0.7 * estimate.size)
        sent = time.monotonic()
        try:
            process.send(len(calls), self._deadline, slot=cpu > 0)
        except ConnectionError:  # it died while it was idle
            self._pool.discard(process)
            self._requeue(calls)
            return
        self._had_turn = True
        chunk = Chunk(process, calls, sent, estimate.patience(len(calls)), self._pool.memory_limit)
        self._chunks[process.fileno()] = chunk
        self._poll.register(process, select.POLLIN)

    def _next_chunk(self, cpu: int) -> list[Pending]:
        """Return the next calls of one task, as many as are worth sending at once."""
        remaining = self._left and self._left + len(self._pending)
        first = self._pending.popleft()
        task, calls = first.call.task, [first]
        if first.alone:
            return calls
        count = self._pool.estimates[task].chunk(remaining, self._pool.width(cpu))
        while len(calls) < count:
            following = self._peek()
            if following is None or following.alone or following.call.task != task:
                break
            calls.append(self._pending.popleft())
        return calls

    def _reject(self, calls: list[Pending], reason: str) -> None:
        """Handle a chunk that can't be sent or read: a single call is to blame, several go one by one."""
        if len(calls) == 1:
            self._ready.append(calls[0].unrun(NotSerializable("arguments", reason)))
            return
        for pending in calls:
            pending.alone = True
        self._requeue(calls)

    def _requeue(self, calls: list[Pending]) -> None:
        self._pending.extendleft(reversed(calls))

    # Receiving

    def _wait(self) -> None:
        """Wait until something happens, and handle it."""
        if len(self._chunks) == 1 and self._hear(*self._chunks.values()):
            return  # a short call is often over before this thread goes on
        now = time.monotonic()
        look = self._deadline
        if self._pending or self._left:
            look = min(look, now + CHUNK_SECONDS)  # a process may have become free for it
        for chunk in self._chunks.values():
            look = min(look, chunk.next_look(now))
        for fd, _ in self._poll.poll(max(0.0, look - now) * 1000):
            self._hear(self._chunks[fd])
        if (now := time.monotonic()) < look:
            return
        for chunk in tuple(self._chunks.values()):
            if now >= self._deadline:
                self._end(chunk, DeadlineExceeded(self._limit, started=True))
            else:
                self._look_after(chunk, now)

    def _hear(self, chunk: Chunk) -> bool:
        """Handle a message, and tell whether there was one."""
        kind, content = chunk.process.receive()
        if kind is None:
            return False
        if kind == child.KIND_EVENT:
            self._tell(chunk, content)
        elif kind == child.KIND_DONE:
            if content < chunk.kept:
                self._requeue(chunk.take_back())
            self._ready.extend(chunk.read())
            self._finish(chunk)
        elif kind == child.KIND_UNREADABLE:
            chunk.process.take_back()
            self._reject(chunk.calls, chunk.process.responses.load())
            self._finish(chunk)
        else:
            self._end(chunk, self._cause_of_death(chunk.process))
        return True

    def _cause_of_death(self, process: PoolProcess) -> CallError:
        if self._pool.closed:
            return Cancelled()
        if time.monotonic() >= self._deadline:  # the housekeeper was first
            return DeadlineExceeded(self._limit, started=True)
        return TaskCrashed(process.pid, process.exit_code())

    def _tell(self, chunk: Chunk, content: bytes) -> None:
        if self._on_event is not None:
            position, kind, data = pickle.loads(content)
            self._on_event(Event(chunk.calls[position].call.index, kind, data))

    def _look_after(self, chunk: Chunk, now: float) -> None:
        """See to a chunk from which nothing was heard: read what is done, mind its limits."""
        self._ready.extend(chunk.read())
        # Before the first call began the process reads its arguments; others would be no faster.
        if now >= chunk.late and chunk.kept - chunk.done > 1 and chunk.started is not None:
            self._pool.estimates[chunk.task].learn(now - chunk.started)
            self._requeue(chunk.take_back())
        if chunk.overdue(now) is None:
            return
        # Once the rest is taken back it can't begin another call, which would be killed in its place.
        self._requeue(chunk.take_back())
        self._ready.extend(chunk.read())
        if (limit := chunk.overdue(now)) is not None:
            self._end(chunk, DeadlineExceeded(limit, started=True))

    # Ending

    def _finish(self, chunk: Chunk) -> None:
        """Give the process of a chunk that is through back."""
        self._forget(chunk)
        if chunk.done:
            self._pool.estimates[chunk.task].learn(chunk.spent / chunk.done)
        self._pool.give_back(chunk.process)

    def _end(self, chunk: Chunk, error: CallError) -> None:
        """Kill the process, if it lives: the call that ran gets ``error``, the others go elsewhere."""
        back = chunk.kill()
        self._ready.extend(chunk.read())
        if chunk.done < chunk.kept:
            self._ready.append(chunk.outcome_of_running(error))
        elif not chunk.kept:
            # Its arguments may be what killed it, so nobody shares its fate the next time.
            for pending in back:
                pending.tries += 1
                pending.alone = True
        self._requeue([pending for pending in back if pending.tries < MAX_TRIES])
        self._ready.extend(pending.unrun(error) for pending in back if pending.tries >= MAX_TRIES)
        self._forget(chunk)
        self._pool.discard(chunk.process)

    def _forget(self, chunk: Chunk) -> None:
        self._poll.unregister(chunk.process)
        del self._chunks[chunk.process.fileno()]
