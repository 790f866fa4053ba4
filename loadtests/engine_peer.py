"""What ``bench_engine`` asks of each way to run a function in another process."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

Function = Callable[[Any], Any]

#: Seconds after which a call that gave no answer is given up.
PATIENCE = 30.0


class Peer:
    """What is measured; one that can't do something says so in its class attributes."""

    name: ClassVar[str]
    #: Module that must be installed.
    module: ClassVar[str]
    start_method: ClassVar[str] = "forkserver"
    #: Whether it cuts a map into chunks without being told how.
    chunks_by_itself: ClassVar[bool] = False
    #: Whether it can be told how many items to send at once.
    takes_chunksize: ClassVar[bool] = False
    #: Whether it starts a further process for a call that finds the others busy.
    grows: ClassVar[bool] = False
    #: Whether it ends a task at a deadline.
    has_deadlines: ClassVar[bool] = False

    def __init__(self, processes: int) -> None:
        """Start, or get ready to start, that many processes."""
        self.processes = processes

    @classmethod
    def installed(cls) -> bool:
        """Tell whether it can be measured here."""
        return importlib.util.find_spec(cls.module) is not None

    @classmethod
    def load(cls) -> Any:
        """Import it, and return its module."""
        return importlib.import_module(cls.module)

    def call(self, function: Function, value: Any, patience: float = PATIENCE) -> Any:
        """Return the answer to one call; raises ``TimeoutError`` after ``patience`` seconds."""
        raise NotImplementedError

    def call_within(self, function: Function, value: Any, seconds: float) -> Any:
        """Return the answer to one call that is ended, with ``TimeoutError``, after that time."""
        raise NotImplementedError

    def fan_out(self, function: Function, values: Sequence[Any]) -> list[Any]:
        """Return the answers to calls made all at once, in their order."""
        raise NotImplementedError

    def map(self, function: Function, values: Iterable[Any]) -> list[Any]:
        """Return the answers to many calls, in their order, by the means that come to hand first."""
        raise NotImplementedError

    def map_in_chunks(self, function: Function, values: Iterable[Any], size: int) -> list[Any]:
        """Return the same, ``size`` items to a message."""
        raise NotImplementedError

    def renew(self) -> None:
        """Make it usable again if the death of a process has broken it."""

    def close(self) -> None:
        """End every process."""
        raise NotImplementedError
