"""What a pipeline is made of: stages as they are written, and the steps that are read from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """How the function of a step is called."""

    #: Once, with the pipeline's arguments: a generator function, the first step.
    PRODUCE = "produce"
    #: With each item; what it returns is passed on.
    EACH = "each"
    #: With each item; it is a generator function, and all that it yields is passed on.
    SPREAD = "spread"
    #: Once, with an iterator of all items; what it returns is passed on, or each item that it yields.
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Stage:
    """A function of a pipeline with options of its own."""

    work: Callable[..., Any]
    #: How many processes work on it at the same time.
    processes: int = 1
    #: Whether what several processes pass on is put into the order in which the items came in.
    ordered: bool = True
    #: CPU slots one of its processes takes while it works: 1, or 0 for a function that mostly waits.
    cpu: int = 1
    #: Seconds that one item may take; ``None`` for as long as the whole run may.
    timeout: float | None = None
    #: What it is called in messages and figures; ``None`` for the function's own name.
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A stage, or the producer, as a run needs to know it."""

    name: str
    function: Callable[..., Any]
    kind: Kind
    processes: int
    ordered: bool
    cpu: int
    timeout: float | None
    #: Type hint of one item that it takes, ``Any`` when there is none; ``None`` for a producer.
    takes: Any
    #: Type hint of one item that it passes on, ``Any`` when there is none; ``None`` for a sink.
    gives: Any
    #: Whether it is declared ``-> None`` and so passes nothing on.
    sink: bool
    #: Whether its several processes pass on in the order in which the items came in.
    keeps_turns: bool
