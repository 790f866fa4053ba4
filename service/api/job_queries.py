"""The queries of requests that concern jobs; what is refused is told apart, with what would be right."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from flask import Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from service.api.job_store import is_id
from service.api.job_submissions import read_moment
from service.api.problems import InvalidRequest
from service.jobs.model import State

#: Most jobs, or lines of a log, in one answer, and how many there are unless a client says.
MAX_LIMIT, JOBS, LINES = 1000, 100, 1000
#: Greatest number of a line.
MAX_SEQ = 2**53 - 1
#: What the name of a task looks like.
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"

_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?", re.ASCII)


def _states(value: Any) -> Any:
    names = [name.strip() for text in _listed(value) for name in text.split(",")]
    try:
        return tuple(dict.fromkeys(State(name) for name in names))
    except ValueError:
        raise PydanticCustomError("states", f"each must be one of {', '.join(State)}") from None


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _id(value: str) -> str:
    if not is_id(value):
        raise PydanticCustomError("id", "it must be an id that was given here")
    return value


def _integer(value: Any) -> Any:
    text = _single(value)
    if _DIGITS.fullmatch(text):
        return int(text)
    raise PydanticCustomError("integer", "it must be an integer, in digits")


def _seconds(value: Any) -> Any:
    text = _single(value)
    if _DECIMAL.fullmatch(text):
        return float(text)
    raise PydanticCustomError("seconds", "it must be a number of seconds, such as 10 or 0.5")


def _single(value: Any) -> Any:
    if isinstance(value, list):
        raise PydanticCustomError("single", "it is given more than once")
    return value


Name = Annotated[str, Field(pattern=NAME), BeforeValidator(_single)]
Id = Annotated[str, BeforeValidator(_single), AfterValidator(_id)]
Moment = Annotated[float | None, BeforeValidator(read_moment), BeforeValidator(_single)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_integer)]


class Query(BaseModel):
    """No parameters at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ListQuery(Query):
    """Which jobs to list."""

    state: Annotated[tuple[State, ...], BeforeValidator(_states)] = ()
    task: Name | None = None
    batch: Id | None = None
    since: Moment = None
    until: Moment = None
    limit: Limit = JOBS
    cursor: Id | None = None


class ShowQuery(Query):
    """How long to wait for a job's end."""

    wait: Annotated[float, BeforeValidator(_seconds)] = 0


class LogQuery(Query):
    """Which lines of a log to send."""

    after: Annotated[int, Field(ge=0, le=MAX_SEQ), BeforeValidator(_integer)] = 0
    limit: Limit = LINES


Q = TypeVar("Q", bound=BaseModel)


def read(request: Request, query: type[Q]) -> Q:
    """Read a request's query; raises ``InvalidRequest`` with every mistake."""
    given = {name: values[0] if len(values) == 1 else values for name, values in request.args.lists()}
    try:
        return query.model_validate(given)
    except ValidationError as error:
        said = error.errors(include_url=False, include_input=False, include_context=False)
        mistakes = [{"loc": list(each["loc"][:1]), "msg": _worded(each, query)} for each in said]
        raise InvalidRequest("the query", mistakes) from None


def refuse_any(request: Request) -> None:
    """Read a query that takes no parameters."""
    read(request, Query)


def _worded(said: ErrorDetails, query: type[BaseModel]) -> str:
    if said["type"] == "extra_forbidden":
        known = ", ".join(query.model_fields)
        return f"there is no such parameter; there are {known}" if known else "there is no such parameter"
    return said["msg"]
