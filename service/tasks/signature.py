"""Which functions can be tasks. Cheap enough for every pool process: nothing is evaluated here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from service.errors import ConfigurationError

_REASONS: dict[object, str] = {
    inspect.Parameter.VAR_POSITIONAL: "arguments are passed by name, so *{name} can't be filled",
    inspect.Parameter.VAR_KEYWORD: "every argument needs a name and a type, so **{name} can't be checked",
    inspect.Parameter.POSITIONAL_ONLY: "arguments are passed by name, and {name} is positional-only",
}


def check(function: Callable[..., Any]) -> None:
    """Refuse a function whose arguments can't be given by name and checked by type."""
    if not inspect.isfunction(function):
        raise unusable(function, "a task is a plain function")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise unusable(function, "a task computes, so it is a plain function, not an async one")
    for parameter in inspect.signature(function).parameters.values():
        reason = _REASONS.get(parameter.kind)
        if reason is not None:
            raise unusable(function, reason.format(name=parameter.name))
        if parameter.annotation is parameter.empty:
            raise unusable(function, f"parameter {parameter.name} has no type hint")


def unusable(function: Callable[..., Any], reason: str, what: str = "task") -> ConfigurationError:
    """Build the error that says which function is meant, where it stands and what it can't be."""
    name = getattr(function, "__qualname__", repr(function))
    return ConfigurationError(f"{place(function)}{name} can't be a {what}: {reason}")


def place(function: Callable[..., Any]) -> str:
    """Return file and line of a function, as the beginning of a message."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""
