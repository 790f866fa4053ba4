"""The items that go through three stages in ``bench_pipelines``, and what shall become of them."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.http_work import burn
from loadtests.pipelines_plan import Plan
from loadtests.pipelines_tasks import WIDTHS, Load

#: Microseconds that a light and a heavy stage take.
LIGHT, HEAVY = 1000, 5000
#: Microseconds that each of three even stages computes for an item.
EVEN = (10, 100, 1000)
#: Rounds to find out how long one takes, and how often that is done.
_TRIAL, _TRIALS = 50_000, 15


class WrongAnswer(Exception):
    """Something else came out than the functions return."""


@dataclass(frozen=True, slots=True)
class Case:
    """Some items."""

    items: list[Load]
    #: What all stages, and the heavy one alone, make of them.
    answers: list[int]
    alone: list[int]


def expect(results: Sequence[object], answers: Sequence[object]) -> None:
    """Raise ``WrongAnswer`` unless the results are the answers."""
    if list(results) != list(answers):
        raise WrongAnswer(f"{len(results)} results, not the {len(answers)} that there should be")


def rounds_in_a_microsecond() -> float:
    """Find out how much this machine computes in a microsecond of CPU time, whoever else is there."""
    seconds = []
    for _ in range(_TRIALS):
        begun = time.thread_time()
        burn(_TRIAL)
        seconds.append(time.thread_time() - begun)
    return _TRIAL / statistics.median(seconds) / 1e6


def cases(plan: Plan, rounds: float) -> dict[str, Case]:
    """Return all cases by name; ``rounds`` of computing take a microsecond."""
    light, heavy = round(LIGHT * rounds), round(HEAVY * rounds)
    lightly, heavily = burn(light), burn(heavy)
    count = plan.slow_items
    made = {
        "burn": _alike(count, light, heavy, adding=2 * lightly + heavily, alone=heavily),
        "wait": _alike(count, LIGHT, HEAVY, adding=2 * LIGHT + HEAVY, alone=HEAVY),
        "mixed": _alike(count, HEAVY, heavy, adding=2 * HEAVY + heavily, alone=heavily),
    }
    for width in WIDTHS:
        made[f"uneven_{width}"] = _uneven(count * width, random.Random(width))
    for each in EVEN:
        amount = max(1, round(each * rounds))
        made[f"even_{each}"] = _alike(plan.together * 1000 // (3 * each), amount, 0, adding=3 * burn(amount))
    return made


def _alike(count: int, light: int, heavy: int, *, adding: int, alone: int = 0) -> Case:
    numbers = range(max(1, count))
    items = [Load(number, light, heavy) for number in numbers]
    return Case(items, [number + adding for number in numbers], [number + alone for number in numbers])


def _uneven(count: int, dice: random.Random) -> Case:
    """Return items with which the heavy stage waits for anything up to twice its usual time."""
    items = [Load(number, heavy=dice.randrange(2 * HEAVY)) for number in range(count)]
    answers = [load.value + load.heavy for load in items]
    return Case(items, answers, answers)
