"""What the lanes tell the runner, and how it hears of it."""

from __future__ import annotations

import os
from collections import deque
from typing import Any


class News:
    """A queue from any thread to one, with a descriptor to wait for."""

    def __init__(self) -> None:
        """Begin with none."""
        self._items: deque[Any] = deque()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, item: Any) -> None:
        """Add something."""
        self._items.append(item)
        os.eventfd_write(self._fd, 1)

    def wake(self) -> None:
        """Have the other one look, though there is nothing new."""
        os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is something."""
        return self._fd

    def take(self) -> list[Any]:
        """Return all there is, in order."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return []
        items: list[Any] = []
        while self._items:
            items.append(self._items.popleft())
        return items
