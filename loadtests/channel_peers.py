"""The ways to pass items from process to process that ``bench_channel`` compares.

Each is made in the process that measures; ends of it go to others, which are started with them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from typing import Any, ClassVar

from service.engine.channel import Reader, Writer, channel

CONTEXT = multiprocessing.get_context("forkserver")


class End:
    """What a process has of a peer."""

    def put_all(self, items: Iterable[Any]) -> None:
        """Put all items in."""
        raise NotImplementedError

    def getter(self) -> Callable[[], Any]:
        """Return what takes one item out."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of it, once what was put in is on its way."""
        raise NotImplementedError


class Peer:
    """One queue."""

    name: ClassVar[str]
    #: Whether it can be told how many items may wait.
    bounded: ClassVar[bool] = True
    #: Whether several processes can write, and read.
    shared: ClassVar[bool] = True

    writer: End
    reader: End

    def __init__(self, capacity: int) -> None:
        """Make it."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of it in this process."""
        self.writer.close()
        self.reader.close()


class ChannelEnd(End):
    """One end of a channel."""

    def __init__(self, end: Writer | Reader, *, many: bool) -> None:
        """Use ``end``, with ``put_many`` if so told."""
        self._end = end
        self._many = many

    def put_all(self, items: Iterable[Any]) -> None:
        """Put all items in."""
        assert isinstance(self._end, Writer)
        if self._many:
            self._end.put_many(items)
            return
        put = self._end.put
        for item in items:
            put(item)

    def getter(self) -> Callable[[], Any]:
        """Return what takes one item out."""
        assert isinstance(self._end, Reader)
        return self._end.get

    def close(self) -> None:
        """Let go of it."""
        self._end.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to a process that is being started."""
        return _opened, (type(self._end), DupFd(self._end.fileno()), self._many)


def _opened(kind: type[Writer | Reader], fd: Any, many: bool) -> ChannelEnd:  # noqa: FBT001 - from __reduce__
    return ChannelEnd(kind(fd.detach()), many=many)


class QueueEnd(End):
    """Either end of a queue of ``multiprocessing``."""

    def __init__(self, queue: Any) -> None:
        """Use ``queue``."""
        self._queue = queue

    def put_all(self, items: Iterable[Any]) -> None:
        """Put all items in."""
        put = self._queue.put
        for item in items:
            put(item)

    def getter(self) -> Callable[[], Any]:
        """Return what takes one item out."""
        get: Callable[[], Any] = self._queue.get
        return get

    def close(self) -> None:
        """Let go of it; a ``Queue`` waits here for its thread, which sends."""
        self._queue.close()
        if hasattr(self._queue, "join_thread"):
            self._queue.join_thread()


class PipeEnd(End):
    """One end of a pipe."""

    def __init__(self, connection: Connection) -> None:
        """Use ``connection``."""
        self._connection = connection

    def put_all(self, items: Iterable[Any]) -> None:
        """Put all items in."""
        send = self._connection.send
        for item in items:
            send(item)

    def getter(self) -> Callable[[], Any]:
        """Return what takes one item out."""
        return self._connection.recv

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


class Channel(Peer):
    """A channel, item by item."""

    name = "channel"
    many: ClassVar[bool] = False

    def __init__(self, capacity: int) -> None:
        """Make it."""
        writer, reader = channel(capacity)
        self.writer, self.reader = ChannelEnd(writer, many=self.many), ChannelEnd(reader, many=False)


class ChannelMany(Channel):
    """A channel, many items at once."""

    name = "put_many"
    many = True


class BoundedQueue(Peer):
    """``multiprocessing.Queue`` with the channel's capacity."""

    name = "Queue(n)"

    def __init__(self, capacity: int) -> None:
        """Make it."""
        self.writer = self.reader = QueueEnd(CONTEXT.Queue(capacity))


class UnboundedQueue(Peer):
    """``multiprocessing.Queue`` as most people use it."""

    name = "Queue()"
    bounded = False

    def __init__(self, capacity: int) -> None:  # noqa: ARG002 - as many as come
        """Make it."""
        self.writer = self.reader = QueueEnd(CONTEXT.Queue())


class SimpleQueue(Peer):
    """``multiprocessing.SimpleQueue``: a pipe with two locks, bounded by what a pipe holds."""

    name = "SimpleQueue"
    bounded = False

    def __init__(self, capacity: int) -> None:  # noqa: ARG002 - as many as a pipe holds
        """Make it."""
        self.writer = self.reader = QueueEnd(CONTEXT.SimpleQueue())


class RawPipe(Peer):
    """``multiprocessing.Pipe``: one writer, one reader."""

    name = "raw pipe"
    bounded = shared = False

    def __init__(self, capacity: int) -> None:  # noqa: ARG002 - as many as a pipe holds
        """Make it."""
        reader, writer = CONTEXT.Pipe(duplex=False)
        self.writer, self.reader = PipeEnd(writer), PipeEnd(reader)


#: In the order of the table.
PEERS: dict[str, type[Peer]] = {
    peer.name: peer for peer in (Channel, ChannelMany, BoundedQueue, UnboundedQueue, SimpleQueue, RawPipe)
}
