"""What is under way: chunks in pool processes, and the outcomes that came of them.

pool process ──message──> hear ─┬─> intake.ready: outcomes for the caller
nothing is heard ──> look after ┘   intake: calls taken back, or left by a process that died
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Iterable

from service.engine import child, items
from service.engine.base import Event, OnEvent
from service.engine.chunk import Chunk
from service.engine.intake import Intake
from service.engine.pool import Pool
from service.errors import CallError, Cancelled, DeadlineExceeded, NotSerializable, TaskCrashed

#: Items of a streamed call that are read at once; behind them comes the caller's turn.
MAX_ITEMS = 64


class Flight:
    """The chunks of one run that were sent; only its thread uses it."""

    def __init__(self, pool: Pool, intake: Intake, deadline: float, on_event: OnEvent | None) -> None:
        """Begin with nothing."""
        self._pool = pool
        self._intake = intake
        #: Seconds that the run has.
        self.limit = deadline - time.monotonic()
        self._deadline = deadline
        self._on_event = on_event
        self._ready = intake.ready
        self.chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        """Take a chunk on that was sent."""
        self.chunks.append(chunk)
        if chunk.stream:
            self._pool.count_stream(1)

    def _remove(self, chunk: Chunk) -> None:
        self.chunks.remove(chunk)
        if chunk.stream:
            self._pool.count_stream(-1)

    def next_look(self, now: float) -> float:
        """Return when to look after the chunks, should nothing be heard."""
        look = math.inf
        for chunk in self.chunks:
            look = min(look, chunk.next_look(now))
        return look

    def hear(self, chunk: Chunk, *, wait: bool = False) -> bool:
        """Handle what a chunk's process said, or says soon, and tell whether that was anything."""
        if not self._hear_one(chunk, wait=wait):
            return False
        while chunk.stream and len(self._ready) < MAX_ITEMS and chunk in self.chunks:
            if not self._hear_one(chunk, wait=False):
                break
        return True

    def _hear_one(self, chunk: Chunk, *, wait: bool) -> bool:
        kind, content = chunk.process.receive(wait=wait, stream=chunk.stream)
        if kind is None:
            return False
        if kind == items.KIND_ITEM:
            self._take_item(chunk, content)
        elif kind == child.KIND_EVENT:
            self._tell(chunk, content)
        elif kind == child.KIND_DONE:
            if content < chunk.kept:
                self._intake.put_back(chunk.take_back())
            self._ready.extend(chunk.read())
            self._finish(chunk)
        else:
            self.lose(chunk)
        return True

    def _take_item(self, chunk: Chunk, content: bytes) -> None:
        try:
            self._ready.append(chunk.item(content))
        except Exception as error:  # noqa: BLE001 - unpickling runs code of the user's
            self.end([chunk], NotSerializable("result", f"{type(error).__name__}: {error}"))

    def _tell(self, chunk: Chunk, content: bytes) -> None:
        if self._on_event is None:
            return
        number, position, kind, data = pickle.loads(content)
        # A thread that a call left behind may speak up after its end.
        if number == chunk.process.number and chunk.done <= position < chunk.kept:
            self._on_event(Event(chunk.calls[position].call.index, kind, data))

    def look_after(self, now: float) -> None:
        """See to what was not heard of: read what is done, mind the limits."""
        if now >= self._deadline:
            self.end(self.chunks, DeadlineExceeded(self.limit, started=True))
        for chunk in tuple(self.chunks):
            self._look_after(chunk, now)

    def _look_after(self, chunk: Chunk, now: float) -> None:
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
            self.end([chunk], DeadlineExceeded(limit, started=True))

    # Ending

    def _finish(self, chunk: Chunk) -> None:
        """Give the process of a chunk that is through back."""
        self._remove(chunk)
        # What a streamed call takes is its reader's time, too.
        if chunk.done and not chunk.stream:
            self._pool.estimates[chunk.task].learn(chunk.spent / chunk.done)
            self._pool.turns.add(chunk.spent)
        self._pool.give_back(chunk.process)

    def lose(self, chunk: Chunk) -> None:
        """Handle the death of a process."""
        if self._pool.closed:
            self.end([chunk], Cancelled())
        elif time.monotonic() >= self._deadline:  # the housekeeper was first
            self.end([chunk], DeadlineExceeded(self.limit, started=True))
        else:
            self.end([chunk], None)

    def end(self, chunks: Iterable[Chunk], error: CallError | None) -> None:
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
            self._remove(chunk)
            self._pool.forget(process)
