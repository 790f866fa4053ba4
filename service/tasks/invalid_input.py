"""How a task says that its input is at fault."""

from __future__ import annotations


class InvalidInput(ValueError):
    """The input fits the type hints and is still unusable; the message tells the client why.

    Raise this class itself: another exception, derived from it or not, is a failure of the task.
    """
