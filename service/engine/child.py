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

from service.engine import lifeline, stage
from service.engine.capture import Capture
from service.engine.failures import FAILED, OK, UNREADABLE, UNSENDABLE, failure
from service.engine.items import MAX_MESSAGE, ItemSender, Unsendable
from service.engine.slots import Holder
from service.engine.transport import Arena
from service.tasks import registry
from service.tasks.job import current_call
from service.tasks.progress import emitter
from service.telemetry.tracing import current

#: Header of a chunk: its number, number of calls, whether new arenas follow, whether it holds a slot,
#: whether items are wanted one by one, whether the calls are accompanied, whether it is a post of a pipeline,
#: whose descriptors follow. The name of the task comes behind it and, after a zero, the id of the request.
CHUNK = struct.Struct("<II?????")
#: End of a chunk: kind, number of calls begun, whether views of the arguments are still in use.
DONE = struct.Struct("<cI?")
KIND_DONE, KIND_EVENT = b"D", b"E"
#: Most descriptors that the kernel sends at once.
MAX_FDS = 253
#: Longest header in bytes.
MAX_HEADER = 4 * 1024
#: A chunk whose results take more than this many bytes ends early.
MAX_RESULTS = 8 * 1024 * 1024


class Endpoints(NamedTuple):
    """The descriptors of a pool process."""

    work: int
    tickets: int
    requests: int
    responses: int
    slot: int
    bell: int


class Limits(NamedTuple):
    """What a pool process may take."""

    #: In bytes, beyond what it starts with.
    memory: int | None
    cpu_slots: int


def main(endpoints: Endpoints, lifeline_fd: int, limits: Limits, *, lines: str) -> None:
    """Serve chunks until the owner closes the work socket; never returns.

    ``lines`` says what form lines of the log have, if there are to be any: json, text or none.
    """
    code = 1
    try:
        _settle(lifeline_fd, limits.memory)
        Server(endpoints, limits.cpu_slots, lines=lines).serve()
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

    def __init__(self, endpoints: Endpoints, cpu_slots: int, *, lines: str) -> None:
        """Take hold of the endpoints."""
        self._lines = lines
        self._work = socket.socket(fileno=endpoints.work)
        self._tickets = endpoints.tickets
        self._requests = Arena(endpoints.requests)
        self._responses = Arena(endpoints.responses)
        self._slot = Holder(endpoints.slot, endpoints.bell, cpu_slots)
        #: How the call that runs sends its items; ``None`` when they go back as one list.
        self._stream: ItemSender | None = None
        #: Descriptors of a post of a pipeline; ``None`` when the call is of a task.
        self._post_fds: list[int] | None = None
        #: Whether the number of an attempt, and a trace context, come with the arguments of each call.
        self._accompanied = False
        #: CPU time that was taken before the next call.
        self._cpu = time.process_time()

    def serve(self) -> None:
        """Run chunks until the work socket ends."""
        while message := self._receive():
            number, count, renew, slot, stream, self._accompanied, posted = CHUNK.unpack_from(message)
            if renew:
                self._renew_arenas()
            self._post_fds = self._receive_fds() if posted else None
            self._stream = ItemSender(self._work, self._slot if slot else None) if stream else None
            task, _, request = message[CHUNK.size :].decode().partition("\0")
            if self._lines != "text":
                current_call.set({"task": task, "request_id": request} if self._lines == "json" else {})
            begun = self._run_chunk(number, count, task)
            for fd in self._post_fds or ():
                os.close(fd)
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

    def _receive_fds(self) -> list[int]:
        _, fds, _, _ = socket.recv_fds(self._work, 16, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        return fds

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
            status, value = failure(error, UNSENDABLE)
            self._responses.append((status, value, times))
        self._responses.commit(number)

    def _call(self, task: str) -> tuple[int, Any]:
        try:
            args = self._requests.load()
        except BaseException as error:  # noqa: BLE001 - unpickling runs code of the user's
            return failure(error, UNREADABLE)
        capture = None
        try:
            if self._accompanied:
                attempt, trace, args = args
                current.set(trace)
                capture = Capture(attempt) if attempt else None
            return OK, self._value(task, args)
        except Unsendable as error:
            return UNSENDABLE, str(error)
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the call's, not the pool's
            said = failure(error, FAILED)
            error.__traceback__ = None  # its frames hold the arguments
            return said
        finally:
            if capture is not None:
                capture.close()
            if self._accompanied:
                current.set(None)

    def _value(self, task: str, args: Any) -> Any:
        if self._post_fds is not None:
            post, args = args
            stage.serve(task, post, args, self._post_fds, self._slot)
            return None
        value = registry.get(task).function(**args)
        if not isinstance(value, Generator):
            return value
        if self._stream is None:
            return list(value)
        self._stream.send_all(value)
        return None

    def _emit(self, number: int, position: int, kind: str, data: Any) -> None:
        message = KIND_EVENT + pickle.dumps((number, position, kind, data), 5)
        if len(message) > MAX_MESSAGE:
            raise ValueError(f"an event may take at most {MAX_MESSAGE} bytes, not {len(message)}")
        try:
            # Of a log no line may be missing.
            self._work.send(message, 0 if kind == "log" else socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass  # the owner is behind with reading; it will hear how it ends


def _flush() -> None:
    """Let what the task printed out, before the process may be killed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # closed, or nobody reads it
