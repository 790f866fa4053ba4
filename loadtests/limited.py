"""A run that takes too long is given up, in good order."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise ``TimeoutError`` in the body when it takes too long; what it waits for is interrupted.

    SIGTERM unwinds the body too, so that whatever it has started is ended.
    """

    def give_up(*_: object) -> None:
        raise TimeoutError(f"the run took more than {seconds} s")

    def stop(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGALRM, give_up), signal.signal(signal.SIGTERM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before[0])
        signal.signal(signal.SIGTERM, before[1])
