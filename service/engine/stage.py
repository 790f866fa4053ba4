"""What a pool process does in a pipeline: take items, have the user's function work on them, pass them on.

    channel ──> take ──> unpack ──> function ──> pack ──> wait for the turn ──> pass on ──> channel
                         (a CPU slot is held here only)

An item travels as its number, which is that of the producer's item it comes from, its place in the order,
and its value. One that is left out travels on as ``Lost`` in its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from service.engine.base import Post
from service.engine.board import INPUT, ITEMS_IN, ITEMS_OUT, NUMBER, OUTPUT, PLACE, SKIPPED, TAKING, Board
from service.engine.channel import Closed, Empty, Reader, Writer
from service.engine.failures import FAILED, UNSENDABLE, failure
from service.engine.items import Unsendable
from service.engine.parcels import Lost, Parcel, Unreadable, pack
from service.engine.slots import Holder
from service.engine.turnstile import Turnstile
from service.engine.worktime import WorkTime
from service.tasks import registry
from service.tasks.pipelines import Kind


def serve(pipeline: str, post: Post, args: Mapping[str, Any], fds: Sequence[int], slot: Holder) -> None:
    """Work at a post until the items end; ``args`` are the producer's, ``fds`` stay the caller's.

    Raises what the function raises, ``Unsendable``, and ``OSError`` when an item was lost on the way.
    """
    with contextlib.ExitStack() as stack:
        if len(fds) < post.descriptors:
            raise OSError(errno.EMFILE, "descriptors were lost on the way: too many open files")
        StageWorker(pipeline, post, fds, slot, stack).run(args)


class StageWorker:
    """One process of one step."""

    def __init__(
        self, pipeline: str, post: Post, fds: Sequence[int], slot: Holder, stack: contextlib.ExitStack
    ) -> None:
        """Take hold of everything, of copies of ``fds``; ``stack`` lets go of it."""
        definition = registry.get(pipeline).pipeline
        assert definition is not None
        self._step = step = definition.steps[post.step]
        self._post = post
        self._board = board = stack.enter_context(contextlib.closing(Board(os.dup(fds[0]), post.rows)))
        self._ints = board.ints
        self._at = board.at(post.row)
        self._work = WorkTime(board, post.row, slot if step.cpu else None, post.deadline)
        stack.enter_context(contextlib.closing(self._work))
        self._writer = stack.enter_context(contextlib.closing(Writer(os.dup(fds[1]))))
        self._turns: Turnstile | None = None
        #: Of a step that takes all items: the latest one's number, and what broke them off.
        self._latest = 0
        self._broken: Exception | None = None
        # What leaves a step with several processes in no order has no place in one.
        self._has_order = step.processes == 1 or step.keeps_turns
        if post.step == 0:
            return
        self._reader = stack.enter_context(contextlib.closing(Reader(os.dup(fds[2]))))
        self._items = select.poll()
        self._items.register(self._reader.fileno(), select.POLLIN)
        if step.keeps_turns:
            bells = list(zip(post.peers, fds[3:], strict=True))
            self._turns = Turnstile(board, self._work, post.step, post.row, bells)

    def run(self, args: Mapping[str, Any]) -> None:
        """Work until there are no more items, or nobody wants any."""
        kind = self._step.kind
        with contextlib.suppress(Closed):
            if kind is Kind.PRODUCE:
                self._produce(args)
            elif kind is Kind.WHOLE:
                self._take_whole()
            else:
                self._take_each(self._spread if kind is Kind.SPREAD else self._change)
        # When nobody wants any, one may be in hand, and others wait for their turn behind it.
        self._let_go()

    # The kinds of steps

    def _produce(self, args: Mapping[str, Any]) -> None:
        number = 0
        with contextlib.closing(self._step.function(**args)) as values:
            while True:
                self._ints[self._at + NUMBER] = number
                self._begin()
                try:
                    value = next(values)
                except StopIteration:
                    return
                self._pass_on(value, number)
                number += 1

    def _take_each(self, work_on: Callable[[Parcel, Any], None]) -> None:
        for parcel, value in self._parcels():
            try:
                work_on(parcel, value)
            except (Closed, MemoryError):
                raise  # one that ran out of memory may be in pieces; another process takes its place
            except BaseException as error:
                if not self._post.skip:
                    raise
                self._leave_out(parcel, self._post.step, error)

    def _change(self, parcel: Parcel, value: Any) -> None:
        result = self._step.function(value)
        if not self._step.sink:
            self._pass_on(result, parcel.number, parcel.place)

    def _spread(self, parcel: Parcel, value: Any) -> None:
        with contextlib.closing(self._step.function(value)) as results:
            for result in results:
                self._pass_on(result, parcel.number, parcel.place)
                self._work.go_on()

    def _take_whole(self) -> None:
        self._begin()
        result = self._step.function(self._values())
        if isinstance(result, Iterator):
            for value in result:
                self._pass_on_of_all(value)
                self._work.go_on()
            self._check_whole()
        elif self._step.sink:
            self._check_whole()
        else:
            self._pass_on_of_all(result)

    def _pass_on_of_all(self, value: Any) -> None:
        self._check_whole()
        self._pass_on(value, self._latest)

    def _check_whole(self) -> None:
        """Raise what broke the items off, for the function may have taken it for an error of its own."""
        if self._broken is not None:
            raise self._broken

    def _values(self) -> Iterator[Any]:
        try:
            for parcel, value in self._parcels():
                self._latest = parcel.number
                yield value
        except Exception as error:
            self._broken = error
            raise
        self._begin()

    # Taking

    def _parcels(self) -> Iterator[tuple[Parcel, Any]]:
        """Yield items to work on, with their values."""
        while (parcel := self._take()) is not None:
            if isinstance(parcel.content, Lost):
                self._send(parcel.number, parcel.place, parcel.content)
            else:
                self._begin()
                try:
                    value = parcel.unpack()
                except Unreadable as error:
                    self._leave_out(parcel, self._post.step - 1, error)
                else:
                    yield parcel, value
            self._let_go()

    def _take(self) -> Parcel | None:
        """Return the next item when there is one, ``None`` at the end."""
        ints, at = self._ints, self._at
        while True:
            ints[at + TAKING] = 1
            try:
                parcel = Parcel(*self._reader.receive(wait=False))
                ints[at + NUMBER], ints[at + PLACE] = parcel.number, parcel.place
                ints[at + ITEMS_IN] += not isinstance(parcel.content, Lost)
            except (Empty, EOFError) as nothing:
                ints[at + TAKING] = 0
                if isinstance(nothing, EOFError):
                    return None
            else:
                ints[at + TAKING] = 0
                return parcel
            self._wait_for_an_item()

    def _wait_for_an_item(self) -> None:
        self._work.pause()
        since = time.monotonic()
        self._items.poll()
        self._work.spend(INPUT, since)

    def _begin(self) -> None:
        """Begin to work on an item, or go on with the work on all of them."""
        if self._step.timeout is not None:
            self._work.allow(self._step.timeout)
        self._work.go_on()

    def _let_go(self) -> None:
        """Have nothing in hand, and let those behind go on."""
        self._work.hold()
        place = self._ints[self._at + PLACE]
        if self._turns is not None and place >= 0:
            self._turns.wait(place)
            self._turns.end(place)
        self._ints[self._at + PLACE] = self._ints[self._at + NUMBER] = -1

    # Passing on

    def _pass_on(self, value: Any, number: int, place: int = -1) -> None:
        """Pass on what comes of the item of that number, in the turn of its place if turns are kept."""
        packed = pack(value)
        self._work.hold()
        self._send(number, place, *packed)
        self._ints[self._at + ITEMS_OUT] += 1

    def _leave_out(self, parcel: Parcel, step: int, error: BaseException) -> None:
        """Pass on that an item is left out, and that it was the fault of ``step``."""
        self._work.hold()
        if isinstance(error, Unsendable | Unreadable):
            lost = Lost(step, UNSENDABLE, str(error))
        else:
            lost = Lost(step, *failure(error, FAILED))
        self._ints[self._at + SKIPPED] += 1
        self._send(parcel.number, parcel.place, lost)

    def _send(self, number: int, place: int, content: Any, buffers: Sequence[Any] = ()) -> None:
        if self._turns is not None:
            self._turns.wait(place)
        next_place = self._board.next_place(self._post.step) if self._has_order else -1
        message = self._writer.pack((number, next_place, content, buffers))
        if self._has_order:
            self._board.take_place(self._post.step)
        if not self._writer.send(message, wait=False):
            self._work.pause()
            since = time.monotonic()
            self._writer.send(message, wait=True)
            self._work.spend(OUTPUT, since)
