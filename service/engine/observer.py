"""What an engine tells whoever counts: what became of calls and of pool processes.

It does no counting itself (service.telemetry.metrics does), for pool processes import parts of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from service.engine.base import Outcome, Timing
from service.engine.problems import kind_of

#: Why a pool process is no more: it had nothing to do, it had served long enough, the engine killed it, it
#: died of itself, or the engine was closed.
Reason = Literal["idle", "recycled", "killed", "crashed", "closed"]

SUCCEEDED = "succeeded"


class RunObserver(Protocol):
    """Hears of one run, from its thread alone. Every call waits for it, so it had better be quick."""

    def ended(self, task: str, outcome: str, timings: Sequence[Timing]) -> None:
        """Hear of calls that ended alike: ``"succeeded"`` or a problem's slug; none has a pid if none ran."""

    def refused(self, task: str, outcome: str) -> None:
        """Hear that the run ended with a problem of its own when its next call was one of ``task``."""

    def carried(self, sent: int, received: int) -> None:
        """Hear how many bytes of arguments went to a process, and of results came back."""

    def over(self) -> None:
        """Hear that this was all."""


class Observer(Protocol):
    """Hears of an engine, from any of its threads."""

    def begin_run(self) -> RunObserver:
        """Return who hears of the run that begins."""

    def process_started(self) -> None:
        """Hear of a new pool process."""

    def process_ended(self, reason: Reason) -> None:
        """Hear of the end of one."""


class Nobody:
    """Hears everything, and keeps nothing."""

    def begin_run(self) -> Nobody:
        """Hear of runs, too."""
        return self

    def process_started(self) -> None:
        """Do nothing."""

    def process_ended(self, reason: Reason) -> None:
        """Do nothing."""

    def ended(self, task: str, outcome: str, timings: Sequence[Timing]) -> None:
        """Do nothing."""

    def refused(self, task: str, outcome: str) -> None:
        """Do nothing."""

    def carried(self, sent: int, received: int) -> None:
        """Do nothing."""

    def over(self) -> None:
        """Do nothing."""


def tell(observer: RunObserver, task: str, outcomes: Sequence[Outcome]) -> None:
    """Tell of calls that have ended."""
    if len(outcomes) == 1:
        observer.ended(task, _word(outcomes[0]), (outcomes[0].timing,))
        return
    succeeded = [outcome.timing for outcome in outcomes if outcome.error is None]
    if succeeded:
        observer.ended(task, SUCCEEDED, succeeded)
    if len(succeeded) < len(outcomes):
        for outcome in outcomes:
            if outcome.error is not None:
                observer.ended(task, _word(outcome), (outcome.timing,))


def _word(outcome: Outcome) -> str:
    return SUCCEEDED if outcome.error is None else kind_of(outcome.error).slug
