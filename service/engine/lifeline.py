"""A process that must not outlive another.

The owner holds the only write end of a pipe. The kernel signals the other process when that end is
gone, however the owner died, also while C code holds the GIL; a thread or ``PR_SET_PDEATHSIG`` does not
do that for a process whose parent is a fork server.

``man 2 fcntl``: F_SETOWN, F_SETSIG, O_ASYNC.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal


def pipe() -> tuple[int, int]:
    """Return the read end, for the one that must not outlive, and the write end, for its owner."""
    return os.pipe2(os.O_CLOEXEC)


def arm(read_fd: int, signum: int = signal.SIGKILL) -> int:
    """Have the kernel send ``signum`` to this process when the last write end of the pipe is gone.

    Returns a descriptor that must stay open for as long as this shall hold.
    """
    # Owner and signal belong to the open file description, which processes share when they inherit
    # or receive a descriptor: opening the pipe anew gives this process one of its own.
    own = os.open(f"/proc/self/fd/{read_fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, fcntl.F_SETSIG, signum)
    fcntl.fcntl(own, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    # The owner may have died before the pipe was armed; nothing would come any more then.
    poll = select.poll()
    poll.register(own, 0)
    if poll.poll(0):
        os.kill(os.getpid(), signum)
    return own
