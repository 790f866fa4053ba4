"""Command line: ``python -m service serve | runner | check | tasks | advise | keys | jobs | db``."""

from __future__ import annotations

import inspect
import logging.config
import sys
import typing

import click
from pydantic import ByteSize

from service import children, environment, work
from service import settings as configuration
from service.cli.advise.command import advise
from service.cli.console import explained, print_table
from service.cli.db import db
from service.cli.jobs import jobs
from service.cli.keys import keys
from service.jobs import checks
from service.serve import Supervisor
from service.settings import Settings
from service.tasks import contract, pipelines, registry, resources
from service.telemetry import logs, tracing


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Put every core of this machine behind one HTTP endpoint.

    Settings come from the environment (SERVICE_...) or from .env; `check` lists them.
    """


@main.command()
def serve() -> None:
    """Start the service and stay with it until it is stopped.

    Ctrl-C or SIGINT stops it quickly, SIGTERM after the running requests, SIGHUP loads settings and task
    modules anew. Settings and task modules are checked before anything starts.
    """
    with explained():
        settings = _load()
        logs.configure(settings.log_format, settings.log_level)
        supervisor = Supervisor(settings)
    sys.exit(supervisor.run())


@main.command()
def runner() -> None:
    """Run background jobs until stopped; `serve` starts SERVICE_RUNNERS of these by itself.

    SIGTERM gives running jobs SERVICE_JOB_GRACE seconds, Ctrl-C or SIGINT none; what has not ended then is
    given back to the queue.
    """
    is_served = work.prepare()
    with explained():
        settings = _load()
        logs.configure(settings.log_format, settings.log_level)
        # Of libraries that log by the standard library's way.
        logging.config.dictConfig(logs.stdlib_config(settings.log_format, settings.log_level))
        work.work(settings, is_served=is_served)


@main.command()
def check() -> None:
    """Check the settings and the task modules, load the resources, and print what applies.

    Each line has the variable, its value and where that comes from: environment, .env or default.
    Exits with 2 when something is wrong.
    """
    children.hang_on_parent()
    with explained():
        settings = _load()
        resources.load_all()
    rows = [
        (environment.variable_of(name), _shown(settings, name), environment.origin(name))
        for name in type(settings).model_fields
    ]
    print_table(("variable", "value", "from"), rows)
    counts = {
        "tasks": len(registry.plain_tasks()),
        "pipelines": len(registry.pipelines()),
        "resources": resources.count(),
    }
    click.echo("\nall is well; " + ", ".join(f"{name}: {count}" for name, count in counts.items()))


@main.command()
def tasks() -> None:
    """List the registered tasks and pipelines.

    Of a task: name, arguments, CPU slots, timeout in seconds, description. The pipelines follow, with the
    stages in place of the slots: x2 says how many processes one has.
    """
    with explained():
        _load()
    rows = [
        (
            task.name,
            _arguments(task),
            str(task.cpu),
            _seconds(task.timeout),
            task.description.partition("\n")[0],
        )
        for task in registry.plain_tasks()
    ]
    print_table(("task", "arguments", "cpu", "timeout", "description"), rows)
    rows = [
        (
            task.name,
            _arguments(task),
            _stages(task),
            _seconds(task.timeout),
            task.description.partition("\n")[0],
        )
        for task in registry.pipelines()
    ]
    click.echo()
    print_table(("pipeline", "arguments", "stages", "timeout", "description"), rows)


def _load() -> Settings:
    settings = configuration.load()
    checks.check(settings)
    tracing.check(settings.traces_endpoint)
    registry.load(settings.task_modules)
    pipelines.check_size(settings.pool_processes)
    for task in registry.all_tasks():
        contract.build(task)
    return settings


def _shown(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if environment.is_secret(type(settings).model_fields[name]):
        return "(hidden)" if value else "-"
    if isinstance(value, ByteSize):
        return value.human_readable()
    if isinstance(value, tuple):
        return ",".join(value) or "-"
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _arguments(task: registry.Task) -> str:
    """Word a task's parameters as a person would write them: types without their constraints."""
    hints = typing.get_type_hints(task.function)
    parameters = inspect.signature(task.function).parameters.values()
    plain = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in parameters]
    return ", ".join(str(parameter) for parameter in plain) or "-"


def _stages(task: registry.Task) -> str:
    """Word the way of an item."""
    steps = () if task.pipeline is None else task.pipeline.steps
    return " > ".join(step.name + f" x{step.processes}" * (step.processes > 1) for step in steps)


def _seconds(timeout: float | None) -> str:
    return "-" if timeout is None else f"{timeout:g}"


for _command in (advise, keys, jobs, db):
    main.add_command(_command)

if __name__ == "__main__":
    main(prog_name="python -m service")
