"""A bounded queue of items between processes, which the kernel keeps.

    Writer ─┐  pickle ─┬─ small: one message ──────────────────────┐  ┌─ Reader
    Writer ─┼──────────┤                                           ├──┤
    Writer ─┘          └─ large: a message with a memory file, ────┘  └─ Reader
                          which the reader reads in place

One end of a socket pair is for all writers, the other for all readers. Messages come whole, each to one
reader. There is no lock that a process could die with: whoever is killed, the others go on, and the end
comes when the last writer's end is closed. A reader that is killed takes the item along that it had.

The bound is that of the socket's send buffer (see ``bound``). A writer that waits for room goes on when
three quarters of it are free, so that the two sides don't take turns at every item.

``man 7 unix``: SOCK_SEQPACKET, SCM_RIGHTS.
"""

from __future__ import annotations

import socket

from service.engine import bound
from service.engine.reader import Empty, Reader
from service.engine.writer import Closed, Message, Writer

__all__ = ["Closed", "Empty", "Message", "Reader", "Writer", "channel"]


def channel(capacity: int) -> tuple[Writer, Reader]:
    """Return the two ends of a new queue in which at most ``capacity`` items wait.

    Small items, and those that go by memory, count as one each. One between the two may count as several;
    there is always room for one. Of a capacity above some hundreds the system may allow only a part.
    """
    if capacity < 1:
        raise ValueError(f"the capacity of a channel must be at least 1, not {capacity}")
    writer, reader = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with writer, reader:
        bound.keep(writer, capacity)
        return Writer(writer.detach()), Reader(reader.detach())
