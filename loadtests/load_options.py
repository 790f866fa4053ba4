"""Locust's options that are ours; ``python -m loadtests.load_options --help`` tells of them.

Locust's own ``--help`` does not look into a locustfile.
"""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from locust import LoadTestShape, User
from locust.argument_parser import get_empty_argument_parser
from locust.runners import WorkerRunner

from loadtests import load_shapes
from loadtests.load_shapes import Plan
from loadtests.slo import SLO_FILE
from service.cpus import available_cpus

_DESCRIPTION = f"""\
Which scenario, how much of it, and what is expected. Scenarios can be told by --scenario, by the names of
their classes, or by --tags, which leave the others out of the mix. Without --shape there are -u users for -t.

Shapes:
{load_shapes.explained()}

Without --pace each user asks again as soon as it has its answer. With it, users x pace requests a second are
offered, at random moments, however long the answers take.
"""


def add(parser: Any, scenarios: list[str]) -> None:
    """Add the options to Locust's."""
    assert parser.formatter_class is not None
    assert issubclass(parser.formatter_class, RawDescriptionHelpFormatter)  # the shapes are a list
    group = parser.add_argument_group("Everycore options", _DESCRIPTION)
    group.add_argument(
        "--scenario",
        action="append",
        choices=scenarios,
        help="What users do; the mix, if nothing is said. Can be given several times.",
        env_var="LOCUST_SCENARIO",
    )
    group.add_argument(
        "--shape",
        choices=["none", *load_shapes.SHAPES],
        default="none",
        help="How the number of users changes (see above).",
        env_var="LOCUST_SHAPE",
    )
    for option, kind, default, said in _NUMBERS:
        variable = f"LOCUST_{option.upper().replace('-', '_')}"
        group.add_argument(f"--{option}", type=kind, default=default, help=said, env_var=variable)
    group.add_argument(
        "--slo",
        default=str(SLO_FILE),
        help="File of the objectives that the exit status tells of; 'none' for none.",
        env_var="LOCUST_SLO",
    )
    group.add_argument(
        "--slo-report",
        help="File to write the objectives to, beside what was measured; they are printed, too.",
        env_var="LOCUST_SLO_REPORT",
    )


_NUMBERS: tuple[tuple[str, type, float, str], ...] = (
    ("shape-seconds", float, 120.0, "How long the shape takes."),
    # `make loadtest` has 16 by default: with a pace, who still waits for an answer offers nothing.
    ("users-per-core", float, 8.0, "Users that are full load, for each core of the service."),
    ("cores", int, available_cpus(), "Cores of the service; those of this machine, if nothing is said."),
    ("pace", float, 0.0, "Requests a second of each user; 0 for as many as are answered."),
)


class Shape(LoadTestShape):  # type: ignore[misc]
    """Any of the shapes. No locustfile imports it, or Locust would take it for every run."""

    abstract = True

    def __init__(self, plan: Plan) -> None:
        """See ``load_shapes``."""
        super().__init__()
        self._plan = plan

    def tick(self) -> tuple[int, float] | None:
        """Return users, and users a second to get there: all at once."""
        users = self._plan.users_at(self.get_run_time())
        return None if users is None else (users, float(max(1, users)))


def apply(environment: Any, scenarios: dict[str, type[User]]) -> None:
    """Take the chosen scenarios and the chosen shape for this run."""
    options = environment.parsed_options
    if isinstance(environment.runner, WorkerRunner):
        return  # the master says which users there are, of all that it could ask for
    if not options.user_classes:
        chosen = dict.fromkeys(options.scenario or ["mix"])
        environment.user_classes[:] = [scenarios[name] for name in chosen]
    if options.shape != "none":
        users = load_shapes.full_load(options.users_per_core, options.cores)
        environment.shape_class = Shape(Plan(options.shape, options.shape_seconds, users))
        environment.shape_class.runner = environment.runner


if __name__ == "__main__":
    from loadtests.locustfile import SCENARIOS

    _parser = get_empty_argument_parser(default_config_files=[])
    add(_parser, list(SCENARIOS))
    _parser.parse_args()
