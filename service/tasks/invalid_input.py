"""How a task says that its input is at fault."""

from __future__ import annotations


class InvalidInput(ValueError):
    """The input fits the type hints and is still unusable; the message tells the client why.

    Raise this class itself: the engine carries the name of an exception's type, not its bases.
    """
