"""What clients are told about a call that gave no result: one table from error to problem (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service import errors
from service.tasks.contract import InvalidArguments, MalformedJson
from service.tasks.invalid_input import InvalidInput


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem."""

    status: int
    slug: str
    title: str


KINDS: dict[type[Exception], Kind] = {
    MalformedJson: Kind(400, "malformed-json", "The body is not JSON"),
    errors.TaskNotFound: Kind(404, "task-not-found", "There is no such task"),
    errors.Cancelled: Kind(409, "cancelled", "The call was cancelled"),
    InvalidArguments: Kind(422, "validation", "The arguments don't fit the task"),
    InvalidInput: Kind(422, "invalid-input", "The task can't use this input"),
    errors.Abandoned: Kind(499, "client-gone", "The client went away"),
    errors.TaskFailed: Kind(500, "task-failed", "The task failed"),
    errors.TaskCrashed: Kind(500, "task-crashed", "The task's process died"),
    errors.NotSerializable: Kind(500, "result-not-serializable", "The result can't be sent"),
    errors.Saturated: Kind(503, "saturated", "The service is full"),
    errors.Stopping: Kind(503, "stopping", "The service is stopping"),
    errors.ConfigurationError: Kind(503, "unavailable", "The service takes no work now"),
    errors.EngineUnavailable: Kind(503, "unavailable", "The service takes no work now"),
    errors.DeadlineExceeded: Kind(504, "deadline-exceeded", "The call took too long"),
    errors.MemoryLimitExceeded: Kind(507, "memory-limit-exceeded", "The call took too much memory"),
    Exception: Kind(500, "internal-error", "Something went wrong here"),
}


def is_invalid_input(error: Exception) -> bool:
    """Tell whether a task said that its input is bad, and so has not failed itself."""
    cause = errors.cause_of(error)
    return isinstance(cause, errors.TaskFailed) and cause.exception == InvalidInput.__name__


def kind_of(error: Exception) -> Kind:
    """Return the kind of a call's error; that of a pipeline's stage is its cause's."""
    if is_invalid_input(error):
        return KINDS[InvalidInput]
    error = errors.cause_of(error)
    return next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)


def detail_of(error: Exception) -> str:
    """Word what happened; texts of a task's own exceptions may hold anything, so the log alone has them."""
    if isinstance(error, errors.StageFailed):
        return f"{errors.stage_and_item(error.stage, error.item)}: {detail_of(error.cause)}"
    if isinstance(error, errors.TaskFailed):
        if is_invalid_input(error):
            return error.message
        return f"the task raised {error.exception}; the log has more under this request's id"
    if isinstance(error, errors.ConfigurationError):
        return "what the tasks need can't be loaded; the log has more"
    if isinstance(error, errors.NotSerializable):
        cause = error.reason.partition(":")[0]
        return f"{error.complaint} ({cause}); the log has more"
    return str(error)


def document_of(error: Exception) -> dict[str, Any]:
    """Build the problem document of a call's error."""
    kind = kind_of(error)
    detail = detail_of(error)
    if kind is KINDS[Exception]:
        detail = "the error has been logged under this request's id"
    document = {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    }
    return document | members_of(error)


def members_of(error: Exception) -> dict[str, Any]:
    """Return what else a problem document says of an error, beside type, title, status and detail."""
    if isinstance(error, errors.StageFailed):
        return {"stage": error.stage, "item": error.item}
    return {"errors": error.errors} if isinstance(error, InvalidArguments) else {}
