"""Which functions can be tasks. Cheap enough for every pool process: nothing is evaluated here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from service.errors import ConfigurationError

#: The name of a task, which is a segment of a URL.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)

_REASONS: dict[object, str] = {
    inspect.Parameter.VAR_POSITIONAL: "arguments are passed by name, so *{name} can't be filled",
    inspect.Parameter.VAR_KEYWORD: "every argument needs a name and a type, so **{name} can't be checked",
    inspect.Parameter.POSITIONAL_ONLY: "arguments are passed by name, and {name} is positional-only",
}


def check(function: Callable[..., Any]) -> None:
    """Refuse a function whose arguments can't be given by name and checked by type."""
    if (reason := objection(function)) is not None:
        raise unusable(function, reason)


def objection(function: Callable[..., Any], what: str = "task") -> str | None:
    """Say why the arguments of a function can't be given by name and checked by type, if that is so."""
    if not inspect.isfunction(function):
        return f"a {what} is a plain function"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"a {what} computes, so it is a plain function, not an async one"
    for parameter in inspect.signature(function).parameters.values():
        reason = _REASONS.get(parameter.kind)
        if reason is not None:
            return reason.format(name=parameter.name)
        if parameter.annotation is parameter.empty:
            return f"parameter {parameter.name} has no type hint"
    return None


def unusable(function: Callable[..., Any], reason: str, what: str = "task") -> ConfigurationError:
    """Build the error that says which function is meant, where it stands and what it can't be."""
    name = getattr(function, "__qualname__", repr(function))
    return ConfigurationError(f"{place(function)}{name} can't be a {what}: {reason}")


def place(function: Callable[..., Any]) -> str:
    """Return file and line of a function, as the beginning of a message."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""
