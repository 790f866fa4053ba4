"""Command line: ``python -m service serve | check | tasks | keys``."""

from __future__ import annotations

import contextlib
import inspect
import sys
import typing
from collections.abc import Iterable, Iterator, Sequence

import click
from pydantic import ByteSize

from service import environment
from service import keys as api_keys
from service import settings as configuration
from service.errors import ConfigurationError
from service.serve import Supervisor
from service.settings import Settings
from service.tasks import contract, registry, resources
from service.telemetry import logs

#: What a wrong setting or a broken task module exits with.
MISCONFIGURED = 2


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
    with _explained():
        settings = _load()
    logs.configure(settings.log_format, settings.log_level)
    sys.exit(Supervisor(settings).run())


@main.command()
def check() -> None:
    """Check the settings and the task modules, load the resources, and print what applies.

    Each line has the variable, its value and where that comes from: environment, .env or default.
    Exits with 2 when something is wrong.
    """
    with _explained():
        settings = _load()
        resources.load_all()
    rows = [
        (environment.variable_of(name), _shown(settings, name), environment.origin(name))
        for name in type(settings).model_fields
    ]
    _print_table(("variable", "value", "from"), rows)
    click.echo(f"\nall is well; tasks: {len(registry.all_tasks())}, resources: {resources.count()}")


@main.command()
def tasks() -> None:
    """List the registered tasks: name, arguments, CPU slots, timeout in seconds, description."""
    with _explained():
        _load()
    rows = [
        (
            task.name,
            _arguments(task),
            str(task.cpu),
            _seconds(task.timeout),
            task.description.partition("\n")[0],
        )
        for task in registry.all_tasks()
    ]
    _print_table(("task", "arguments", "cpu", "timeout", "description"), rows)


@main.group()
def keys() -> None:
    """Make API keys."""


@keys.command("new")
@click.argument("name")
@click.option(
    "--concurrency",
    type=click.IntRange(1, api_keys.MAX_CONCURRENCY),
    help="Requests that may be in progress at once.",
)
@click.option(
    "--per-minute", type=click.IntRange(1, api_keys.MAX_PER_MINUTE), help="Requests in any 60 seconds."
)
def new_key(name: str, concurrency: int | None, per_minute: int | None) -> None:
    """Make a key for the client NAME, and print it and the line to store.

    Only the hash is in the line: the key itself is shown this once and kept nowhere.
    """
    try:
        text, key = api_keys.new(name, concurrency=concurrency, per_minute=per_minute)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from None
    # Labels go to stderr, so that `| tail -n 1 >> keys` takes the line alone.
    click.echo("key, for the client; it is not shown again:", err=True)
    click.echo(text)
    click.echo("line, for SERVICE_API_KEYS or the file that SERVICE_API_KEYS_FILE names:", err=True)
    click.echo(key.line())


def _load() -> Settings:
    settings = configuration.load()
    registry.load(settings.task_modules)
    for task in registry.all_tasks():
        contract.build(task)
    return settings


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn a mistake in the configuration into its message on stderr and exit status 2."""
    try:
        yield
    except ConfigurationError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(MISCONFIGURED)


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


def _seconds(timeout: float | None) -> str:
    return "-" if timeout is None else f"{timeout:g}"


def _print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = [titles, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(titles))]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main(prog_name="python -m service")
