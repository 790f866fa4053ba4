"""The end of a Locust run: what was measured, beside the objectives, and the exit status by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from locust.runners import WorkerRunner
from locust.stats import calculate_response_time_percentile

from loadtests import slo
from loadtests.scenarios.answers import Refused
from loadtests.slo import PERCENTILES, TOTAL, Measured, Objectives


def listen(environment: Any) -> None:
    """Judge the run when it is over; in a distributed one the master does, which has everybody's figures."""
    options = environment.parsed_options
    if options.slo == "none" or isinstance(environment.runner, WorkerRunner):
        return
    try:
        objectives = slo.read(Path(options.slo), options.shape)
    except slo.BadObjectives as error:
        raise SystemExit(f"error: {error.message}") from None

    def judge(**_: Any) -> None:
        _judge(environment, objectives)

    environment.events.quitting.add_listener(judge)


def _judge(environment: Any, objectives: Objectives) -> None:
    verdicts = objectives.judge(_measured(environment))
    said = slo.text(verdicts)
    click.echo(f"\n{said}")
    if path := environment.parsed_options.slo_report:
        Path(path).write_text(f"{said}\n")
    if not all(verdict.kept for verdict in verdicts):
        environment.process_exit_code = 1
    elif not environment.runner.exceptions:
        environment.process_exit_code = 0  # Locust's own status would tell of refusals that are allowed


def _measured(environment: Any) -> dict[str, Measured]:
    """Return what was measured by name, and of those that nobody has asked for, that nothing was."""
    stats = environment.stats
    seconds = max(0.0, (stats.last_request_timestamp or 0.0) - stats.start_time)
    entries: dict[str, list[Any]] = {name: [] for name in _asked_for(environment)}
    for entry in stats.entries.values():
        entries.setdefault(entry.name, []).append(entry)
    refused = _refused(stats)
    measured = {name: _of(found, refused.get(name, 0), seconds) for name, found in entries.items()}
    return measured | {TOTAL: _of([stats.total], sum(refused.values()), seconds)}


def _asked_for(environment: Any) -> set[str]:
    return {
        name
        for users in environment.user_classes
        for task in users.tasks
        for name in getattr(task, "locust_tag_set", ())
    }


def _of(entries: list[Any], refused: int, seconds: float) -> Measured:
    """Put entries of one name together: the same may have been asked in several ways."""
    times: dict[float, int] = {}
    for entry in entries:
        for time, number in entry.response_times.items():
            times[time] = times.get(time, 0) + number
    requests = sum(entry.num_requests for entry in entries)
    failed = sum(entry.num_failures for entry in entries)
    percentiles = {
        name: float(calculate_response_time_percentile(times, requests, share) if requests else 0.0)
        for name, share in PERCENTILES.items()
    }
    return Measured(requests, refused, failed - refused, percentiles, seconds)


def _refused(stats: Any) -> dict[str, int]:
    """Return how many requests of each name were refused; of workers there are only texts of errors."""
    refused: dict[str, int] = {}
    for error in stats.errors.values():
        said = error.error if isinstance(error.error, str) else repr(error.error)
        if said.startswith(f"{Refused.__name__}("):
            refused[error.name] = refused.get(error.name, 0) + error.occurrences
    return refused
