"""The end of a channel for those that take items out; see ``channel``."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import socket
from collections import deque
from typing import Any

from service.engine import wire
from service.engine.lending import Borrower

_FD_SPACE = socket.CMSG_SPACE(wire.FD.size)
# Plain numbers, for combining flags of an enumeration takes longer than unpickling an item.
_WAIT = int(socket.MSG_CMSG_CLOEXEC)
_NO_WAIT = _WAIT | int(socket.MSG_DONTWAIT)


class Empty(Exception):
    """There is no item now."""


class Reader:
    """The end for those that take items out; each process has one of its own, for one thread at a time."""

    def __init__(self, fd: int) -> None:
        """Own the descriptor ``fd``."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fd)
        self._receive = self._socket.recvmsg_into
        self._inbox = bytearray(wire.MAX_MESSAGE)
        self._inboxes = [self._inbox]
        self._borrower = Borrower()
        # Items that came with others, to this process.
        self._rest: deque[Any] = deque()
        self._pid = os.getpid()

    def fileno(self) -> int:
        """Return its descriptor, readable when there is a message, or no more will come.

        Items that came in one message are not seen there: ask again until ``Empty`` comes.
        """
        return self._socket.fileno()

    def receive(self, *, wait: bool) -> Any:
        """Return the next item; large buffers in it are views of memory that stays for as long as they do.

        A process that keeps many items has copies instead.

        Raises ``Empty`` when there is none, unless told to ``wait``, ``EOFError`` after the last one,
        whatever unpickling raises, and ``OSError`` when a large item was lost for want of descriptors. After
        an error the next item comes.
        """
        if self._rest:
            return self._next_of_rest(wait=wait)
        if self._borrower.in_use:
            self._borrower.give_back()
        try:
            length, extra, _, _ = self._receive(self._inboxes, _FD_SPACE, _WAIT if wait else _NO_WAIT)
        except BlockingIOError:
            raise Empty from None
        if not length:
            raise EOFError
        kind = self._inbox[0]
        if kind == wire.PICKLE:
            return pickle.loads(self._inbox)
        return self._first_of_several() if kind == wire.SEVERAL else self._from_memory(extra)

    def _first_of_several(self) -> Any:
        self._pid = os.getpid()
        with memoryview(self._inbox)[wire.SEVERAL_HEADER.size :] as pickled:
            self._rest.extend(pickle.loads(pickled))
        return self._rest.popleft()

    def _next_of_rest(self, *, wait: bool) -> Any:
        if self._pid == os.getpid():
            return self._rest.popleft()
        self._rest.clear()  # they are the items of the process that this one was forked from
        return self.receive(wait=wait)

    def _from_memory(self, extra: list[tuple[int, int, bytes]]) -> Any:
        _, number = wire.MEMORY_HEADER.unpack_from(self._inbox)
        fds = [wire.FD.unpack_from(data)[0] for _, _, data in extra if len(data) >= wire.FD.size]
        if not fds:
            raise OSError(errno.EMFILE, "a large item was lost on the way: too many open files")
        return self._borrower.read(number, fds[0])

    def get(self) -> Any:
        """Wait for the next item and return it; raises what ``receive`` does."""
        return self.receive(wait=True)

    def end(self) -> None:
        """Tell writers that nobody reads any more, whoever else has a copy of this end."""
        with contextlib.suppress(OSError):  # it is closed already, or the other end is
            self._socket.shutdown(socket.SHUT_RD)
        self.close()

    def close(self) -> None:
        """Let go of this copy of the end; writers are told when the last copy is closed."""
        self._socket.close()
        self._borrower.close()
