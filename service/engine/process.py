"""One pool process, seen from its owner: start, send a chunk, receive, kill."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import pickle
import select
import signal
import socket
import struct
import termios
import time
from collections.abc import Iterator
from typing import Any

from service.engine import child, forkserver
from service.engine.base import Call
from service.engine.items import MAX_MESSAGE
from service.engine.slots import Slots
from service.engine.spawner import Spawner
from service.engine.transport import Arena

#: Seconds within which a message is soon; the kernel may make more of them, up to four times as much.
SOON = 0.001
#: Seconds to a limit that leave time for a wait of that length, which nothing can interrupt.
FAR = 10 * SOON
_INT = struct.Struct("i")
_SOON = struct.pack("ll", 0, int(SOON * 1e6))
#: Seconds to wait for the end of a process that was killed; after that it holds its slot until it is gone.
KILL_PATIENCE = 1.0


class PoolProcess:
    """A process that runs chunks of calls, one chunk at a time, for one thread at a time."""

    def __init__(self, spawner: Spawner, slots: Slots, until: float) -> None:
        """Fork it; raises ``OSError`` when there are no descriptors, and what ``Spawner.spawn`` raises."""
        #: Number of the latest chunk.
        self.number = 0
        #: Calls it has taken on so far.
        self.calls = 0
        #: Whether it should serve no more, for it ran out of memory once.
        self.worn = False
        #: When it has to be idle again.
        self.deadline = math.inf
        #: Whether it is, or was last, of a crew.
        self.in_crew = False
        #: When it became idle.
        self.idle_since = time.monotonic()
        #: Whether it has given back memory since.
        self.trimmed = False
        self._renew = False
        # Bytes that went to and fro, and were not asked for yet; those in the arenas are not among them.
        self._sent = self._received = 0
        # The memory that came with the latest message.
        self._memory: list[int] = []
        self._inbox = memoryview(bytearray(MAX_MESSAGE))
        with contextlib.ExitStack() as undo:
            self.holder = slots.open()
            undo.callback(self.holder.close)
            self.requests = Arena.create()
            undo.callback(self.requests.close)
            self.responses = Arena.create()
            undo.callback(self.responses.close)
            self._tickets_r, self._tickets_w = _pipe(undo, os.O_NONBLOCK | os.O_CLOEXEC)
            self._work, work = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(self._work.close)
            self._work.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _SOON)
            with work, contextlib.ExitStack() as handed_over:
                self._status_r, status_w = os.pipe2(os.O_CLOEXEC)
                undo.callback(os.close, self._status_r)
                handed_over.callback(os.close, status_w)
                arenas = (self.requests.fd, self.responses.fd)
                fds = (work.fileno(), self._tickets_r, *arenas, self.holder.fd, self.holder.bell, status_w)
                self.pid, self.pidfd = spawner.spawn(fds, until)
            undo.callback(os.close, self.pidfd)
            self._close = undo.pop_all()

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is a message."""
        return self._work.fileno()

    # A chunk

    def begin(self) -> None:
        """Make room for a chunk; raises ``OSError`` when there are no descriptors for that."""
        if self._renew or not (self.requests.reusable and self.responses.reusable):
            # Somebody still uses views of the old memory, or it is too large to keep.
            requests, responses = Arena.create(), Arena.create()
            self.requests.close()
            self.responses.close()
            self.requests, self.responses, self._renew = requests, responses, True
        self.requests.reset()
        self.responses.clear()

    def add(self, call: Call) -> int:
        """Add a call; return the size of the chunk so far, in bytes.

        Raises whatever pickling raises; the call is not in the chunk then.
        """
        args: Any = call.args if call.post is None else (call.post, call.args)
        self.requests.append((call.attempt, call.trace, args) if call.is_accompanied else args)
        return self.requests.end

    def send(self, call: Call, count: int, deadline: float, *, slot: bool) -> None:
        """Start the chunk of ``count`` calls that were added; ``slot`` tells whether it holds a slot.

        All are like ``call``, one of them, in what is no argument. If that is streamed it is alone, and each
        item comes in a message of its own; if it has a post it is alone, too.

        Should its thread not see to it in time, the housekeeper kills the process after ``deadline``.
        Raises ``ConnectionError`` when the process is dead.
        """
        self.number = (self.number + 1) % 2**32
        if count > 1:
            os.write(self._tickets_w, bytes(count))
        posted = call.post is not None
        header = child.CHUNK.pack(
            self.number, count, self._renew, slot, call.stream, call.is_accompanied, posted
        )
        self._work.send(header + f"{call.task}\0{call.request_id}".encode())
        if self._renew:
            socket.send_fds(self._work, [b"arenas"], [self.requests.fd, self.responses.fd])
            self._renew = False
        if posted:
            socket.send_fds(self._work, [b"post"], call.fds)
        self.calls += count
        self._sent += self.requests.end
        self.deadline = deadline

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

    def receive(self, *, wait: bool, stream: bool) -> tuple[bytes | None, Any]:
        """Return the next message as its kind and content; ``wait`` for it if it comes soon.

        The kind is empty when the process is dead, ``None`` when it has said nothing. Memory comes along
        with messages of a ``stream`` only.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            size = self._receive_with_memory(flags) if stream else self._work.recv_into(self._inbox, 0, flags)
        except BlockingIOError:
            return None, None
        except ConnectionResetError:
            size = 0
        kind = bytes(self._inbox[: min(size, 1)])
        if kind == child.KIND_DONE:
            _, begun, held = child.DONE.unpack_from(self._inbox)
            self._renew = bool(held)
            return kind, begun
        return kind, bytes(self._inbox[1:size])

    def _receive_with_memory(self, flags: int) -> int:
        size, extra, _, _ = self._work.recvmsg_into(
            [self._inbox], socket.CMSG_SPACE(_INT.size), flags | socket.MSG_CMSG_CLOEXEC
        )
        self._memory = [_INT.unpack_from(data)[0] for _, _, data in extra if len(data) >= _INT.size]
        return size

    def item(self, content: bytes) -> Any:
        """Return the item that the latest message holds, or that is in the memory which came with it.

        Raises whatever unpickling raises.
        """
        if content:
            self._received += len(content)
            return pickle.loads(content)
        if not self._memory:
            raise OSError("the memory of an item was lost on the way: too many open files")
        with contextlib.closing(Arena(self._memory.pop())) as arena:
            item = arena.load()
            self._received += arena.loaded
            return item

    def carried(self) -> tuple[int, int]:
        """Return how many bytes of arguments and of results there were in the chunk that has ended."""
        sent, received = self._sent, self._received + self.responses.loaded
        self._sent = self._received = 0
        return sent, received

    @property
    def unheard(self) -> int:
        """How many bytes of messages there are to receive."""
        if self._work.fileno() < 0:
            return 0  # a run that nobody closed is garbage, and the collector came to the socket first
        return int(_INT.unpack(fcntl.ioctl(self._work, termios.FIONREAD, bytes(_INT.size)))[0])

    # The end

    def last_words(self) -> Iterator[bytes]:
        """Yield the events that it sent before it was killed and that were not received."""
        # Counted, for a child of its own may be alive and have no end of talking.
        left = self.unheard
        while left > 0:
            kind, content = self.receive(wait=False, stream=False)
            if kind is None or kind == child.KIND_DONE:
                return
            left -= 1 + len(content)
            if kind == child.KIND_EVENT:
                yield content

    def stop(self) -> None:
        """Ask it to end when it is idle."""
        self._work.shutdown(socket.SHUT_RDWR)

    def send_kill(self) -> None:
        """Kill it, whatever code it is in, and go on."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass  # dead already

    def wait(self, seconds: float) -> bool:
        """Wait for its end and tell whether it came."""
        return _readable(self.pidfd, max(0.0, seconds))

    def kill(self) -> None:
        """Kill it, wait for its end and free its slot."""
        self.send_kill()
        if self.wait(KILL_PATIENCE):
            self.give_slot_back()

    def give_slot_back(self) -> None:
        """Free its slot; only while it neither computes nor waits."""
        self.holder.let_go()
        self.holder.ring()

    def exit_code(self) -> int | None:
        """Return how it ended, negative for a signal; ``None`` when nobody can tell."""
        if not _readable(self._status_r, KILL_PATIENCE):
            return None
        status = os.read(self._status_r, forkserver.STATUS.size)
        return int(forkserver.STATUS.unpack(status)[0]) if status else None

    def trim(self) -> None:
        """Give back the memory that its last messages took, if nobody uses it."""
        if not self._renew and self.requests.reusable and self.responses.reusable:
            self.requests.trim()
            self.responses.trim()
            self.trimmed = True

    def close(self) -> None:
        """Let go of it; an idle process ends by itself then. A second call does nothing."""
        self._close.close()
        self.requests.close()
        self.responses.close()


def _pipe(undo: contextlib.ExitStack, flags: int) -> tuple[int, int]:
    ends = os.pipe2(flags)
    for fd in ends:
        undo.callback(os.close, fd)
    return ends


def _readable(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
