"""One pool process, seen from its owner: start, send a chunk, receive, kill."""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import time
from typing import Any

from service.engine import child, forkserver
from service.engine.slots import Holder
from service.engine.spawner import Spawner
from service.engine.transport import Arena

#: Seconds to wait for the end of a process that was killed; after that it holds its slot until it is gone.
KILL_PATIENCE = 1.0


class PoolProcess:
    """A process that runs chunks of calls, one chunk at a time, for one thread at a time."""

    def __init__(self, spawner: Spawner, holder: Holder, until: float) -> None:
        """Fork it; raises what ``Spawner.spawn`` raises."""
        self.holder = holder
        self.requests, self.responses = Arena.create(), Arena.create()
        self._tickets_r, self._tickets_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._work, work = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        status_r, status_w = os.pipe2(os.O_CLOEXEC)
        arenas = (self.requests.fd, self.responses.fd)
        fds = (work.fileno(), self._tickets_r, *arenas, holder.fd, holder.bell, status_w)
        self._status_r = status_r
        self._renew = False
        self._closed = False
        #: Calls it has taken on so far.
        self.calls = 0
        #: Whether it should serve no more, for it ran out of memory once.
        self.worn = False
        #: When it has to be idle again.
        self.deadline = math.inf
        #: When it became idle.
        self.idle_since = time.monotonic()
        try:
            self.pid, self._pidfd = spawner.spawn(fds, until)
        except BaseException:
            self._pidfd = -1
            self.close()
            raise
        finally:
            work.close()
            os.close(status_w)

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is a message, or when the process is dead."""
        return self._work.fileno()

    # A chunk

    def pack(self, task: str, arguments: list[Any]) -> int:
        """Write a chunk, the keyword arguments of one call each; return its size in bytes.

        Raises whatever pickling raises.
        """
        self._renew_arenas()
        self.requests.reset()
        self.responses.clear()
        self.requests.append((task, arguments))
        return self.requests.end

    def send(self, count: int, deadline: float, *, slot: bool) -> None:
        """Start the chunk of ``count`` calls that was packed; ``slot`` tells whether it holds a slot.

        Should its thread not see to it in time, the housekeeper kills the process after ``deadline``.

        Raises ``ConnectionError`` when the process is dead.
        """
        if count > 1:
            os.write(self._tickets_w, bytes(count))
        self._work.send(child.CHUNK.pack(count, self._renew, slot))
        if self._renew:
            socket.send_fds(self._work, [b"arenas"], [self.requests.fd, self.responses.fd])
            self._renew = False
        self.calls += count
        self.deadline = deadline

    def _renew_arenas(self) -> None:
        """Make new arenas when somebody still uses views of the old ones."""
        if self._renew or not (self.requests.reusable and self.responses.reusable):
            self.requests.close()
            self.responses.close()
            self.requests, self.responses = Arena.create(), Arena.create()
            self._renew = True

    def take_back(self) -> int:
        """Take the calls that were not begun back from the process, and return their number.

        They are the last ones of the chunk.
        """
        back = 0
        while True:
            try:
                back += len(os.read(self._tickets_r, 65536))
            except BlockingIOError:
                return back

    def receive(self) -> tuple[bytes | None, Any]:
        """Return the next message as its kind and content.

        The kind is empty when the process is dead, ``None`` when it has said nothing.
        """
        try:
            message = self._work.recv(child.MAX_MESSAGE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None, None
        except ConnectionResetError:
            message = b""
        kind = message[:1]
        if kind == child.KIND_EVENT:
            return kind, message[1:]
        if message:
            _, begun, held = child.DONE.unpack(message)
            self._renew = bool(held)
            return kind, begun
        return kind, None

    # The end

    def stop(self) -> None:
        """Ask it to end when it is idle."""
        self._work.shutdown(socket.SHUT_RDWR)

    def send_kill(self) -> None:
        """Kill it, whatever code it is in, and go on."""
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass  # dead already

    def wait(self, seconds: float) -> bool:
        """Wait for its end and tell whether it came."""
        return _readable(self._pidfd, max(0.0, seconds))

    def kill(self) -> None:
        """Kill it, wait for its end and free its slot."""
        self.send_kill()
        if self.wait(KILL_PATIENCE):
            self.holder.release()
            self.holder.ring()

    def exit_code(self) -> int | None:
        """Return how it ended, negative for a signal; ``None`` when nobody can tell."""
        if not _readable(self._status_r, KILL_PATIENCE):
            return None
        status = os.read(self._status_r, forkserver.STATUS.size)
        return int(forkserver.STATUS.unpack(status)[0]) if status else None

    def close(self) -> None:
        """Let go of it; an idle process ends by itself then."""
        if self._closed:
            return
        self._closed = True
        self._work.close()
        for fd in (self._tickets_r, self._tickets_w, self._status_r, self._pidfd):
            if fd >= 0:
                os.close(fd)
        self.requests.close()
        self.responses.close()
        self.holder.close()


def _readable(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
