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
from service.engine.transport import OUT_OF_BAND, Arena

KIND_ITEM = b"I"
#: Longest message to the owner, in bytes.
MAX_MESSAGE = 96 * 1024


class Unsendable(Exception):
    """An item that can't be pickled."""


class ItemSender:
    """Sends the items of one call."""

    def __init__(self, work: socket.socket, slot: Holder | None) -> None:
        """Send on ``work``; ``slot`` is the CPU slot that the call holds, if it does."""
        self._work = work
        self._slot = slot

    def send_all(self, items: Generator[Any, None, Any]) -> None:
        """Run a generator to its end, and send what it yields.

        Raises ``Unsendable``, and whatever the generator raises.
        """
        with closing(items):
            for item in items:
                self._send(item)

    def _send(self, item: Any) -> None:
        large: list[pickle.PickleBuffer] = []

        def keep_inside(buffer: pickle.PickleBuffer) -> bool:
            if len(buffer.raw()) >= OUT_OF_BAND:
                large.append(buffer)
                return False
            return True

        try:
            message = KIND_ITEM + pickle.dumps(item, 5, buffer_callback=keep_inside)
            arena = _filled(item) if large or len(message) > MAX_MESSAGE else None
        except Exception as error:
            raise Unsendable(f"{type(error).__name__}: {error}") from error
        self._make_room()
        if arena is None:
            self._work.send(message)
            return
        with closing(arena):
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


def _filled(item: Any) -> Arena:
    arena = Arena.create()
    arena.append(item)
    arena.commit(1)
    return arena
