"""The schemas of jobs and batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.api.job_submissions import MAX_AHEAD, MAX_ATTEMPTS
from service.api.openapi.parts import object_of, ref
from service.api.openapi.schemas import Schema, example, hoist
from service.jobs.model import LEAST_PRIORITY, MOST_PRIORITY, State
from service.settings import Settings
from service.tasks.contract import Contract
from service.tasks.options import MAX_TIMEOUT

STATES = [state.value for state in State]
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_PATH: Schema = {"type": "string", "format": "uri-reference"}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
#: Also a member of submissions, of pipelines only.
ON_ERROR: Schema = {
    "enum": ["stop", "skip"],
    "default": "stop",
    "description": "Whether an item that a stage of a pipeline has no result for ends it, or is left out.",
}
_STAGE_PROGRESS = object_of(name={"type": "string"}, items_in=_COUNT, items_out=_COUNT, skipped=_COUNT)


def _or_null(schema: Schema, description: str) -> Schema:
    return {**schema, "type": [schema["type"], "null"], "description": description}


def options(settings: Settings) -> dict[str, Schema]:
    """Describe what a submission may say beside the task and its arguments."""
    ahead: Schema = {"type": "number", "maximum": MAX_AHEAD}
    timeout: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TIMEOUT}
    attempts: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_ATTEMPTS}
    members = {
        "timeout": _or_null(timeout, "Seconds that an attempt may take, if not as long as the task says."),
        "max_attempts": _or_null(attempts, "Attempts that may end in an error, if not as the task says."),
        "priority": {
            "type": "integer",
            "minimum": LEAST_PRIORITY,
            "maximum": MOST_PRIORITY,
            "default": 0,
            "description": "Higher ones go first.",
        },
        "run_at": _or_null(_MOMENT, "When to start it at the earliest; a time that has passed is now."),
        "delay": _or_null({**ahead, "minimum": 0}, "The same, in seconds from now; not beside `run_at`."),
        "ttl": _or_null(
            {**ahead, "exclusiveMinimum": 0},
            "Seconds after that time within which it must be started, or it expires.",
        ),
    }
    if settings.webhook_secret is not None:
        members["webhook"] = _or_null(
            {"type": "string", "format": "uri"}, "Where to send a message when it has ended."
        )
    return members


def submission(contracts: Mapping[str, Contract], settings: Settings, schemas: dict[str, Schema]) -> Schema:
    """Describe a submission: that of each task, by its name."""
    common = options(settings)
    return {"anyOf": [_of_task(contract, common, schemas) for contract in contracts.values()]}


def _of_task(contract: Contract, common: dict[str, Schema], schemas: dict[str, Schema]) -> Schema:
    arguments = hoist(contract.arguments, contract.task.name, schemas)
    required = ["task", *(["args"] if arguments.get("required") else [])]
    members = {"task": {"const": contract.task.name}, "args": arguments, **common}
    if contract.task.pipeline is not None:
        members["on_error"] = ON_ERROR
    return {**object_of(**members), "title": contract.task.name, "required": required}


def submission_example(contracts: Mapping[str, Contract]) -> Any:
    """Return a submission that is taken."""
    contract = contracts.get("sum_of_squares") or next(iter(contracts.values()))
    return {"task": contract.task.name, "args": example(contract.arguments)}


JOB_SCHEMAS: dict[str, Schema] = {
    "Job": {
        **object_of(
            id=ID,
            href=_PATH,
            task={"type": "string"},
            state={"enum": STATES},
            owner={"type": "string", "description": "Name of the key that it was submitted with."},
            request_id={"type": "string", "description": "Id of the request that it was submitted with."},
            priority={"type": "integer"},
            timeout=_or_null({"type": "number"}, "Seconds that an attempt may take, if not as any may."),
            attempts=_COUNT | {"description": "How often it was started."},
            max_attempts=_COUNT | {"description": "Attempts that may end in an error."},
            on_error=ON_ERROR,
            failures=_COUNT | {"description": "Attempts that ended in an error."},
            crashes=_COUNT | {"description": "Attempts whose process or runner died."},
            cancel_requested={"type": "boolean", "description": "Whether it is to be killed."},
            progress={
                "anyOf": [ref("Progress"), {"type": "null"}],
                "description": "How far it is, as the task said last.",
            },
            error=_or_null({"type": "object"}, "The problem of the last attempt that went wrong."),
            created_at=_MOMENT,
            run_at=_MOMENT | {"description": "When it is started at the earliest."},
            expires_at=_or_null(_MOMENT, "When it is too late to start it."),
            started_at=_or_null(_MOMENT, "When the last attempt began."),
            finished_at=_or_null(_MOMENT, "When it ended for good."),
            timing={
                "anyOf": [
                    object_of(run={"type": "number"}, cpu={"type": ["number", "null"]}),
                    {"type": "null"},
                ],
                "description": "Seconds that the last attempt took, and CPU seconds.",
            },
            batch=_or_null(ID, "The batch that it belongs to."),
            parent=_or_null(ID, "The job that it follows up."),
            result={"description": "What the task returned; in the document of one job, if it is JSON."},
            result_href=_or_null(_PATH, "Where the result is."),
            log=_PATH,
            events=_PATH,
            deliveries=_or_null(_PATH, "Where the messages to its webhook are."),
        ),
    },
    "Progress": object_of(
        done={"type": ["number", "null"]},
        total={"type": ["number", "null"]},
        note={"type": "string"},
        stages={
            "type": "array",
            "items": _STAGE_PROGRESS,
            "description": "Of a pipeline: the items that its producer and its stages have taken, passed on"
            " and left out. `done` counts its results.",
        },
    ),
    "Batch": object_of(
        id=ID,
        href=_PATH,
        owner={"type": "string"},
        total=_COUNT,
        counts=object_of(**dict.fromkeys(STATES, _COUNT)),
        done=_COUNT | {"description": "How many have ended."},
        finished={"type": "boolean", "description": "Whether all have."},
        created_at=_MOMENT,
    ),
    "NewBatch": object_of(id=ID, href=_PATH, total=_COUNT, jobs={"type": "array", "items": ID}),
    "Jobs": object_of(
        jobs={"type": "array", "items": ref("Job")},
        next=_or_null({"type": "string"}, "The `cursor` of the next page, if there is one."),
    ),
    "Log": object_of(
        lines={
            "type": "array",
            "items": object_of(
                seq={"type": "integer"},
                attempt={"type": "integer"},
                at=_MOMENT,
                stream={"enum": ["stdout", "stderr", "log", "system"]},
                line={"type": "string"},
            ),
        },
        next=_or_null({"type": "integer"}, "`after` of the next page, if there is one already."),
    ),
    "Deliveries": object_of(
        deliveries={
            "type": "array",
            "items": object_of(
                id={"type": "string"},
                origin={"type": "string", "description": "Where it goes, without what may be secret."},
                event={"type": "string"},
                state={"enum": ["pending", "delivered", "failed"]},
                attempts=_COUNT,
                status=_or_null({"type": "integer"}, "The last answer's."),
                error=_or_null({"type": "string"}, "What went wrong last."),
                created_at=_MOMENT,
                next_at=_or_null(_MOMENT, "When it is sent next."),
                finished_at=_or_null(_MOMENT, "When it was delivered or given up."),
            ),
        }
    ),
}
# Not before there is one.
JOB_SCHEMAS["Job"]["required"].remove("result")
# Of pipelines only.
JOB_SCHEMAS["Progress"]["required"].remove("stages")
