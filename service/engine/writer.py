"""The end of a channel for those that put items in; see ``channel``."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import time
from collections.abc import Iterable
from typing import Any

from service.engine import bound, wire
from service.engine.items import Packer, Unsendable
from service.engine.lending import Lender, Loan

#: Most items that ``put_many`` puts into one message, and most bytes of them.
MANY, MANY_BYTES = 64, 3900
# A plain number, for flags of an enumeration take their time.
_NOW = int(socket.MSG_DONTWAIT)
#: Seconds to the next attempt when too many descriptors are on their way.
_AGAIN = 0.002


class Closed(Exception):
    """Nobody reads any more."""


class Message:
    """An item ready to be sent."""

    __slots__ = ("data", "loan")

    def __init__(self, data: bytes, loan: Loan | None = None) -> None:
        """Carry ``data``, and the memory of ``loan`` beside it."""
        self.data = data
        self.loan = loan

    def close(self) -> None:
        """Let go of its memory; only needed when it was not sent."""
        if self.loan is not None:
            self.loan.arena.close()
            self.loan = None


class Writer:
    """The end for those that put items in; each process has one of its own, for one thread at a time."""

    def __init__(self, fd: int) -> None:
        """Own the descriptor ``fd``."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fd)
        self._send = self._socket.send
        self._shortest, longest = bound.lengths(self._socket)
        self._longest = min(wire.MAX_MESSAGE, longest)
        self._packer = Packer()
        self._lender = Lender()
        self._at_once = MANY

    def fileno(self) -> int:
        """Return its descriptor, writable when three quarters of the room are free, or nobody reads."""
        return self._socket.fileno()

    def pack(self, item: Any) -> Message:
        """Return ``item`` ready to be sent.

        Raises ``Unsendable``, and ``OSError`` when there is no descriptor for a large one.
        """
        data = self._packer.pickle(item)
        if self._packer.buffers or len(data) > self._longest:
            return self._by_memory(data)
        return Message(data.ljust(self._shortest, b"\0"))

    def _by_memory(self, data: bytes) -> Message:
        try:
            loan = self._lender.fill(data, self._packer.buffers)
        finally:
            self._packer.buffers.clear()
        header = wire.MEMORY_HEADER.pack(wire.BY_MEMORY, loan.number)
        return Message(header.ljust(self._shortest, b"\0"), loan)

    def send(self, message: Message, *, wait: bool) -> bool:
        """Send a message and tell whether it was; it is not when there is no room, unless told to ``wait``.

        There is no room either while as many descriptors of one user are on their way as a process may
        have. Raises ``Closed``; the message is closed then.
        """
        while not self._try_to_send(message, 0 if wait else _NOW):
            if not wait:
                return False
            time.sleep(_AGAIN)
        return True

    def _try_to_send(self, message: Message, flags: int) -> bool:
        try:
            if message.loan is None:
                self._send(message.data, flags)
            else:
                self._send_with_memory(message, message.loan, flags)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.ETOOMANYREFS:
                return False
            message.close()
            raise _meaning(error) from error
        return True

    def _send_with_memory(self, message: Message, loan: Loan, flags: int) -> None:
        # ``socket.send_fds`` does not pass flags on.
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, wire.FD.pack(loan.arena.fd))
        self._socket.sendmsg((message.data,), (rights,), flags)
        message.loan = None
        self._lender.lend(loan)

    def put(self, item: Any) -> None:
        """Send ``item``, and wait until there is room for it; raises what ``pack`` and ``send`` do."""
        data = self._packer.pickle(item)
        if self._packer.buffers or len(data) > self._longest:
            self.send(self._by_memory(data), wait=True)
            return
        # What ``send`` does, without what takes time there.
        try:
            self._send(data.ljust(self._shortest, b"\0"))
        except OSError as error:
            raise _meaning(error) from error

    def put_many(self, items: Iterable[Any]) -> None:
        """Send all items, small ones several in one message, and wait until there is room for them.

        Up to ``MANY`` share a message, which goes to one reader and counts as one or two items. What they all
        refer to is one object at the reader's, too. Raises what ``put`` does; the items before the one that
        it raises for are sent.
        """
        rest = iter(items)
        while some := list(itertools.islice(rest, self._at_once)):
            self._put_some(some)

    def _put_some(self, some: list[Any]) -> None:
        if len(some) == 1:
            self.put(some[0])
            self._at_once = 2
        elif (data := self._together(some)) is not None:
            self.send(Message(data.ljust(self._shortest, b"\0")), wait=True)
            # More at once, if more would have gone into it.
            self._at_once = min(MANY, 2 * len(some)) if len(data) < MANY_BYTES // 2 else len(some)
        else:
            half = len(some) // 2
            self._put_some(some[:half])
            self._put_some(some[half:])

    def _together(self, some: list[Any]) -> bytes | None:
        """Return a message with several items, or ``None`` when they don't go into one."""
        try:
            data = self._packer.pickle(some)
        except Unsendable:
            return None  # which one it is will turn out
        if self._packer.buffers or len(data) > min(MANY_BYTES, self._longest - wire.SEVERAL_HEADER.size):
            self._packer.buffers.clear()
            return None
        return wire.SEVERAL_HEADER.pack(wire.SEVERAL) + data

    def end(self) -> None:
        """Let the items end, whoever else has a copy of this end."""
        with contextlib.suppress(OSError):  # it is closed already, or the other end is
            self._socket.shutdown(socket.SHUT_WR)
        self.close()

    def close(self) -> None:
        """Let go of this copy of the end; the items end when the last copy is closed."""
        self._socket.close()
        self._lender.close()


def _meaning(error: OSError) -> Exception:
    """Return what an error of sending says about the channel."""
    return Closed() if isinstance(error, (BrokenPipeError, ConnectionResetError)) else error
