"""Whether jobs can be had with the settings; ``service.settings`` knows no more than their forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service import environment
from service.errors import ConfigurationError
from service.jobs.database import open_database
from service.jobs.webhooks.allowed import parse_allowed
from service.jobs.webhooks.signature import read_secret
from service.settings import Settings


def check(settings: Settings) -> None:
    """Raise ``ConfigurationError`` that names each setting which can't be used, and why; opens nothing."""
    problems = []
    for name, read in _READERS.items():
        try:
            read(settings)
        except ConfigurationError as error:
            problems.append(str(error))
        except ValueError as error:
            problem = {"loc": (name,), "msg": str(error), "input": getattr(settings, name)}
            problems.append(environment.explain(type(settings).model_fields, problem))
    if problems:
        raise ConfigurationError("\n".join(problems))


def _read_webhook_secret(settings: Settings) -> None:
    if settings.webhook_secret is not None:
        read_secret(settings.webhook_secret.get_secret_value())


#: By name of the setting: what makes use of it, or raises.
_READERS: Mapping[str, Callable[[Settings], object]] = {
    "database_url": lambda settings: open_database(settings.database_url.get_secret_value()),
    "webhook_secret": _read_webhook_secret,
    "webhook_allow": lambda settings: parse_allowed(settings.webhook_allow),
}
