"""Children of ``serve``: none outlives it, and none is ended by a signal that it can't handle yet.

What each does at its beginning, Gunicorn's master, the runners and the check, stands here too.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence

from service.engine import lifeline
from service.engine.spawner import ONE_THREAD

#: The read end of the pipe on which a child hangs.
LIFELINE_VARIABLE = "EVERYCORE_LIFELINE_FD"

QUICK = (signal.SIGINT, signal.SIGQUIT)
#: What ``serve`` hears itself and may pass on.
PASSED_ON = (signal.SIGTERM, *QUICK, signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTTOU)


def start(module: Sequence[str], lifeline_fd: int, stdout: int | None = None) -> subprocess.Popen[bytes]:
    """Start ``python -m`` with a module and its arguments; it hangs on the pipe ``lifeline_fd``."""
    # It unblocks them when it handles them; before that they would kill it, with a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    try:
        # A session of its own: Ctrl-C reaches us, who say what is to be done.
        return subprocess.Popen(
            [sys.executable, "-m", *module],
            # It imports the tasks, and with them NumPy, which would start a thread for every CPU.
            env={**dict.fromkeys(ONE_THREAD, "1"), **os.environ, LIFELINE_VARIABLE: str(lifeline_fd)},
            pass_fds=[lifeline_fd],
            start_new_session=True,
            stdout=stdout,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def take_all_descriptors() -> None:
    """Raise the limit of open files as far as it goes: a connection takes one, a pool process about ten."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def is_of_serve() -> bool:
    """Tell whether ``serve`` has started this process, which does not hang on it yet."""
    return LIFELINE_VARIABLE in os.environ


def hang_on_parent() -> bool:
    """End when ``serve`` does, if that has started this process; return whether it has."""
    fd = os.environ.pop(LIFELINE_VARIABLE, None)
    if fd is not None:
        lifeline.arm(int(fd))
        # The read end is of no use any more, and must not get lost in other processes.
        os.close(int(fd))
    return fd is not None
