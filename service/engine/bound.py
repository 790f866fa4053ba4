"""How many messages wait in a socket: the kernel counts them, in bytes of its own memory.

    send buffer  | share | share | share |   sending goes on while less than the buffer is taken

It counts for a message what it takes to keep it, which is more than its length and the same for all lengths
up to the next size of the kernel's. So when no message is shorter than one certain length, and the buffer is
as large as that many of them, exactly that many fit in. A longer one may take the share of several.

``man 7 socket``: SO_SNDBUF; ``man 7 unix``: SIOCOUTQ.
"""

from __future__ import annotations

import fcntl
import functools
import socket
import struct
import termios

#: Bytes of a send buffer that a message can't have.
OVERHEAD = 32
#: The lengths to choose from. Copying the padding takes little time up to a page, and spares items of some
#: hundred bytes from counting as several. The first is taken with which the whole buffer is neither smaller
#: than the kernel's smallest nor larger than ``_ENOUGH``.
_LENGTHS = (1700, 3900, 700, 150)
_ENOUGH = 160 * 1024
_MOST = 1 << 30
_INT = struct.Struct("i")


def keep(end: socket.socket, capacity: int) -> None:
    """Have the kernel take ``capacity`` messages at the sending ``end``, of the length that it tells then.

    Fewer, where the system allows only smaller buffers (``net.core.wmem_max``).
    """
    for length in _LENGTHS:
        whole = capacity * _share(length)
        # The kernel takes twice the number that it is given.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, min(whole // 2, _MOST))
        if whole <= _ENOUGH and end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == whole:
            break
    # Nothing is received at this end. So its mark for that can tell every process how long messages are.
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, length)


def lengths(end: socket.socket) -> tuple[int, int]:
    """Return how long a message at the sending ``end`` is at least, and at most."""
    whole = end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    return end.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT), whole - OVERHEAD


@functools.cache
def _share(length: int) -> int:
    """Return how much of a send buffer a message of ``length`` bytes takes."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        one.send(bytes(length))
        (taken,) = _INT.unpack(fcntl.ioctl(one, termios.TIOCOUTQ, bytes(_INT.size)))
    return int(taken)
