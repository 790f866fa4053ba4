"""``python -m service advise``."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import BinaryIO

import click

from service import settings as configuration
from service.cli.advise import engine, machine, probes, task, web, words
from service.cli.advise.clock import Clock
from service.cli.advise.consult import consult
from service.cli.advise.figures import Figures, Web
from service.cli.console import explained
from service.errors import EverycoreError, TaskNotFound
from service.settings import Settings
from service.tasks import contract, registry
from service.tasks.contract import Contract, InvalidArguments, MalformedJson

#: Share of the time that is over when a task is measured; a web server has the rest.
_FOR_TASK = 0.75


class NoSuchArguments(EverycoreError):
    """The task does not take these arguments."""


@click.command()
@click.argument("name", metavar="[TASK]", required=False)
@click.option("--args", "text", metavar="JSON", help="Arguments of the task, a JSON object as in a request.")
@click.option(
    "--args-file", "file", type=click.File("rb"), help="File that holds them; - for standard input."
)
@click.option(
    "--items",
    type=click.IntRange(1, 1_000_000),
    help="Copies of the call in a map; by default as many as there is time for.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=10,
    show_default=True,
    help="Seconds that measuring may take, 1 to 3600.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: all figures, and the advice.")
def advise(
    *,
    name: str | None,
    text: str | None,
    file: BinaryIO | None,
    items: int | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Measure this machine, and TASK with its arguments, and say which sizes suit them.

    Calls go through the engine as the settings have it, and no-op requests to a web worker, both in folders
    of their own: a running service is not stopped, not asked, and shares no slots with this. It shares the
    CPUs, though, so measure on a quiet machine. TASK is really called, again and again.
    No setting is changed: each advice comes with the figures that it follows from.
    """
    given = _given(name, text, file, items)
    with _stopped_in_order(), explained():
        settings = configuration.load()
        registry.load(settings.task_modules)
        asked = None if name is None else _contract(name)
        args = {} if asked is None else _fitting(asked, given)
        registry.load((*settings.task_modules, probes.__name__))
        clock = Clock(seconds, _tell)
        figures = _measure(settings, asked, given, args, items, clock)
    found = consult(figures, settings)
    if as_json:
        click.echo(json.dumps(words.as_json(figures, found)))
    else:
        click.echo(words.as_text(figures, found))


def _given(name: str | None, text: str | None, file: BinaryIO | None, items: int | None) -> bytes:
    if text is not None and file is not None:
        raise click.UsageError("--args and --args-file are both given; one of them is enough")
    if name is None and (text is not None or file is not None or items is not None):
        raise click.UsageError("arguments and items are for a task, and none is named")
    if file is not None:
        return file.read()
    return b"{}" if text is None else text.encode()


def _contract(name: str) -> Contract:
    try:
        found = registry.get(name)
    except TaskNotFound as error:
        raise TaskNotFound(name, "`python -m service tasks` lists those there are") from error
    if found.pipeline is not None:
        raise NoSuchArguments(f"{name!r} is a pipeline; its report tells which stage is slow")
    return contract.build(found)


def _fitting(asked: Contract, given: bytes) -> dict[str, object]:
    try:
        return asked.validate_json(given)
    except MalformedJson as error:
        raise NoSuchArguments(f"the arguments of {asked.task.name!r} are no JSON: {error}") from error
    except InvalidArguments as error:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors)
        raise NoSuchArguments(f"{error}: {said}") from error


def _measure(
    settings: Settings,
    asked: Contract | None,
    given: bytes,
    args: dict[str, object],
    items: int | None,
    clock: Clock,
) -> Figures:
    found = machine.look()
    of_engine = engine.measure(settings, clock)
    of_task = None
    if asked is not None:
        of_task = task.measure(settings, asked, given, args, items, clock.part(_FOR_TASK))
    of_web, missing = _web(settings, clock)
    return Figures(found, of_engine, of_web, missing, of_task)


def _web(settings: Settings, clock: Clock) -> tuple[Web | None, str | None]:
    try:
        return web.measure(settings, clock), None
    except web.NotMeasured as error:
        return None, str(error)


@contextlib.contextmanager
def _stopped_in_order() -> Iterator[None]:
    """Have SIGTERM end what was started, as Ctrl-C does."""

    def stop(signum: int, _: FrameType | None) -> None:
        sys.exit(128 + signum)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"measuring: {text}", err=True)
