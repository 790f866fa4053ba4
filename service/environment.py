"""Where settings come from: the environment, files named there, ``.env``; nothing else reads those."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from service.errors import ConfigurationError

PREFIX = "SERVICE_"
ENV_FILE = ".env"


class SecretFiles(PydanticBaseSettingsSource):
    """Takes a secret from the file that ``<VARIABLE>_FILE`` names, as containers hand them over."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the secret that a field takes from a file, or ``None``."""
        variable = variable_of(field_name)
        name = _variables().get(f"{variable}_FILE", ("", ""))[0] if is_secret(field) else ""
        if not name:
            return None, field_name, False
        if variable in _variables():
            raise ConfigurationError(f"{variable} and {variable}_FILE are both set; one of them is enough")
        try:
            return Path(name).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{variable}_FILE={name!r} can't be read: {error}") from error

    def __call__(self) -> dict[str, Any]:
        """Return every secret that comes from a file."""
        fields = self.settings_cls.model_fields.items()
        values = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: value for name, value in values.items() if value is not None}


def origin(field_name: str) -> str:
    """Return where a field's value comes from: ``environment``, ``.env`` or ``default``."""
    variable = variable_of(field_name)
    for name in (variable, f"{variable}_FILE"):
        if name in _variables():
            return _variables()[name][1]
    return "default"


def variable_of(field_name: str) -> str:
    """Return the variable that sets a field."""
    return PREFIX + field_name.upper()


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a field's value must not be shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _variables() -> dict[str, tuple[str, str]]:
    """Return our variables that are set, each with its value and where it stands."""
    try:
        from_file = dotenv_values(ENV_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{ENV_FILE} can't be read: {error}") from error
    found: dict[str, tuple[str, str]] = {}
    for source, where in ((from_file, ENV_FILE), (os.environ, "environment")):
        ours = ((name.upper(), value) for name, value in source.items() if value)
        found |= {name: (value, where) for name, value in ours if name.startswith(PREFIX)}
    return found


def unknown(fields: Mapping[str, FieldInfo]) -> list[str]:
    """Word a problem for each of our variables that sets nothing."""
    known = {variable_of(name) for name in fields}
    known |= {f"{variable_of(name)}_FILE" for name, field in fields.items() if is_secret(field)}
    problems = []
    for name, (_, where) in _variables().items():
        if name not in known:
            nearest = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            problems.append(f"{name} ({where}): there is no such setting{hint}")
    return problems


def explain(fields: Mapping[str, FieldInfo], problem: Any) -> str:
    """Word one of pydantic's errors: the variable, the value it had, what is allowed."""
    name = str(problem["loc"][0])
    field = fields[name]
    variable = variable_of(name)
    given = _variables().get(variable, (problem["input"], ""))[0]
    value = "(hidden)" if is_secret(field) else repr(given)
    message = problem["msg"].removeprefix("Value error, ")
    return f"{variable}={value}: {message[0].lower()}{message[1:]}\n    {field.description}"
