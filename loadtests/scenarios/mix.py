"""Everything at once, in shares that keep the machine busy with all of it."""

from __future__ import annotations

from loadtests.scenarios.asking import Asking
from loadtests.scenarios.fan_out import FanOut
from loadtests.scenarios.jobs import Jobs
from loadtests.scenarios.large_map import LargeMap
from loadtests.scenarios.pipelines import Pipelines
from loadtests.scenarios.samples import SampleBackground, SampleConcurrent, SampleParallel, SampleQueue
from loadtests.scenarios.streams import Streams
from loadtests.scenarios.uploads import Uploads

#: Of 100 tasks. The samples sleep for a second or compute for a tenth of one, and so are rare.
WEIGHTS: dict[type[Asking], int] = {
    FanOut: 56,
    Uploads: 14,
    Streams: 10,
    Jobs: 8,
    Pipelines: 4,
    LargeMap: 3,
    SampleBackground: 2,
    SampleConcurrent: 1,
    SampleParallel: 1,
    SampleQueue: 1,
}


def _tasks() -> list[object]:
    """Return each scenario's tasks as often as its weight says, shared out among them."""
    weighted = []
    for scenario, weight in WEIGHTS.items():
        tasks = list(scenario.tasks)
        weighted += [tasks[number % len(tasks)] for number in range(weight)]
    return weighted


class Mix(Asking):
    """All scenarios, with weights."""

    tasks = _tasks()
