"""Items of a streamed call on their way to the owner, no faster than that takes them.

    generator ──> pickle ─┬─ small: one message
                          └─ large: an empty message with an arena

The socket holds some items. When it is full, because a client reads slowly, the process waits, and gives
its CPU slot to somebody else until it goes on.
"""

from __future__ import annotations

import pickle
import select
import socket
from collections.abc import Generator
from contextlib import closing
from typing import Any

from service.engine.slots import Holder
from service.engine.transport import Arena, beside_the_pickle

KIND_ITEM = b"I"
#: Longest message to the owner, in bytes.
MAX_MESSAGE = 96 * 1024


class Unsendable(Exception):
    """An item that can't be pickled."""


class Packer:
    """Pickles items."""

    def __init__(self) -> None:
        """Be ready for any number of items."""
        #: Large buffers of the latest item, not in its pickle; to be cleared when they are written.
        self.buffers: list[memoryview] = []
        self._beside = beside_the_pickle(self.buffers)

    def pickle(self, item: Any) -> bytes:
        """Return the pickle of an item; raises ``Unsendable``."""
        try:
            return pickle.dumps(item, 5, buffer_callback=self._beside)
        except BaseException as error:
            self.buffers.clear()
            if isinstance(error, Exception):
                raise Unsendable(f"{type(error).__name__}: {error}") from error
            raise


class ItemSender:
    """Sends the items of one call."""

    def __init__(self, work: socket.socket, slot: Holder | None) -> None:
        """Send on ``work``; ``slot`` is the CPU slot that the call holds, if it does."""
        self._work = work
        self._slot = slot
        self._packer = Packer()

    def send_all(self, items: Generator[Any, None, Any]) -> None:
        """Run a generator to its end, and send what it yields.

        Raises ``Unsendable``, and whatever the generator raises.
        """
        with closing(items):
            for item in items:
                self._send(item)

    def _send(self, item: Any) -> None:
        pickled = self._packer.pickle(item)
        if not self._packer.buffers and len(pickled) < MAX_MESSAGE:
            self._make_room()
            self._work.send(KIND_ITEM + pickled)
            return
        with closing(_filled(pickled, self._packer.buffers)) as arena:
            self._make_room()
            socket.send_fds(self._work, [KIND_ITEM], [arena.fd])

    def _make_room(self) -> None:
        """Wait until the socket takes more."""
        poll = select.poll()
        poll.register(self._work, select.POLLOUT)
        if poll.poll(0):
            return
        if self._slot is not None:
            self._slot.release()
            self._slot.ring()
        poll.poll()
        if self._slot is not None:
            self._slot.acquire()


def _filled(pickled: bytes, buffers: list[memoryview]) -> Arena:
    arena = Arena.create()
    try:
        arena.hold(pickled, buffers)
    finally:
        buffers.clear()
    return arena
