"""The process that pool processes are forked from.

It has imported the task modules, loaded their resources and done nothing else. It has one thread and never
runs a task, so a fork of it is quick, shares its pages and inherits no lock, no listening socket and no
signal handler of a Gunicorn worker. ``multiprocessing`` has a fork server too; this one also

- tells which process died of what, by one status pipe a process,
- ends what a dead pool process leaves behind in its process group,
- reports a task module that fails to import,
- sets the environment of the pool, such as the threads of BLAS.

    owner (Gunicorn worker) ==control socket==> fork server --fork--> pool process
                            <== pid, pidfd ====

The control socket carries one JSON message with the set-up, then one message with the descriptors of
``child.Endpoints`` for every process wanted. When it ends, so does the fork server.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any

from service.engine import child, lifeline
from service.errors import EverycoreError
from service.tasks import registry, resources

#: Answer to a request for a process: its pid, with its pidfd attached, or an error number below 0.
PID = struct.Struct("<i")
#: Last word on a process: its exit code, negative for a signal.
STATUS = struct.Struct("<i")
#: Longest set-up message and longest answer to it, in bytes.
MAX_MESSAGE = 128 * 1024
#: Descriptors that come with a request: the endpoints, and the status pipe, which stays here.
_FDS = len(child.Endpoints._fields) + 1


def main() -> None:
    """Serve forks until the control socket ends."""
    child.set_name("everycore-forks")
    control = socket.socket(fileno=int(sys.argv[2]))
    lifeline_fd = int(sys.argv[3])
    os.set_inheritable(control.fileno(), False)
    os.set_inheritable(lifeline_fd, False)
    # Importing may take long, and may hold the GIL; later the control socket tells when the owner is gone.
    armed = lifeline.arm(lifeline_fd)
    setup = json.loads(control.recv(MAX_MESSAGE))
    sys.path[:] = setup["path"]
    try:
        registry.load(setup["modules"])
        resources.load_all()
    except EverycoreError as error:
        control.send(json.dumps({"error": str(error)}).encode()[:MAX_MESSAGE])
        return
    os.close(armed)
    if (threads := sum(1 for _ in os.scandir("/proc/self/task")) - 1) > 0:
        sys.stderr.write(f"warning: task modules and resources started {threads} threads; no call has them\n")
    gc.collect()
    # Frozen objects are left alone by the collector, so that its marks do not unshare their pages.
    gc.freeze()
    control.send(b"{}")
    limits = child.Limits(setup["memory_limit"], setup["cpu_slots"])
    ForkServer(control, lifeline_fd, limits, lines=setup["lines"]).serve()


class ForkServer:
    """Forks on request, and reaps."""

    def __init__(self, control: socket.socket, lifeline_fd: int, limits: child.Limits, *, lines: str) -> None:
        """Serve ``control``; children arm ``lifeline_fd``."""
        self._control = control
        self._lifeline_fd = lifeline_fd
        self._limits = limits
        self._lines = lines
        #: pid -> write end of its status pipe
        self._statuses: dict[int, int] = {}
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Fork and reap until the control socket ends."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler, however empty, makes the wake-up byte
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_r, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake_r in ready:
                os.read(self._wake_r, 4096)
                self._reap()
            if self._control.fileno() in ready and not self._serve_one():
                break
        for pid in self._statuses:
            _kill_group(pid)

    def _serve_one(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self._control, 64, _FDS, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return False
        try:
            pid, pidfd = self._fork(fds)
        except OSError as error:
            self._control.send(PID.pack(-(error.errno or errno.EAGAIN)))
        else:
            socket.send_fds(self._control, [PID.pack(pid)], [pidfd])
            self._statuses[pid] = fds.pop()
            fds.append(pidfd)
        for fd in fds:
            os.close(fd)
        return True

    def _fork(self, fds: list[int]) -> tuple[int, int]:
        if len(fds) < _FDS:
            raise OSError(errno.EMFILE, "descriptors were lost on the way")
        *endpoints, status = fds
        pid = os.fork()
        if pid == 0:
            self._become_child(endpoints, status)
        try:
            # Nobody else reaps it, so the pid can't be another process's yet.
            return pid, os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            raise

    def _become_child(self, endpoints: list[int], status: int) -> Any:
        signal.set_wakeup_fd(-1)
        self._control.close()
        for fd in (status, self._wake_r, self._wake_w, *self._statuses.values()):
            os.close(fd)
        child.main(child.Endpoints(*endpoints), self._lifeline_fd, self._limits, lines=self._lines)

    def _reap(self) -> None:
        while (pid := _dead_child()) is not None:
            # While it is not reaped its pid, which is also its group's, can't be used again.
            _kill_group(pid)
            _, status = os.waitpid(pid, 0)
            fd = self._statuses.pop(pid, None)
            if fd is not None:
                _tell(fd, os.waitstatus_to_exitcode(status))


def _dead_child() -> int | None:
    try:
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if dead is None else dead.si_pid


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # the group is gone, or was never made


def _tell(fd: int, exit_code: int) -> None:
    try:
        os.write(fd, STATUS.pack(exit_code))
    except BrokenPipeError:
        pass  # nobody wants to know any more
    finally:
        os.close(fd)
