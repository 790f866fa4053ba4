"""An item on its way between two steps: which one it is, and its value, still pickled.

Unpickling runs code of the user's, and that may raise, take long or kill its process. So whoever takes an
item reads first which one it is and notes that, and only then unpacks it.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any, NamedTuple

from service.engine.items import Unsendable
from service.engine.transport import OUT_OF_BAND, beside_the_pickle


class Unreadable(Exception):
    """A value that can't be unpickled."""


class Lost(NamedTuple):
    """What became of an item that is left out: see ``failures``."""

    step: int
    status: int
    said: Any


class Parcel(NamedTuple):
    """An item between two steps."""

    number: int
    #: Place among all that come to the next step; -1 when there is no order.
    place: int
    #: The pickled value, or what became of it.
    content: Any
    #: Its large buffers, beside the pickle.
    buffers: Sequence[Any]

    def unpack(self) -> Any:
        """Return the value; raises ``Unreadable``, and ``MemoryError``."""
        try:
            return pickle.loads(self.content, buffers=self.buffers)  # noqa: S301 - from our own processes
        except MemoryError:
            raise
        except Exception as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error


def pack(value: Any) -> tuple[Any, Sequence[Any]]:
    """Return the content and the buffers of a parcel; raises ``Unsendable``, and ``MemoryError``."""
    buffers: list[memoryview] = []
    try:
        pickled = pickle.dumps(value, 5, buffer_callback=beside_the_pickle(buffers))
    except MemoryError:
        raise
    except Exception as error:
        raise Unsendable(f"{type(error).__name__}: {error}") from error
    content = pickle.PickleBuffer(pickled) if len(pickled) >= OUT_OF_BAND else pickled
    return content, [pickle.PickleBuffer(buffer) for buffer in buffers]
