"""One frozen object with every setting, read from the environment once.

environment, SERVICE_*   ┐
files named by *_FILE    ├─> load() ─> Settings, or ConfigurationError with every problem
.env                     ┘

What a value must be beyond its type stands in ``setting_checks``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar, overload

from pydantic import BeforeValidator, ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from service import environment
from service.cpus import available_cpus
from service.errors import ConfigurationError
from service.keys import Key, parse
from service.setting_checks import CheckedSettings, is_loopback

MIB = 1024 * 1024

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(CheckedSettings):
    """What can be set; each field is ``SERVICE_`` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=environment.PREFIX,
        env_file=environment.ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    insecure: bool = Field(
        default=False,
        description="1 to allow an address that other machines can reach although nobody needs a key.",
    )
    api_keys: SecretStr | None = Field(
        default=None,
        description="Who may call: name:hash[:concurrency=N][:per-minute=N], separated by commas or lines;"
        " python -m service keys new NAME makes one. By default anybody.",
    )
    bind: str = Field(
        default="127.0.0.1:8000",
        description="Where to listen: host:port, [IPv6 address]:port or unix:/path.",
    )
    allowed_hosts: Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_split)] = Field(
        default=None,
        description="Without keys: names that requests may ask for, and whose pages may call, beside"
        " localhost and addresses, separated by commas; * for any. By default any, but none on loopback.",
    )
    web_workers: int = Field(
        default_factory=lambda: min(4, available_cpus()),
        ge=1,
        le=1000,
        description="Gunicorn worker processes, 1 to 1000; by default the CPUs available, at most 4.",
    )
    web_threads: int = Field(
        default=64,
        ge=1,
        le=1000,
        description="Requests that each worker works on at once, 1 to 1000; the rest is refused.",
    )
    cpu_slots: int = Field(
        default_factory=available_cpus,
        ge=1,
        le=10_000,
        description="Calls that compute at once, service-wide, 1 to 10000; by default the CPUs available.",
    )
    pool_processes: int = Field(
        default_factory=lambda: max(8, available_cpus()),
        ge=1,
        le=10_000,
        description="Most pool processes of one worker, 1 to 10000; by default the CPUs, at least 8.",
    )
    pool_idle_seconds: Seconds = Field(
        default=60,
        description="Seconds after which an idle pool process is let go, more than 0.",
    )
    pool_recycle_calls: int = Field(
        default=100_000,
        ge=0,
        description="Calls after which a pool process is replaced by a fresh one; 0 for never.",
    )
    task_modules: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(),
        description="Your own task modules, as for import, separated by commas; found by way of PYTHONPATH.",
    )
    request_timeout_max: Seconds = Field(
        default=300,
        le=86_400,
        description="Most seconds that a request may ask for in Request-Timeout, up to 86400.",
    )
    request_timeout: Seconds = Field(
        default_factory=lambda data: min(30.0, data.get("request_timeout_max", 30.0)),
        description="Seconds a request may take when it does not say, up to SERVICE_REQUEST_TIMEOUT_MAX.",
    )
    graceful_timeout: Seconds = Field(
        default_factory=lambda data: data.get("request_timeout_max", 300.0) + 5,
        description="Seconds a stop waits for running requests; at least SERVICE_REQUEST_TIMEOUT_MAX + 2,"
        " so that each reaches its own deadline first; + 5 by default.",
    )
    queue_limit: int = Field(
        default=256,
        ge=0,
        description="Requests that may wait for a pool process or a slot, service-wide; one more gets 503.",
    )
    queue_timeout: Seconds = Field(
        default=10,
        description="Seconds a request may wait, or be expected to wait, so before it gets 503, more than 0.",
    )
    max_body: ByteSize = Field(
        default=ByteSize(32 * MIB),
        ge=1,
        description="Largest request body, in bytes or as 32MiB, 32MB.",
    )
    memory_limit: ByteSize | None = Field(
        default=None,
        ge=16 * MIB,
        description="Memory a pool process may take beyond its first, 16MiB or more; by default no limit.",
    )
    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///var/everycore.db"),
        description="Where jobs are kept: sqlite:///path (four slashes for an absolute one) or"
        " postgresql://user:password@host/name.",
    )
    runners: int = Field(
        default=1,
        ge=0,
        le=100,
        description="Runner processes that serve starts for jobs, 0 to 100; 0 when they run elsewhere.",
    )
    runner_bind: str | None = Field(
        default=None,
        description="Where a runner that serve has not started answers /metrics and /healthz: host:port or"
        " [IPv6 address]:port; by default nowhere.",
    )
    job_slots: int = Field(
        default_factory=lambda data: max(1, data.get("cpu_slots", available_cpus()) - 1),
        ge=1,
        le=10_000,
        description="CPU slots that the jobs of one runner take at most, up to SERVICE_CPU_SLOTS, or all; by"
        " default all but one, which is kept for requests.",
    )
    job_timeout: Seconds = Field(
        default=3600,
        le=30 * 86_400,
        description="Seconds that an attempt of a job may take when neither task nor submission says.",
    )
    job_lease: float = Field(
        default=15,
        ge=1,
        le=3600,
        description="Seconds after which the jobs of a runner that gives no sign of life go to others,"
        " 1 to 3600.",
    )
    job_grace: float = Field(
        default=10,
        ge=0,
        le=3600,
        description="Seconds that running jobs have to end when a runner stops; then they are given back.",
    )
    job_ttl: float = Field(
        default=7 * 86_400,
        ge=0,
        le=36_500 * 86_400,
        description="Seconds for which a job is kept after its end, with its result; 0 for ever.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="What webhooks are signed with: whsec_ and base64, or any 24 characters or more; without"
        " one there are no webhooks.",
    )
    webhook_allow: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(),
        description="Networks (10.0.0.0/8) and host names to which webhooks may go although they are not"
        " public, separated by commas.",
    )
    runtime_dir: Path = Field(
        default=Path("var/run"),
        description="Folder for the files that the processes of one service share; made if missing.",
    )
    traces_endpoint: str | None = Field(
        default=None,
        description="Where spans are sent by OTLP over HTTP: http://collector:4318/v1/traces; by default"
        " nowhere. Needs OpenTelemetry: make tracing.",
    )
    traces_sample: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Part of the traces that begin here which is sent, 0 to 1; what comes with a traceparent"
        " is sent if its sender says so.",
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto",
        description="console (for people), json (for machines) or auto: console on a terminal, else json.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info",
        description="Least level that is logged: debug, info, warning or error.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a folder of secrets; not used
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the files of ``_FILE`` variables in the place of a folder of secrets."""
        return init_settings, env_settings, dotenv_settings, environment.SecretFiles(settings_cls)

    @property
    def is_on_loopback(self) -> bool:
        """Whether it listens where only this machine can reach it, and by TCP as browsers do."""
        return not self.bind.startswith("unix:") and is_loopback(self.bind.rpartition(":")[0].strip("[]"))

    def known_keys(self) -> tuple[Key, ...]:
        """Return the API keys, which are none by default."""
        return parse(self.api_keys.get_secret_value()) if self.api_keys is not None else ()


AnySettings = TypeVar("AnySettings", bound=Settings)


@overload
def load() -> Settings: ...
@overload
def load(settings_class: type[AnySettings]) -> AnySettings: ...
def load(settings_class: type[Settings] = Settings) -> Settings:
    """Read and validate the settings; raise ``ConfigurationError`` that names every problem."""
    fields = settings_class.model_fields
    problems = environment.unknown(fields)
    try:
        settings = settings_class()
    except ValidationError as error:
        problems += [
            environment.explain(fields, problem)
            for problem in error.errors(include_url=False)
            # A default that is made from other fields has to wait for those; it is nobody's mistake.
            if problem["type"] != "default_factory_not_called"
        ]
    else:
        if not problems:
            return settings
    raise ConfigurationError("\n".join(problems))
