"""Something heavy that many calls use, such as a model: loaded once, before pool processes are forked.

@resource ─> the fork server loads it ─fork─> pool processes, which share its pages
             (anybody else: at the first call)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TypeVar

from service.errors import ConfigurationError
from service.tasks import signature

T = TypeVar("T")

_resources: dict[str, Callable[[], object]] = {}


def resource(load: Callable[[], T]) -> Callable[[], T]:
    """Have a function without arguments called once, and its result returned ever after.

    Pool processes share what it returns until they write to it. It must start no threads: they are not there
    in a fork.
    """
    if not inspect.isfunction(load) or inspect.iscoroutinefunction(load) or inspect.isgeneratorfunction(load):
        raise signature.unusable(load, "a resource is a plain function", "resource")
    if inspect.signature(load).parameters:
        raise signature.unusable(load, "it is called without arguments", "resource")
    loaded = functools.cache(load)
    _resources[f"{load.__module__}.{load.__qualname__}"] = loaded
    return loaded


def count() -> int:
    """Return how many there are."""
    return len(_resources)


def _all() -> Iterator[Callable[[], object]]:
    """Yield each resource, those too that loading another one registers."""
    seen: set[str] = set()
    while new := _resources.keys() - seen:
        seen |= new
        yield from [_resources[name] for name in sorted(new)]


def load_all() -> None:
    """Load every resource that is registered.

    Raises ``ConfigurationError`` that says which one could not be loaded, and why.
    """
    for loaded in _all():
        try:
            loaded()
        except (Exception, SystemExit) as error:
            load = inspect.unwrap(loaded)
            cause = f"{type(error).__name__}: {error}"
            raise ConfigurationError(
                f"{signature.place(load)}{load.__qualname__} can't be loaded: {cause}"
            ) from error
