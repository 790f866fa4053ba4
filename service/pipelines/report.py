"""What each stage of a run has done, and what it waited for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.engine.board import Tally
from service.tasks.pipelines import Step


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage; seconds are those of all its processes together."""

    name: str
    processes: int
    items_in: int
    items_out: int
    skipped: int
    #: Seconds in which it computed, or waited inside the user's function.
    busy: float
    cpu: float
    #: Seconds for which there was no item, no room for one, no CPU slot, and it was not an item's turn.
    waiting_input: float
    waiting_output: float
    waiting_slot: float
    waiting_turn: float

    @classmethod
    def of(cls, step: Step, tallies: Iterable[Tally]) -> StageReport:
        """Add up what the processes of a step have counted."""
        return cls(step.name, step.processes, *map(sum, zip(*tallies, strict=True)))
