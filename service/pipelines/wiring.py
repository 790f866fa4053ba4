"""The board, the channels and the bells of one run, as its owner holds them.

The owner keeps both ends of every channel until the processes on that side have ended as they should. So
one that dies can be replaced, its neighbours don't take its death for the end, and the end comes through
as soon as a step is through: its readers see the last writer go, or its writers the last reader.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

from service.engine.base import Call, Post
from service.engine.board import SKIPPED, Board
from service.engine.channel import Reader, Writer, channel
from service.tasks.pipelines import Pipeline, Step


class Wiring:
    """What the processes of one run share."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Make everything; raises ``OSError`` when there are no descriptors for it."""
        self._pipeline = pipeline
        #: The position of the step that each row's process is of.
        self.positions = [at for at, step in enumerate(pipeline.steps) for _ in range(step.processes)]
        #: How many processes of each step have not come to their end.
        self._left = Counter(self.positions)
        with contextlib.ExitStack() as undo:
            self.board = undo.enter_context(
                contextlib.closing(Board.create(len(self.positions), len(pipeline.steps)))
            )
            #: The ends of the channel that leads out of each step, the last one's to the owner.
            self._writers: list[Writer] = []
            self._readers: list[Reader] = []
            for _ in pipeline.steps:
                writer, reader = channel(pipeline.buffer)
                self._writers.append(undo.enter_context(contextlib.closing(writer)))
                self._readers.append(undo.enter_context(contextlib.closing(reader)))
            #: By row; a process that waits for its turn is woken by its own.
            self._bells: dict[int, int] = {}
            for row, at in enumerate(self.positions):
                if pipeline.steps[at].keeps_turns:
                    self._bells[row] = bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                    undo.callback(os.close, bell)
            self._close = undo.pop_all()

    @property
    def results(self) -> Reader:
        """The end at which the last step's items arrive."""
        return self._readers[-1]

    def step(self, row: int) -> Step:
        """Return the step that a row's process is of."""
        return self._pipeline.steps[self.positions[row]]

    def call(
        self,
        row: int,
        *,
        args: Mapping[str, Any],
        skip: bool,
        deadline: float,
        request_id: str,
        attempt: int,
        trace: Mapping[str, str] | None,
    ) -> Call:
        """Return what the engine is to run for a row; ``args`` are the producer's."""
        at = self.positions[row]
        peers = tuple(peer for peer, other in enumerate(self.positions) if other == at)
        fds = [self.board.fd, self._writers[at].fileno()]
        if at:
            fds.append(self._readers[at - 1].fileno())
        fds.extend(self._bells[peer] for peer in peers if peer in self._bells)
        post = Post(at, row, len(self.positions), peers, len(fds), skip, deadline)
        return Call(
            self._pipeline.name,
            {} if at else args,
            row,
            request_id,
            attempt=attempt,
            post=post,
            fds=tuple(fds),
            trace=trace,
        )

    @property
    def running(self) -> int:
        """How many processes have not come to their end."""
        return self._left.total()

    def ended(self, row: int) -> None:
        """Note that a process is through; the last of its step lets the neighbours know."""
        at = self.positions[row]
        self._left[at] -= 1
        if not self._left[at]:
            # For a child, too, that a stage has left behind.
            self._writers[at].end()
            if at:
                self._readers[at - 1].end()

    def is_wanted(self, row: int) -> bool:
        """Tell whether any step behind a process still takes what may come of it."""
        at = self.positions[row]
        return all(self._left[behind] for behind in range(at + 1, len(self._pipeline.steps)))

    def lost(self, row: int) -> None:
        """Note that a process died, and another one takes its place without the item it had."""
        if self.board.has_item(row):
            self.board.ints[self.board.at(row) + SKIPPED] += 1
        self.board.clear(row)

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        self._close.close()
