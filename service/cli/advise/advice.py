"""What a piece of advice is, and what it is about."""

from __future__ import annotations

from dataclasses import dataclass

from service.cli.advise import model
from service.cli.advise.figures import Figures, Pace, Task
from service.engine.pool import for_waiting
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do, or to know."""

    subject: str
    #: The setting, or the option of ``@task``, if it is one; the number that it is about.
    name: str | None
    value: float | None
    #: What to do.
    text: str
    #: The figures that it follows from.
    because: str


@dataclass(frozen=True, slots=True)
class Case:
    """A task, measured, and the settings that it was measured with."""

    figures: Figures
    task: Task
    settings: Settings

    @property
    def best(self) -> Pace | None:
        """The map that went best, with the fewest slots; ``None`` when none was measured."""
        return model.best(self.task.paces) if self.task.paces else None

    @property
    def widest(self) -> Pace | None:
        """The map with all slots that there are; ``None`` when there was no time for it."""
        paces = self.task.paces
        return paces[-1] if paces and paces[-1].slots == self.settings.cpu_slots else None

    @property
    def width(self) -> int:
        """How many calls of a run go on at a time."""
        settings = self.settings
        if self.task.cpu:
            return settings.cpu_slots
        return for_waiting(settings.pool_processes, settings.cpu_slots)

    @property
    def run(self) -> float:
        """Seconds that a call runs beside others, or alone if that is all that is known."""
        return self.widest.run if self.widest is not None else self.task.run.median

    @property
    def request_cpu(self) -> float:
        """CPU seconds that a request takes beside its call, as far as was measured."""
        web = self.figures.web.cpu if self.figures.web is not None else 0.0
        return web + self.task.json
