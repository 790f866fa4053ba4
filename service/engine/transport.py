"""Values between two processes through shared memory, without a lock.

An ``Arena`` is an anonymous memory file (``memfd_create``) that one process appends to and another
reads. A value is pickled straight into it (protocol 5); large buffers inside it, such as a NumPy
array's, are copied in once beside the pickle and read in place, without another copy. The memory is
used again for the next message, so its pages are faulted in once. Nothing of it has a name that could
be left behind.

    page  | count of committed blocks, start of the running call
    block | header: length of pickle, number of buffers, end of block
          | pickle
          | lengths of the buffers
          | buffers, each aligned to 64 bytes
    block | ...

The page makes the writer's progress readable at any time, also after its death: a block is valid once
it is counted.

Source: PEP 574, "Pickle protocol 5 with out-of-band data".
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from collections.abc import Callable
from typing import Any

_PAGE = struct.Struct("<Qd")
_COUNT = struct.Struct("<Q")
_STARTED = struct.Struct("<d")
_HEADER = struct.Struct("<QQQ")

#: Offset of the first block.
FIRST = 64
_STARTED_AT = _COUNT.size
_ALIGN = 64
_INITIAL = 64 * 1024
_SPARE = 4 * 1024 * 1024
# What is longer is written to new memory as to a file.
_SOME_PAGES = 32 * 1024

#: Buffers below this size travel inside the pickle: looking after a view costs more than the copy.
OUT_OF_BAND = 32 * 1024
#: Arenas above this size are given back instead of kept for the next message.
KEEP = 64 * 1024 * 1024


def beside_the_pickle(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """Return what picks the large buffers out of a pickle, into ``buffers``."""

    def beside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND:
            return True
        buffers.append(raw)
        return False

    return beside


class Arena:
    """One end of a memory file; either end may be the writer, not both."""

    def __init__(self, fd: int, size: int = 0) -> None:
        """Map the memory file ``fd``, made ``size`` bytes long if not 0, and own it from now on."""
        self.fd = fd
        try:
            if size:
                os.ftruncate(fd, size)
            self._map = mmap.mmap(fd, 0)
        except BaseException:
            os.close(fd)
            raise
        self._held = False
        self._viewed = False
        # How far the memory has been written in large pieces.
        self._touched = 0
        self.reset()

    @classmethod
    def create(cls) -> Arena:
        """Return an arena over new memory."""
        return cls(os.memfd_create("everycore", os.MFD_CLOEXEC), _INITIAL)

    # Writing

    def reset(self) -> None:
        """Forget every block; reading starts at the first again."""
        self.end = FIRST
        self._cursor = FIRST
        self._loaded = 0
        self._lost: Exception | None = None

    def clear(self) -> None:
        """As its writer, take back what was committed."""
        self.reset()
        _PAGE.pack_into(self._map, 0, 0, 0.0)

    def append(self, value: Any) -> None:
        """Write ``value`` as one more block; it is not valid before ``commit``.

        Raises whatever pickling it raises, and leaves no trace then.
        """
        start = self.end
        buffers: list[memoryview] = []
        beside = beside_the_pickle(buffers)
        self.end += _HEADER.size
        try:
            pickle.Pickler(self, 5, buffer_callback=beside).dump(value)
            length = self.end - start - _HEADER.size
            if buffers:
                self._append_buffers(buffers)
        except BaseException:
            self.end = start
            raise
        _HEADER.pack_into(self._map, start, length, len(buffers), self.end)

    def append_pickled(self, pickled: bytes, buffers: list[memoryview]) -> None:
        """Write a value as one more block that was pickled before, with ``buffers`` beside the pickle."""
        start = self.end
        self.end += _HEADER.size
        self.write(pickled)
        if buffers:
            self._append_buffers(buffers)
        _HEADER.pack_into(self._map, start, len(pickled), len(buffers), self.end)

    def hold(self, pickled: bytes, buffers: list[memoryview]) -> None:
        """Write a value that was pickled before as the only one, valid at once; close when that fails."""
        try:
            self.append_pickled(pickled, buffers)
            self.commit(1)
        except BaseException:
            self.close()
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Take the next piece of a pickle; what ``pickle.Pickler`` asks of a file."""
        stop = self.end + len(data)
        if stop > len(self._map):
            self._grow(stop)
        if stop > self._touched and len(data) >= _SOME_PAGES:
            self._write_to_file(data)
        else:
            self._map[self.end : stop] = data
        self.end = stop

    def _write_to_file(self, data: bytes | memoryview) -> None:
        # New pages come cheaper so: none is cleared first, and none faulted in.
        done = 0
        with memoryview(data) as whole:
            while done < len(whole):
                done += os.pwrite(self.fd, whole[done:], self.end + done)
        self._touched = self.end + done

    def _append_buffers(self, buffers: list[memoryview]) -> None:
        self.write(b"".join(_COUNT.pack(raw.nbytes) for raw in buffers))
        for raw in buffers:
            self.end = _aligned(self.end)
            self.write(raw)
            raw.release()

    def _grow(self, needed: int) -> None:
        # Some room to spare keeps the number of remaps small.
        self._map.resize(_aligned(needed + min(needed, _SPARE)))

    def mark_start(self, when: float) -> None:
        """Note when the running call began, in ``time.monotonic()`` seconds."""
        # In one piece, or who reads it at this moment may find neither the old time nor the new one:
        # ``pack_into`` clears the place first.
        self._map[_STARTED_AT : _STARTED_AT + _STARTED.size] = _STARTED.pack(when)

    def commit(self, count: int) -> None:
        """Make ``count`` blocks valid."""
        self._map[: _COUNT.size] = _COUNT.pack(count)  # in one piece, too

    # Reading

    @property
    def committed(self) -> int:
        """How many blocks are valid."""
        return int(_COUNT.unpack_from(self._map, 0)[0])

    @property
    def mapping(self) -> mmap.mmap:
        """The memory; views keep it alive when the arena is closed."""
        return self._map

    @property
    def started(self) -> float:
        """When the running call began."""
        return float(_STARTED.unpack_from(self._map, _STARTED_AT)[0])

    @property
    def loaded(self) -> int:
        """How many bytes the blocks have that were loaded."""
        return self._cursor - FIRST

    @property
    def unread(self) -> int:
        """How many valid blocks were not loaded yet."""
        return self.committed - self._loaded

    def load(self, *, copy: bool = False) -> Any:
        """Read the next block; large buffers in it are views of the shared memory, or copies.

        Raises whatever unpickling raises; the block counts as read all the same. When the memory can't be
        mapped, every further block is lost, too.
        """
        self._loaded += 1
        if self._lost is not None:
            raise self._lost
        try:
            length, count, end = self._header()
        except (OSError, MemoryError) as error:
            self._lost = error
            raise
        start = self._cursor + _HEADER.size
        stop = start + length
        self._cursor = end
        if count:
            views = self._views(stop, count)
            return pickle.loads(self._map[start:stop], buffers=map(bytearray, views) if copy else views)
        if length < OUT_OF_BAND:
            return pickle.loads(self._map[start:stop])
        with memoryview(self._map) as whole, whole[start:stop] as stream:
            return pickle.loads(stream)

    def _header(self) -> tuple[int, int, int]:
        """Return the header at the cursor, once its whole block is mapped."""
        if self._cursor + _HEADER.size > len(self._map):
            self._follow()
        header = _HEADER.unpack_from(self._map, self._cursor)
        if header[2] > len(self._map):
            self._follow()
        return header

    def _follow(self) -> None:
        """Map what the writer has added by growing the file."""
        old = self._map
        self._map = mmap.mmap(self.fd, 0)
        try:
            old.close()
        except BufferError:
            self._held = True  # somebody still uses a view; the old mapping goes when the view does

    def _views(self, position: int, count: int) -> list[memoryview]:
        sizes = [size for (size,) in _COUNT.iter_unpack(self._map[position : position + count * _COUNT.size])]
        position += count * _COUNT.size
        whole, views = memoryview(self._map), []
        self._viewed = True
        for size in sizes:
            position = _aligned(position)
            views.append(whole[position : position + size])
            position += size
        return views

    # Using again

    @property
    def reusable(self) -> bool:
        """Whether the memory may be written again: no view of it is alive, and it is not too large."""
        if self._viewed and not _has_views(self._map):
            self._viewed = False
        return not (self._held or self._viewed) and len(self._map) <= KEEP

    def trim(self) -> None:
        """Give the pages back that the last messages took; nobody may be reading or writing."""
        size = os.fstat(self.fd).st_size
        if size > _INITIAL:
            os.ftruncate(self.fd, 0)
            os.ftruncate(self.fd, size)
            self._touched = 0

    def close(self) -> None:
        """Let go of the memory; views of it stay valid."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        try:
            self._map.close()
        except BufferError:
            self._held = True


def _has_views(mapping: mmap.mmap) -> bool:
    """Tell whether a view of the mapping is alive.

    ``mmap`` counts its views but does not tell; it refuses to resize while there are any, and it checks
    that before it looks at the size.
    """
    try:
        mapping.resize(-1)
    except BufferError:
        return True
    except ValueError:
        return False
    raise AssertionError  # a negative size is never valid


def _aligned(position: int) -> int:
    return -(-position // _ALIGN) * _ALIGN
