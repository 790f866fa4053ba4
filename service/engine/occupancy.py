"""How much of the machine is taken, by whatever process of the service."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from service.engine.slots import Slots
from service.settings import Settings


class Occupancy(NamedTuple):
    """CPU slots that there are, those that are taken, and runs that wait for a first process."""

    slots: int
    used: int
    waiting: int


def places_to_wait(runtime_dir: Path, limit: int) -> Slots:
    """Return the places for runs that wait, ``limit`` of them for all that share ``runtime_dir``."""
    return Slots(runtime_dir / "waiting", limit)


def look(settings: Settings) -> Occupancy:
    """Look at the locks by which they are taken."""
    # Made anew each time: it takes some system calls, and whoever looks may have been forked since.
    used = Slots(settings.runtime_dir, settings.cpu_slots).taken
    waiting = places_to_wait(settings.runtime_dir, settings.queue_limit).taken
    return Occupancy(settings.cpu_slots, used, waiting)
