"""What a client submits, as a job to be: all mistakes at once, its own options and those of its arguments."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from service.api.problems import InvalidRequest
from service.api.results import dumps
from service.errors import TaskNotFound
from service.jobs.arguments import JSON
from service.jobs.model import LEAST_PRIORITY, MOST_PRIORITY, NewJob, Payload
from service.jobs.terms import terms_of
from service.jobs.webhooks.allowed import Allowed
from service.jobs.webhooks.target import check
from service.settings import Settings
from service.tasks.contract import Contract, InvalidArguments
from service.tasks.options import MAX_TIMEOUT

#: Furthest time ahead that is taken, in seconds.
MAX_AHEAD = 10 * 366 * 86_400.0
MAX_ATTEMPTS = 100

MOMENT = "a time with its zone (RFC 3339), such as 2026-01-31T12:00:00Z"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,20})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

Mistakes = list[dict[str, Any]]


def read_moment(value: Any) -> Any:
    """Turn a time in the form of RFC 3339 into seconds since the epoch, for pydantic."""
    if value is None:
        return None
    try:
        if isinstance(value, str) and _MOMENT.fullmatch(value):
            return dt.datetime.fromisoformat(value.upper()).timestamp()
    except (ValueError, OverflowError):
        pass  # a thirteenth month
    raise PydanticCustomError("moment", f"it must be {MOMENT}")


Seconds = Annotated[float, Field(gt=0, le=MAX_AHEAD, allow_inf_nan=False)]


class Submission(BaseModel):
    """The members of a submission; those that are ``None`` were not said."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    task: str
    args: dict[str, Any] = Field(default_factory=dict)
    timeout: Annotated[float, Field(gt=0, le=MAX_TIMEOUT, allow_inf_nan=False)] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] | None = None
    priority: Annotated[int, Field(ge=LEAST_PRIORITY, le=MOST_PRIORITY)] = 0
    run_at: Annotated[float | None, BeforeValidator(read_moment)] = None
    delay: Annotated[float, Field(ge=0, le=MAX_AHEAD, allow_inf_nan=False)] | None = None
    ttl: Seconds | None = None
    webhook: str | None = None
    #: ``skip``: a pipeline leaves out items that a stage has no result for.
    on_error: Literal["stop", "skip"] = "stop"

    @field_validator("run_at")
    @classmethod
    def _is_not_too_far_ahead(cls, value: float | None) -> float | None:
        if value is not None and value > time.time() + MAX_AHEAD:
            raise PydanticCustomError("far", "it is more than ten years ahead")
        return value

    @field_validator("delay")
    @classmethod
    def _is_alone(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("run_at") is not None:
            raise PydanticCustomError("both", "run_at says already when to run it")
        return value


#: Members that say how, not what; the same job may be asked for with others.
_WHAT = {"task", "args"}


@dataclass(frozen=True)
class Intake:
    """Makes jobs of the submissions of one request."""

    contracts: Mapping[str, Contract]
    settings: Settings
    #: Where webhooks may lead; ``None`` when there are none.
    webhooks: Allowed | None
    owner: str
    request_id: str
    idempotency_key: str | None = None
    #: The trace context of the request.
    trace: Mapping[str, str] | None = None

    @cached_property
    def now(self) -> float:
        """One time for all of them, in seconds since the epoch."""
        return time.time()

    def job(self, members: Mapping[str, Any], args: bytes) -> NewJob:
        """Make a job of a submission, whose arguments are ``args`` as they came.

        Raises ``InvalidRequest`` with every mistake, or ``TaskFailed`` when a validator of the task's own
        breaks.
        """
        mistakes: Mistakes = []
        submission = self._submission(members, mistakes)
        contract = self._contract(members.get("task"), mistakes)
        if contract is not None and contract.task.pipeline is None and members.get("on_error") == "skip":
            mistakes.append({"loc": ["on_error"], "msg": "only a pipeline has items to leave out"})
        if contract is not None and isinstance(members.get("args", {}), dict):
            try:
                contract.validate_json(args)
            except InvalidArguments as error:
                mistakes += [{**said, "loc": ["args", *said["loc"]]} for said in error.errors]
        if submission is None or contract is None or mistakes:
            raise InvalidRequest("the submission", mistakes)
        return self._new(contract, Payload(JSON, args), submission)

    def call(self, contract: Contract, args: Payload, *, skip: bool = False) -> NewJob:
        """Make a job of a call whose arguments are known to fit; ``skip`` is for a pipeline."""
        on_error: Literal["stop", "skip"] = "skip" if skip else "stop"
        return self._new(contract, args, Submission(task=contract.task.name, on_error=on_error))

    def _contract(self, name: Any, mistakes: Mistakes) -> Contract | None:
        if not isinstance(name, str):
            return None  # that has been said
        contract = self.contracts.get(name)
        if contract is None:
            mistakes.append({"loc": ["task"], "msg": str(TaskNotFound(name))})
        return contract

    def _submission(self, members: Mapping[str, Any], mistakes: Mistakes) -> Submission | None:
        try:
            submission = Submission.model_validate(members)
        except ValidationError as error:
            said = error.errors(include_url=False, include_input=False, include_context=False)
            mistakes += [{"loc": list(each["loc"]), "msg": each["msg"]} for each in said]
            submission = None
        if isinstance(url := members.get("webhook"), str) and (complaint := self._refusal_of(url)):
            mistakes.append({"loc": ["webhook"], "msg": complaint})
        return submission

    def _refusal_of(self, url: str) -> str | None:
        if self.webhooks is None:
            return "there are no webhooks here: SERVICE_WEBHOOK_SECRET is not set, so nothing could be signed"
        try:
            check(url, self.webhooks)
        except ValueError as error:
            return str(error)
        return None

    def _new(self, contract: Contract, args: Payload, submission: Submission) -> NewJob:
        task = contract.task
        terms = terms_of(task)
        terms["timeout"] = submission.timeout or task.timeout or self.settings.job_timeout
        terms["max_attempts"] = submission.max_attempts or terms["max_attempts"]
        run_at = submission.run_at if submission.delay is None else self.now + submission.delay
        run_at = None if run_at is None or run_at <= self.now else run_at
        ttl = submission.ttl
        key = self.idempotency_key
        return NewJob(
            task.name,
            args,
            **terms,
            priority=submission.priority,
            run_at=run_at,
            expires_at=None if ttl is None else (run_at or self.now) + ttl,
            owner=self.owner,
            request_id=self.request_id,
            idempotency_key=key,
            fingerprint=None if key is None else _fingerprint(args, submission),
            webhook=submission.webhook,
            skip=submission.on_error == "skip",
            trace=self.trace,
        )


def _fingerprint(args: Payload, submission: Submission) -> str:
    """Return what two submissions of the same have in common, by whichever endpoint they come."""
    options = submission.model_dump(exclude=_WHAT, exclude_defaults=True)
    head = dumps([submission.task, args.media_type, options])
    return hashlib.sha256(head + b"\n" + args.content).hexdigest()
