"""What ``@task`` says of jobs: how often they are tried, and what follows them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import ConfigurationError
from service.tasks.periods import Cron, Every, parse_cron, parse_every

ExceptionTypes = type[BaseException] | tuple[type[BaseException], ...]

#: Longest time that a call, a run or an item of one may be given, in seconds: 30 days.
MAX_TIMEOUT = 30 * 86_400.0

#: Longest wait before a retry, in seconds.
MAX_DELAY = 300.0


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How jobs of a task are run; nothing of it concerns plain calls."""

    #: Further attempts after one that ended in an error.
    retries: int = 0
    #: What such an error has to be. ``TimeoutError`` stands for a limit of time that was passed,
    #: ``MemoryError`` for one of memory.
    retry_on: ExceptionTypes = Exception
    #: Seconds before the first retry; each further one waits twice as long, at most ``MAX_DELAY``.
    retry_delay: float = 1.0
    #: Further attempts after one whose process or runner died.
    crash_retries: int = 3
    #: Task to call when a job has succeeded.
    on_success: str | None = None
    #: Task to call when a job has failed for good.
    on_failure: str | None = None

    def __post_init__(self) -> None:
        """Raise ``ConfigurationError`` for what can't be meant."""
        for name in ("retries", "crash_retries"):
            _check_count(name, getattr(self, name))
        types = self.retry_on if isinstance(self.retry_on, tuple) else (self.retry_on,)
        if not all(map(_is_exception, types)):
            raise ConfigurationError(
                f"retry_on must be a class of exceptions or a tuple of them, not {self.retry_on!r}"
            )
        if not _is_number(self.retry_delay) or not 0 <= self.retry_delay <= MAX_DELAY:
            raise ConfigurationError(
                f"retry_delay must be from 0 to {MAX_DELAY:.0f} seconds, not {self.retry_delay!r}"
            )
        for name in ("on_success", "on_failure"):
            if not isinstance(getattr(self, name), str | None):
                raise ConfigurationError(
                    f"{name} must be the name of a task, in quotes, not {getattr(self, name)!r}"
                )

    @property
    def retry_names(self) -> frozenset[str]:
        """The names of ``retry_on``, to be looked for among the ``bases`` of a ``TaskFailed``."""
        types = self.retry_on if isinstance(self.retry_on, tuple) else (self.retry_on,)
        return frozenset(map(qualified, types))

    @property
    def follow_ups(self) -> Mapping[str, str]:
        """The tasks to call afterwards, by the option that names them."""
        named = {"on_success": self.on_success, "on_failure": self.on_failure}
        return {option: name for option, name in named.items() if name is not None}


def qualified(kind: type) -> str:
    """Name a class with its module, as ``TaskFailed.bases`` does."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_exception(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigurationError(f"{name} must be a whole number, 0 or more, not {value!r}")


def _is_number(value: Any) -> bool:
    return _is_plain(value) and math.isfinite(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def cpu_objection(cpu: object) -> str | None:
    """Tell why that can't be a number of CPU slots; ``None`` if it can."""
    return None if type(cpu) is int and cpu in (0, 1) else f"cpu must be 0 or 1, not {cpu!r}"


def timeout_objection(timeout: Any) -> str | None:
    """Tell why that can't be a number of seconds; ``None`` if it can, or if it is no limit at all."""
    if timeout is None:
        return None
    if not _is_plain(timeout) or not timeout > 0:
        return f"timeout must be more than 0 seconds, not {timeout!r}"
    if timeout > MAX_TIMEOUT:
        return f"timeout must be at most {MAX_TIMEOUT:.0f} seconds, which is 30 days, not {timeout!r}"
    return None


def schedule_of(
    function: Callable[..., Any],
    every: str | float | None,
    cron: str | None,
    refuse: Callable[[str], ConfigurationError],
) -> Every | Cron | None:
    """Return when a task is due by itself; ``refuse`` makes the error that is raised if that is no time."""
    if every is None and cron is None:
        return None
    if every is not None and cron is not None:
        raise refuse("it has both every= and cron=; one of them says when it is due")
    if required := required_parameters(function):
        raise refuse(f"a periodic task is called without arguments, and {required[0]} has no default")
    try:
        return parse_every(every) if every is not None else parse_cron(str(cron))
    except (ValueError, TypeError) as error:
        option = f"every={every!r}" if every is not None else f"cron={cron!r}"
        raise refuse(f"{option}: {error}") from error


def check_follow_up(where: str, option: str, name: str, follower: Callable[..., Any] | None) -> None:
    """Raise ``ConfigurationError`` unless the ``follower`` that is named can be called with ``job`` alone.

    ``where`` says whose option it is.
    """
    said = f"{where} has {option}={name!r}"
    if follower is None:
        raise ConfigurationError(f"{said}, and there is no such task")
    if "job" not in inspect.signature(follower).parameters:
        raise ConfigurationError(f"{said}, and that task has no parameter job: FinishedJob")
    if others := [other for other in required_parameters(follower) if other != "job"]:
        raise ConfigurationError(f"{said}, which is called with job alone, and {others[0]} has no default")


def required_parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters without a default."""
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]
