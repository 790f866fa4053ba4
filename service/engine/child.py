"""What runs inside a pool process.

    work socket  --> header of a chunk, task      <-- events, end of chunk
    requests     --> one block a call: its arguments
    tickets      --> one byte a call of a chunk of several
    responses    <-- one block a call: its result
    work socket  <-- items of a generator, each in a message, or in memory that is sent along

Before each call of several the process takes one ticket. The owner takes tickets back from the same pipe
to have the calls run elsewhere; the kernel sees to it that a ticket is had by one of the two. So it is known
at any time, also after the process was killed, which calls were begun; the blocks committed in ``responses``
say which of these have ended. A call that travels alone is begun when its start is marked there.
"""

from __future__ import annotations

import functools
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Generator
from typing import Any, NamedTuple

from service.engine import lifeline
from service.engine.capture import Capture
from service.engine.items import MAX_MESSAGE, ItemSender, Unsendable
from service.engine.slots import Holder
from service.engine.transport import Arena
from service.tasks import registry
from service.tasks.options import qualified
from service.tasks.progress import emitter

#: Header of a chunk: its number, number of calls, whether new arenas follow, whether it holds a slot,
#: whether items are wanted one by one, whether the calls are of jobs. The name of the task comes behind it.
CHUNK = struct.Struct("<II????")
#: End of a chunk: kind, number of calls begun, whether views of the arguments are still in use.
DONE = struct.Struct("<cI?")
KIND_DONE, KIND_EVENT = b"D", b"E"
#: Longest header in bytes.
MAX_HEADER = 4 * 1024
#: A chunk whose results take more than this many bytes ends early.
MAX_RESULTS = 8 * 1024 * 1024
MAX_TEXT = 4000
#: How a call ended.
OK, FAILED, MEMORY, UNREADABLE, UNSENDABLE = range(5)


class Endpoints(NamedTuple):
    """The descriptors of a pool process."""

    work: int
    tickets: int
    requests: int
    responses: int
    slot: int
    bell: int


def main(endpoints: Endpoints, lifeline_fd: int, memory_limit: int | None, cpu_slots: int) -> None:
    """Serve chunks until the owner closes the work socket; never returns."""
    code = 1
    try:
        _settle(lifeline_fd, memory_limit)
        Server(endpoints, cpu_slots).serve()
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

    def __init__(self, endpoints: Endpoints, cpu_slots: int) -> None:
        """Take hold of the endpoints."""
        self._work = socket.socket(fileno=endpoints.work)
        self._tickets = endpoints.tickets
        self._requests = Arena(endpoints.requests)
        self._responses = Arena(endpoints.responses)
        self._slot = Holder(endpoints.slot, endpoints.bell, cpu_slots)
        #: How the call that runs sends its items; ``None`` when they go back as one list.
        self._stream: ItemSender | None = None
        #: Whether the calls are of jobs: a number of the attempt comes with their arguments.
        self._job = False
        #: CPU time that was taken before the next call.
        self._cpu = time.process_time()

    def serve(self) -> None:
        """Run chunks until the work socket ends."""
        while message := self._receive():
            number, count, renew, slot, stream, self._job = CHUNK.unpack_from(message)
            if renew:
                self._renew_arenas()
            self._stream = ItemSender(self._work, self._slot if slot else None) if stream else None
            begun = self._run_chunk(number, count, message[CHUNK.size :].decode())
            if slot:
                # Before the owner hears of it: it may take the slot for this process again at once.
                self._slot.release()
            self._work.send(DONE.pack(KIND_DONE, begun, not self._requests.reusable))
            if slot:
                self._slot.ring()
            _flush()
            self._cpu = time.process_time()

    def _receive(self) -> bytes:
        try:
            return self._work.recv(MAX_HEADER)
        except ConnectionResetError:
            return b""  # the owner went without reading the last message

    def _renew_arenas(self) -> None:
        _, (requests, responses), _, _ = socket.recv_fds(self._work, 16, 2, socket.MSG_CMSG_CLOEXEC)
        self._requests.close()
        self._responses.close()
        self._requests, self._responses = Arena(requests), Arena(responses)

    def _run_chunk(self, number: int, count: int, task: str) -> int:
        self._requests.reset()
        self._responses.reset()
        begun = 0
        while begun < count and self._responses.end < MAX_RESULTS and (count == 1 or self._take_ticket()):
            # Bound to this call: a thread it leaves behind may speak up when another is running.
            emitter.set(functools.partial(self._emit, number, begun))
            begun += 1
            self._run(begun, task)
        return begun

    def _take_ticket(self) -> bool:
        try:
            os.read(self._tickets, 1)
        except BlockingIOError:
            return False
        return True

    def _run(self, number: int, task: str) -> None:
        started = time.monotonic()
        self._responses.mark_start(started)
        status, value = self._call(task)
        finished, cpu = time.monotonic(), time.process_time()
        times = (started, finished, cpu - self._cpu)
        self._cpu = cpu
        try:
            self._responses.append((status, value, times))
        except BaseException as error:  # noqa: BLE001 - pickling runs code of the user's
            status, value = _failure(error, UNSENDABLE)
            self._responses.append((status, value, times))
        self._responses.commit(number)

    def _call(self, task: str) -> tuple[int, Any]:
        try:
            args = self._requests.load()
        except BaseException as error:  # noqa: BLE001 - unpickling runs code of the user's
            return _failure(error, UNREADABLE)
        capture = None
        try:
            if self._job:
                attempt, args = args
                capture = Capture(attempt)
            value = registry.get(task).function(**args)
            if not isinstance(value, Generator):
                return OK, value
            if self._stream is None:
                return OK, list(value)
            self._stream.send_all(value)
        except Unsendable as error:
            return UNSENDABLE, str(error)
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the call's, not the pool's
            failure = _failure(error, FAILED)
            error.__traceback__ = None  # its frames hold the arguments
            return failure
        finally:
            if capture is not None:
                capture.close()
        return OK, None

    def _emit(self, number: int, position: int, kind: str, data: Any) -> None:
        message = KIND_EVENT + pickle.dumps((number, position, kind, data), 5)
        if len(message) > MAX_MESSAGE:
            raise ValueError(f"an event may take at most {MAX_MESSAGE} bytes, not {len(message)}")
        try:
            # Of a log no line may be missing.
            self._work.send(message, 0 if kind == "log" else socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass  # the owner is behind with reading; it will hear how it ends


def _failure(error: BaseException, otherwise: int) -> tuple[int, Any]:
    """Return how a call ended, and what the owner is told about it."""
    if isinstance(error, MemoryError):
        return MEMORY, None
    if otherwise == FAILED:
        return FAILED, (type(error).__name__, _text(error), _trace(error), _bases(error))
    return otherwise, f"{type(error).__name__}: {_text(error)}"


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


def _bases(error: BaseException) -> tuple[str, ...]:
    try:
        return tuple(map(qualified, type(error).__mro__))
    except BaseException:  # noqa: BLE001 - as above
        return ()


def _flush() -> None:
    """Let what the task printed out, before the process may be killed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # closed, or nobody reads it
