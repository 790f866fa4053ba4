"""What runs inside a pool process.

    work socket  --> header of a chunk          <-- events, end of chunk
    requests     --> (task, [args])
    tickets      --> one byte a call of a chunk of several
    responses    <-- one block a call

Before each call of several the process takes one ticket. The owner takes tickets back from the same pipe
to have the calls run elsewhere; the kernel sees to it that a ticket is had by one of the two. So it is known
at any time, also after the process was killed, which calls were begun; the blocks committed in ``responses``
say which of these have ended. A call that travels alone is begun when its start is marked there.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from service.engine import lifeline
from service.engine.slots import Holder
from service.engine.transport import Arena
from service.tasks import registry
from service.tasks.progress import emitter

#: Header of a chunk: number of calls, whether new arenas follow, whether the process holds a slot for it.
CHUNK = struct.Struct("<I??")
#: End of a chunk: kind, number of calls begun, whether views of the arguments are still in use.
DONE = struct.Struct("<cI?")
KIND_DONE, KIND_EVENT, KIND_UNREADABLE = b"D", b"E", b"U"
#: Longest message on the work socket, in bytes.
MAX_MESSAGE = 96 * 1024
#: A chunk whose results take more than this many bytes ends early.
MAX_RESULTS = 8 * 1024 * 1024
MAX_TEXT = 4000
#: How a call ended.
OK, FAILED, MEMORY, UNSENDABLE = range(4)


class Endpoints(NamedTuple):
    """The descriptors of a pool process."""

    work: int
    tickets: int
    requests: int
    responses: int
    slot: int
    bell: int


def main(endpoints: Endpoints, lifeline_fd: int, memory_limit: int | None) -> None:
    """Serve chunks until the owner closes the work socket; never returns."""
    code = 1
    try:
        _settle(lifeline_fd, memory_limit)
        Server(endpoints, memory_limit).serve()
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may reach the fork server's code below this frame
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _settle(lifeline_fd: int, memory_limit: int | None) -> None:
    """Make a fork of the fork server a process of its own."""
    lifeline.arm(lifeline_fd)
    set_name("everycore-pool")
    os.setpgid(0, 0)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    _volunteer_for_the_oom_killer()
    if memory_limit is not None:
        limit = _data_bytes() + memory_limit
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if "numpy.random" in sys.modules:
        # Or every pool process would draw the same numbers; Python's own generator sees to itself.
        sys.modules["numpy.random"].seed()


def set_name(name: str) -> None:
    """Set what ``top`` and ``ps -o comm`` show; at most 15 characters."""
    _write("/proc/self/comm", name)


def _volunteer_for_the_oom_killer() -> None:
    _write("/proc/self/oom_score_adj", "500")


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        pass  # not allowed everywhere, and no reason not to work


def _data_bytes() -> int:
    """Return what counts towards RLIMIT_DATA already."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[5]) * resource.getpagesize()


class Server:
    """Runs chunk after chunk."""

    def __init__(self, endpoints: Endpoints, memory_limit: int | None) -> None:
        """Take hold of the endpoints."""
        self._work = socket.socket(fileno=endpoints.work)
        self._tickets = endpoints.tickets
        self._requests = Arena(endpoints.requests)
        self._responses = Arena(endpoints.responses)
        self._slot = Holder(endpoints.slot, endpoints.bell)
        self._memory_limit = memory_limit
        self._position = 0
        #: CPU time that was taken by earlier calls.
        self._cpu = time.process_time()
        emitter.set(self._emit)

    def serve(self) -> None:
        """Run chunks until the work socket ends."""
        while True:
            message = self._work.recv(CHUNK.size)
            if not message:
                return
            count, renew, slot = CHUNK.unpack(message)
            if renew:
                self._renew_arenas()
            kind, begun = self._run_chunk(count)
            if slot:
                # Before the owner hears of it: it may take the slot for this process again at once.
                self._slot.release()
            self._work.send(DONE.pack(kind, begun, not self._requests.reusable))
            if slot:
                self._slot.ring()
            _flush()
            self._cpu = time.process_time()

    def _renew_arenas(self) -> None:
        _, (requests, responses), _, _ = socket.recv_fds(self._work, 16, 2, socket.MSG_CMSG_CLOEXEC)
        self._requests.close()
        self._responses.close()
        self._requests, self._responses = Arena(requests), Arena(responses)

    def _run_chunk(self, count: int) -> tuple[bytes, int]:
        self._requests.reset()
        self._responses.reset()
        try:
            task, arguments = self._requests.load()
            function = registry.get(task).function
        except BaseException as error:  # noqa: BLE001 - unpickling runs code of the user's
            self._responses.append(_describe(error))  # not committed: it is no call's outcome
            return KIND_UNREADABLE, 0
        begun = 0
        while begun < count and self._responses.end < MAX_RESULTS and (count == 1 or self._take_ticket()):
            args, arguments[begun] = arguments[begun], None
            self._position = begun
            begun += 1
            self._run(begun, function, args)
        return KIND_DONE, begun

    def _take_ticket(self) -> bool:
        try:
            os.read(self._tickets, 1)
        except BlockingIOError:
            return False
        return True

    def _run(self, number: int, function: Callable[..., Any], args: Mapping[str, Any]) -> None:
        started = time.monotonic()
        self._responses.mark_start(started)
        try:
            value = function(**args)
            status = OK
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the call's, not the pool's
            status, value = _failure(error)
            error.__traceback__ = None
        finished, cpu = time.monotonic(), time.process_time()
        times = (started, finished, cpu - self._cpu)
        self._cpu = cpu
        try:
            self._responses.append((status, value, times))
        except BaseException as error:  # noqa: BLE001 - pickling runs code of the user's
            status = MEMORY if isinstance(error, MemoryError) else UNSENDABLE
            self._responses.append((status, _describe(error), times))
        self._responses.commit(number)

    def _emit(self, kind: str, data: Any) -> None:
        message = KIND_EVENT + pickle.dumps((self._position, kind, data), 5)
        if len(message) > MAX_MESSAGE:
            msg = f"an event may take at most {MAX_MESSAGE} bytes, not {len(message)}"
            raise ValueError(msg)
        self._work.send(message)


def _failure(error: BaseException) -> tuple[int, Any]:
    if isinstance(error, MemoryError):
        return MEMORY, None
    return FAILED, (type(error).__name__, _text(error), _trace(error))


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {_text(error)}"


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except BaseException:  # noqa: BLE001 - an exception's own code may be broken too
        return "(its text can't be had)"


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error, limit=-20))[-MAX_TEXT:]
    except BaseException:  # noqa: BLE001 - as above
        return ""


def _flush() -> None:
    """Let what the task printed out, before the process may be killed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # closed, or nobody reads it
