"""Processes at the ends of channels, and what they do there."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np

from service.engine.channel import Closed, Reader, Writer

NOBODY = 65534


class Processes:
    """Starts processes from a fork server, so that they inherit nothing."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._started: list[ForkServerProcess] = []

    def start(self, function: Callable[..., None], end: Reader | Writer, *args: Any, **more: Any) -> Process:
        """Have a process call ``function`` with its own copy of an end of a channel, and a pipe to tell."""
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(function, Copy(end), theirs, *args), kwargs=more)
        process.start()
        theirs.close()
        self._started.append(process)
        return Process(process, ours)

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.join()
            process.close()


class Process:
    """One of them."""

    def __init__(self, process: ForkServerProcess, pipe: Connection) -> None:
        self._process = process
        self._pipe = pipe
        self.pid = process.pid

    def speaks(self) -> bool:
        """Return whether it has told something that was not asked for yet, or is gone."""
        return self._pipe.poll()

    def said(self) -> Any:
        """Return the next thing that it tells; raises ``EOFError`` when it is gone."""
        assert self._pipe.poll(20), "it says nothing"
        return self._pipe.recv()

    def all_said(self) -> list[Any]:
        """Return everything that it tells until it is gone."""
        things = []
        with contextlib.suppress(EOFError):
            while True:
                things.append(self.said())
        return things

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def ended(self, within: float = 20) -> int | None:
        """Wait for its end and return its status."""
        self._process.join(within)
        return self._process.exitcode


class Copy:
    """An end of a channel that travels to a new process."""

    def __init__(self, end: Reader | Writer) -> None:
        self._kind = type(end)
        self._fd = end.fileno()

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self._kind, DupFd(self._fd))


def _open(kind: type[Reader | Writer], fd: Any) -> Reader | Writer:
    return kind(fd.detach())


def _work(
    function: Callable[..., None], end: Reader | Writer, pipe: Connection, *args: Any, **more: Any
) -> None:
    function(end, pipe.send, *args, **more)
    end.close()


# What they do

Tell = Callable[[Any], None]


def put(writer: Writer, tell: Tell, items: Iterable[Any], *, many: bool = False) -> None:
    """Put all items in."""
    if many:
        writer.put_many(items)
        return
    for item in items:
        writer.put(item)


def put_until_closed(writer: Writer, tell: Tell, item: Any) -> None:
    """Put the same item in until nobody reads any more, and tell so."""
    tell("begun")
    try:
        while True:
            writer.put(item)
    except Closed:
        tell("closed")


def put_arrays(writer: Writer, tell: Tell, name: str, length: int) -> None:
    """Put numbered arrays in, which have the number in every place, without end."""
    for number in range(10**9):
        writer.put((name, number, np.full(length, number)))


def take(reader: Reader, tell: Tell) -> None:
    """Take all items out and tell them when they end."""
    tell(list(taken(reader)))


def take_and_tell(reader: Reader, tell: Tell) -> None:
    """Tell each item before the next is taken."""
    for item in taken(reader):
        tell(item)


def take_one_and_stop(reader: Reader, tell: Tell) -> None:
    """Take one item and stop where SIGSTOP would."""
    tell(reader.get())
    os.kill(os.getpid(), signal.SIGSTOP)


def check_arrays(reader: Reader, tell: Tell) -> None:
    """Tell the name and number of each array, once it has the number in every place."""
    for name, number, array in taken(reader):
        assert (array == number).all()
        tell((name, number))


def put_large_ones_as_nobody(writer: Writer, tell: Tell, open_files: int) -> None:
    """Put large items in, as a user who may not have more descriptors on their way than open files.

    Tell how many were sent without waiting, and put one more in then.
    """
    with nobody():
        _put_large_ones(writer, tell, open_files)


def _put_large_ones(writer: Writer, tell: Tell, open_files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    large, sent = np.zeros(100_000), 0
    message = writer.pack(large)
    while writer.send(message, wait=False):
        sent += 1
        message = writer.pack(large)
    tell(sent)
    writer.send(message, wait=True)


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Be a user without rights for a while, if we are root, who writes what coverage notes at the end."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def taken(reader: Reader) -> Iterator[Any]:
    """Yield the items until they end."""
    with contextlib.suppress(EOFError):
        while True:
            yield reader.get()
