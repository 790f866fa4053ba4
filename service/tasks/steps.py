"""Reads the steps of a pipeline.

Stage ─> function, name and options ─> parameters and type hints ─> Step
"""

from __future__ import annotations

import collections.abc
import inspect
import typing
from types import NoneType
from typing import Any

from service.errors import ConfigurationError
from service.tasks import signature
from service.tasks.options import cpu_objection, timeout_objection
from service.tasks.stages import Kind, Stage, Step

#: Most processes of one stage: each gets a descriptor of every other, and the kernel sends 253 at once.
MAX_PROCESSES = 200

_STREAMS = (collections.abc.Iterator, collections.abc.Iterable)
_GENERATED = (*_STREAMS, collections.abc.Generator)
#: These can't be pickled.
_READ_ONCE = (collections.abc.Iterator, collections.abc.Generator)


def refusal(pipeline: str, function: object, said: str) -> ConfigurationError:
    """Build the error that says which pipeline is meant, and where the function in question stands."""
    where = signature.place(function) if inspect.isfunction(function) else ""
    return ConfigurationError(f"{where}pipeline {pipeline!r}: {said}")


def producer(pipeline: str, given: object) -> Step:
    """Read the first step; raises ``ConfigurationError``."""
    reading = _Reading(pipeline, given, "producer")
    if (said := signature.objection(reading.function, "producer")) is not None:
        raise reading.refuse(said)
    if not inspect.isgeneratorfunction(reading.function):
        raise reading.refuse("a producer is a generator function, which yields its items")
    if reading.stage.processes != 1:
        raise reading.refuse(
            f"a producer has one process, not {reading.stage.processes}; each would yield everything"
        )
    if "on_error" in inspect.signature(reading.function).parameters:
        raise reading.refuse("its parameter on_error needs another name, for the query has one of that name")
    return reading.step(Kind.PRODUCE, None, in_order=False)


def stage(pipeline: str, given: object, *, in_order: bool) -> Step:
    """Read a further step; ``in_order`` tells whether its items come in a known order.

    Raises ``ConfigurationError``.
    """
    reading = _Reading(pipeline, given, "stage")
    hint = _plain(reading.hints.get(reading.parameter(), Any))
    if (typing.get_origin(hint) or hint) in _STREAMS:
        if reading.stage.processes != 1:
            raise reading.refuse(
                f"it takes all items as one iterator, so it has one process, not {reading.stage.processes}"
            )
        return reading.step(Kind.WHOLE, _item_of(hint), in_order=in_order)
    kind = Kind.SPREAD if inspect.isgeneratorfunction(reading.function) else Kind.EACH
    return reading.step(kind, hint, in_order=in_order)


class _Reading:
    """A producer or a stage that is being read."""

    def __init__(self, pipeline: str, given: object, what: str) -> None:
        """Check what holds for both."""
        self._pipeline = pipeline
        self._what = what
        self.stage = given if isinstance(given, Stage) else Stage(typing.cast("Any", given))
        self.function = self.stage.work
        own_name: str = getattr(self.function, "__name__", repr(self.function))
        self.name = own_name if self.stage.name is None else self.stage.name
        if not inspect.isfunction(self.function):
            raise self.refuse(f"a {what} is a plain function, or a Stage of one")
        if inspect.iscoroutinefunction(self.function) or inspect.isasyncgenfunction(self.function):
            raise self.refuse(f"a {what} computes, so it is a plain function, not an async one")
        self._check_name()
        self._check_options()
        self.hints = self._hints()

    def refuse(self, said: str) -> ConfigurationError:
        """Build the error that says which pipeline, and what of it, can't be."""
        return refusal(self._pipeline, self.function, f"{self._what} {self.name!r}: {said}")

    def parameter(self) -> str:
        """Return the name of the parameter that takes the items."""
        parameters = inspect.signature(self.function).parameters.values()
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        required = [p for p in parameters if p.default is p.empty and p.kind not in variable]
        if len(required) != 1:
            found = ", ".join(p.name for p in required) or "none"
            raise self.refuse(f"a stage has one parameter without a default, for the item; here: {found}")
        if required[0].kind is inspect.Parameter.KEYWORD_ONLY:
            raise self.refuse(f"the item is passed by position, and {required[0].name} is keyword-only")
        return required[0].name

    def step(self, kind: Kind, takes: Any, *, in_order: bool) -> Step:
        """Return what was read."""
        sink, gives = self._gives()
        stage = self.stage
        return Step(
            name=self.name,
            function=self.function,
            kind=kind,
            processes=stage.processes,
            ordered=stage.ordered,
            cpu=stage.cpu,
            timeout=stage.timeout,
            takes=takes,
            gives=gives,
            sink=sink,
            keeps_turns=in_order and stage.ordered and stage.processes > 1,
        )

    def _check_name(self) -> None:
        if self.name == "<lambda>":
            raise self.refuse("a lambda has no name; Stage(lambda …, name=…) gives it one")
        named: Any = self.name
        if not isinstance(named, str) or not signature.NAME.fullmatch(named):
            raise self.refuse("its name has other characters than A-Z a-z 0-9 _ . -")

    def _check_options(self) -> None:
        stage = self.stage
        if not is_count(stage.processes) or stage.processes > MAX_PROCESSES:
            raise self.refuse(
                f"processes must be a whole number from 1 to {MAX_PROCESSES}, not {stage.processes!r}"
            )
        if not isinstance(stage.ordered, bool):
            raise self.refuse(f"ordered must be True or False, not {stage.ordered!r}")
        if said := cpu_objection(stage.cpu) or timeout_objection(stage.timeout):
            raise self.refuse(said)

    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self.function, include_extras=True)
        except Exception as error:
            # They are evaluated, which may run code of the user's.
            said = f"{error}" + "; it has to stand above the pipeline" * isinstance(error, NameError)
            raise self.refuse(f"its type hints can't be used: {said}") from error

    def _gives(self) -> tuple[bool, Any]:
        hint = _plain(self.hints.get("return", Any))
        origin = typing.get_origin(hint) or hint
        if inspect.isgeneratorfunction(self.function):
            if origin not in (*_GENERATED, Any, object):
                said = inspect.formatannotation(hint)
                raise self.refuse(f"it yields, so its result has the type hint Iterator[…], not {said}")
            return False, _item_of(hint)
        if origin in _READ_ONCE:
            raise self.refuse("it returns an iterator, which can't travel; let it yield, or return a list")
        return (True, None) if hint is NoneType else (False, hint)


def is_count(value: object) -> bool:
    """Tell whether that is a whole number, 1 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _plain(hint: Any) -> Any:
    """Return the type behind ``Annotated``, when it says how the function takes or gives its items."""
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
    return inner if (typing.get_origin(inner) or inner) in _GENERATED else hint


def _item_of(hint: Any) -> Any:
    return (typing.get_args(hint) or (Any,))[0]
