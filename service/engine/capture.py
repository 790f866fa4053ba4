"""What a call of a job prints, as events, line by line.

print ──> sys.stdout ──> Lines ─┬─ the call's own threads ──> emitter: lines of the job's log
                                └─ anybody else ──> the process's own stdout
"""

from __future__ import annotations

import codecs
import functools
import io
import sys
import threading
from collections.abc import Callable
from typing import Any

from service.tasks.job import MAX_LINE, current_attempt, send_line, sendable
from service.tasks.progress import emitter

Emit = Callable[[str, Any], None]

#: Held while ``sys.stdout`` or ``sys.stderr`` is replaced.
_lock = threading.Lock()


class Capture:
    """Takes what a call prints from now on, until it is closed."""

    def __init__(self, attempt: int) -> None:
        """Begin; the call's emitter is set."""
        emit = emitter.get()
        assert emit is not None
        others = frozenset(threading.enumerate())
        self._token = current_attempt.set(attempt)
        self._streams = {name: Lines(name, emit, others) for name in ("stdout", "stderr")}

    def close(self) -> None:
        """Send what is left, and put the old streams back."""
        current_attempt.reset(self._token)
        for stream in self._streams.values():
            stream.put_back()
        for stream in self._streams.values():
            stream.finish()


class Lines(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr`` while a call runs, and sends lines of its job's log."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, stream: str, emit: Emit, others: frozenset[threading.Thread]) -> None:
        """Take the place of ``stream``; ``others`` are threads that were there before the call."""
        self.name = f"<{stream}>"
        self._stream = stream
        self._emit = emit
        self._others = others
        #: Whether the call has ended.
        self.over = False
        #: Beginnings of lines, by thread: what several threads print is not mixed within a line.
        self._begun: dict[int, str] = {}
        with _lock:
            self._own: Any = getattr(sys, stream)
            setattr(sys, stream, self)

    def put_back(self) -> None:
        """Make room for the stream that was there before; what comes in late goes there, too."""
        with _lock:
            self.over = True
            now = getattr(sys, self._stream)
            # In one process calls may overlap, if it has an engine for tests.
            if not isinstance(now, Lines) or now.over:
                setattr(sys, self._stream, self.before())

    def before(self) -> Any:
        """Return the stream that was there before, and is still in use."""
        own = self._own
        return own.before() if isinstance(own, Lines) and own.over else own

    def finish(self) -> None:
        """Send lines that have no end."""
        for line in list(self._begun.values()):
            send_line(self._emit, self._stream, line)

    def write(self, text: str) -> int:
        """Send the lines that this completes."""
        if self.over or not self._is_of_the_call():
            if self._own is not None:
                self._own.write(text)
            return len(text)
        thread = threading.get_ident()
        *lines, rest = (self._begun.pop(thread, "") + sendable(text)).split("\n")
        for line in lines:
            send_line(self._emit, self._stream, line)
        if len(rest) > MAX_LINE:
            whole = (len(rest) - 1) // MAX_LINE * MAX_LINE
            send_line(self._emit, self._stream, rest[:whole])
            rest = rest[whole:]
        if rest:
            self._begun[thread] = rest
        return len(text)

    def _is_of_the_call(self) -> bool:
        """Tell whether this thread works for the call, and was not left behind by an earlier one."""
        emit = emitter.get()
        if emit is not None:
            return emit is self._emit
        return threading.current_thread() not in self._others

    @functools.cached_property
    def buffer(self) -> io.BufferedIOBase:
        """What takes bytes."""
        return _Buffer(self)

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the process's own descriptor; what is written there is not captured."""
        if self._own is None:
            raise io.UnsupportedOperation("fileno")
        return int(self._own.fileno())

    def reconfigure(self, **_: object) -> None:
        """Stay as it is; programs that set up their output ask for this."""


class _Buffer(io.BufferedIOBase):
    """Takes bytes for UTF-8."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._lines.write(self._decoder.decode(data))
        return len(data)
