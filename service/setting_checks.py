"""What can't be meant by a setting, although it has the right type."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from service.keys import parse

LAST_PORT = 65_535

#: A call that ends at its deadline still has to be answered before Gunicorn gives the worker up.
GRACE = 2.0

#: A name, without port; with a dot before it all names below it are meant.
_HOST = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.IGNORECASE | re.ASCII)


class CheckedSettings(BaseSettings):
    """Checks the fields of ``Settings``, below it; an error says what would be right."""

    @field_validator("api_keys", check_fields=False)
    @classmethod
    def _api_keys_can_be_read(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse(value.get_secret_value())
        return value

    @field_validator("bind", "runner_bind", check_fields=False)
    @classmethod
    def _bind_is_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or (value.startswith("unix:") and info.field_name == "bind"):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > LAST_PORT:
            raise ValueError("it must be host:port, with a port from 0 to 65535")
        # What is wrong itself is not among the data, and has been told.
        is_meant = info.data.get("insecure", True) or info.data.get("api_keys", True)
        if not is_loopback(host.strip("[]")) and not is_meant:
            raise ValueError(
                "other machines could reach that address, and nobody needs a key;"
                " use 127.0.0.1, set SERVICE_API_KEYS, or say SERVICE_INSECURE=1 if you mean it",
            )
        return value

    @field_validator("database_url", check_fields=False)
    @classmethod
    def _database_is_of_a_kind_we_know(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not url.startswith(("sqlite:///", "postgresql://", "postgres://")):
            raise ValueError("it must begin with sqlite:/// or postgresql://")
        if url in ("sqlite:///", "sqlite:///:memory:"):
            raise ValueError("it must name a file, for several processes use it")
        return value

    @field_validator("traces_endpoint", check_fields=False)
    @classmethod
    def _traces_endpoint_is_a_url(cls, value: str | None) -> str | None:
        if value is not None and not ((url := urlsplit(value)).scheme in ("http", "https") and url.netloc):
            raise ValueError("it must be a URL, such as http://collector:4318/v1/traces")
        if value is not None and "@" in urlsplit(value).netloc:
            raise ValueError("a key goes into OTEL_EXPORTER_OTLP_HEADERS, not into the URL")
        return value

    @field_validator("job_slots", mode="before", check_fields=False)
    @classmethod
    def _job_slots_may_be_all(cls, value: object, info: ValidationInfo) -> object:
        return info.data.get("cpu_slots", 1) if value == "all" else value

    @field_validator("job_slots", check_fields=False)
    @classmethod
    def _job_slots_within_cpu_slots(cls, value: int, info: ValidationInfo) -> int:
        most = info.data.get("cpu_slots", value)
        if value > most:
            raise ValueError(f"it must be at most SERVICE_CPU_SLOTS, {most}")
        return value

    @field_validator("allowed_hosts", check_fields=False)
    @classmethod
    def _allowed_hosts_are_names(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in value or ():
            if name != "*" and not _HOST.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a host, such as example.com or .example.com")
        return None if value is None else tuple(name.lower() for name in value)

    @field_validator("task_modules", check_fields=False)
    @classmethod
    def _task_modules_are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for module in value:
            if not all(part.isidentifier() for part in module.split(".")):
                raise ValueError(f"{module!r} is not the name of a module, such as mytasks or package.tasks")
        return value

    @field_validator("request_timeout", check_fields=False)
    @classmethod
    def _request_timeout_within_its_maximum(cls, value: float, info: ValidationInfo) -> float:
        most = info.data.get("request_timeout_max", value)
        if value > most:
            raise ValueError(f"it must be at most SERVICE_REQUEST_TIMEOUT_MAX, {most:g}")
        return value

    @field_validator("graceful_timeout", check_fields=False)
    @classmethod
    def _graceful_timeout_beyond_every_deadline(cls, value: float, info: ValidationInfo) -> float:
        least = info.data.get("request_timeout_max", 0) + GRACE
        if value < least:
            raise ValueError(f"it must be at least SERVICE_REQUEST_TIMEOUT_MAX + {GRACE:g}, {least:g}")
        return value


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address or a name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
