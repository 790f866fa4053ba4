"""What is under way: chunks in pool processes, and the outcomes that came of them.

pool process ──message──> hear ─┬─> intake.ready: outcomes for the caller
time has passed ──> look after ─┘   intake: calls taken back, or left by a process that died
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Iterable

from service.engine import child, items
from service.engine.base import Event, OnEvent, Outcome
from service.engine.chunk import Chunk
from service.engine.intake import Intake, Pending
from service.engine.observer import tell
from service.engine.pool import Pool
from service.errors import CallError, Cancelled, DeadlineExceeded, NotSerializable, TaskCrashed

#: Messages of a call that are read at once; behind them comes the caller's turn.
MAX_MESSAGES = 64


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
        #: Hears what becomes of the calls.
        self.observer = pool.observer.begin_run()
        self.chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        """Take a chunk on that was sent."""
        self.chunks.append(chunk)
        if chunk.stream:
            self._pool.count_stream(1)

    def refuse(self, pending: Pending, error: CallError) -> None:
        """Answer a call without running it."""
        outcome = pending.unrun(error)
        self._ready.append(outcome)
        if pending.call.post is None:
            tell(self.observer, pending.call.task, [outcome])

    def _remove(self, chunk: Chunk) -> None:
        self.chunks.remove(chunk)
        self.observer.carried(*chunk.process.carried())
        if chunk.stream:
            self._pool.count_stream(-1)

    @property
    def next_look(self) -> float:
        """When to look after the chunks, whatever is heard."""
        look = math.inf
        for chunk in self.chunks:
            look = min(look, chunk.next_look)
        return look

    def hear(self, chunk: Chunk, *, wait: bool = False) -> bool:
        """Handle what a chunk's process said, or says soon, and tell whether that was anything."""
        if not self._hear_one(chunk, wait=wait):
            return False
        if chunk.talks:
            for _ in range(MAX_MESSAGES):
                enough = len(self._ready) >= MAX_MESSAGES or chunk not in self.chunks
                if enough or not self._hear_one(chunk, wait=False):
                    break
        return True

    def _hear_one(self, chunk: Chunk, *, wait: bool) -> int:
        """Handle a message and return its size; 0 when there was none."""
        kind, content = chunk.process.receive(wait=wait, stream=chunk.stream)
        if kind is None:
            return 0
        if kind == child.KIND_DONE:
            if content < chunk.kept:
                self._intake.put_back(chunk.take_back())
            self._take(chunk, chunk.read())
            self._finish(chunk)
            return 1
        if kind == items.KIND_ITEM:
            self._take_item(chunk, content)
        elif kind == child.KIND_EVENT:
            self._tell(chunk, content)
        else:
            self.lose(chunk)
        return 1 + len(content)

    def _take(self, chunk: Chunk, outcomes: list[Outcome]) -> None:
        self._ready.extend(outcomes)
        if not chunk.posted:
            tell(self.observer, chunk.task, outcomes)

    def _take_item(self, chunk: Chunk, content: bytes) -> None:
        try:
            self._ready.append(chunk.item(content))
        except Exception as error:  # noqa: BLE001 - unpickling runs code of the user's
            self.end([chunk], NotSerializable("result", f"{type(error).__name__}: {error}"))

    def _tell(self, chunk: Chunk, content: bytes) -> None:
        if self._on_event is not None and (event := _event(chunk, content)) is not None:
            self._on_event(event)

    def look_after(self, now: float) -> None:
        """See to what was not heard of: read what is done, mind the limits."""
        if now >= self._deadline:
            self.end(self.chunks, DeadlineExceeded(self.limit, started=True))
        for chunk in tuple(self.chunks):
            self._look_after(chunk, now)

    def _look_after(self, chunk: Chunk, now: float) -> None:
        chunk.looked = now
        if not self._read(chunk):
            return
        if now >= chunk.late and chunk.kept - chunk.done > 1 and (started := chunk.started) is not None:
            self._pool.estimates[chunk.task].learn(now - started)
            self._intake.put_back(chunk.take_back())
        if chunk.overdue(now) is None:
            return
        # Once the rest is taken back it can't begin another call, which would be killed in its place.
        self._intake.put_back(chunk.take_back())
        if self._read(chunk) and (limit := chunk.overdue(now)) is not None:
            self.end([chunk], DeadlineExceeded(limit, started=True))

    def _read(self, chunk: Chunk) -> bool:
        """Take the outcomes that are there, and tell whether the chunk goes on."""
        count = chunk.process.responses.unread
        if count and chunk.talks:
            # What these calls said is on the socket, and comes before their outcomes.
            left = chunk.process.unheard
            while left > 0 and (size := self._hear_one(chunk, wait=False)):
                left -= size
                if chunk not in self.chunks:
                    return False
        self._take(chunk, chunk.read(count))
        return True

    # Ending

    def _finish(self, chunk: Chunk) -> None:
        """Give the process of a chunk that is through back."""
        self._remove(chunk)
        # What a streamed call or a process of a pipeline takes is its reader's time, too.
        if chunk.done and chunk.tells_pace:
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
        said: list[Event] = []
        for chunk in chunks:
            process = chunk.process
            back = chunk.kill()
            if chunk.talks and self._on_event is not None:
                said += filter(None, (_event(chunk, content) for content in process.last_words()))
            outcomes = chunk.read()
            if chunk.done < chunk.kept:
                cause = error or TaskCrashed(process.pid, process.exit_code())
                outcomes.append(chunk.outcome_of_running(cause))
            self._take(chunk, outcomes)
            self._intake.put_back(back)
            self._remove(chunk)
            self._pool.forget(process, "crashed" if error is None else "killed")
        # Last, for it is the caller's code and may raise.
        if self._on_event is not None:
            for event in said:
                self._on_event(event)


def _event(chunk: Chunk, content: bytes) -> Event | None:
    """Return what a call says, unless it is over: it may have left a thread behind."""
    try:
        number, position, kind, data = pickle.loads(content)
    except Exception:  # noqa: BLE001 - unpickling runs code of the user's
        return None
    if number != chunk.process.number or not chunk.done <= position < chunk.kept:
        return None
    return Event(chunk.calls[position].call.index, kind, data)
