"""Users of the service by scenario: ``locust -f loadtests/locustfile.py``, and ``--help`` for the options.

scenarios/       what users do, and what is a right answer
load_options     --scenario, --shape and the others
load_shapes      how many users there are in the course of a run
slo, slo.toml    what is expected, and the exit status by it
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from locust import User, events

# Locust runs this file from wherever it is.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loadtests import load_options, slo_listener
from loadtests.scenarios.fan_out import FanOut
from loadtests.scenarios.jobs import Jobs
from loadtests.scenarios.large_map import LargeMap
from loadtests.scenarios.mix import Mix
from loadtests.scenarios.pipelines import Pipelines
from loadtests.scenarios.samples import (
    SampleBackground,
    SampleConcurrent,
    SampleParallel,
    SampleQueue,
)
from loadtests.scenarios.streams import Streams
from loadtests.scenarios.uploads import Uploads

SCENARIOS: dict[str, type[User]] = {
    "sample_concurrent": SampleConcurrent,
    "sample_background": SampleBackground,
    "sample_parallel": SampleParallel,
    "sample_queue": SampleQueue,
    "fan_out": FanOut,
    "large_map": LargeMap,
    "streams": Streams,
    "jobs": Jobs,
    "pipelines": Pipelines,
    "uploads": Uploads,
    "mix": Mix,
}


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: Any, **_: Any) -> None:
    load_options.add(parser, list(SCENARIOS))


@events.init.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Any, **_: Any) -> None:
    load_options.apply(environment, SCENARIOS)
    slo_listener.listen(environment)
