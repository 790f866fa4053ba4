"""A job in the words of a table, or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.cli.console import printable, span
from service.jobs.arguments import JSON
from service.jobs.model import Delivery, Job, LogLine, Payload, State
from service.jobs.times import rfc3339

TITLES = ("id", "task", "state", "attempts", "created", "time", "progress")

#: Most characters of a note in a table, and of arguments and results.
MAX_NOTE, MAX_VALUE = 40, 500

_TIMES = ("created_at", "run_at", "expires_at", "started_at", "finished_at")


def row(job: Job, now: float) -> Sequence[str]:
    """Return a job's cells for ``TITLES``."""
    return (
        job.id,
        job.task,
        job.state,
        f"{job.attempts}/{job.max_attempts}",
        moment(job.created_at),
        _time(job, now),
        _progress(job, MAX_NOTE),
    )


def moment(seconds: float | None) -> str:
    """Word a time to the second, in UTC."""
    return "-" if seconds is None else f"{rfc3339(seconds)[:19]}Z"


def _time(job: Job, now: float) -> str:
    """Word how long the last attempt took, or what is going on and for how long."""
    if job.state is State.QUEUED:
        late = now - job.run_at
        return f"waits {span(late)}" if late >= 0 else f"in {span(-late)}"
    if job.state is State.RUNNING and job.started_at is not None:
        return f"runs {span(now - job.started_at)}"
    return "-" if job.run_seconds is None else span(job.run_seconds)


def _progress(job: Job, longest: int) -> str:
    said = job.progress
    if said is None:
        return "-"
    done, total, note = said.get("done"), said.get("total"), said.get("note")
    text = f"{done}" if total is None else f"{done}/{total}"
    return _short(f"{text} {note}".strip() if note else text, longest)


def _short(text: str, longest: int) -> str:
    text = printable(text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def details(
    job: Job, args: Payload | None, result: Payload | None, deliveries: Iterable[Delivery], now: float
) -> list[tuple[str, str]]:
    """Return everything about a job but its log, as names and values."""
    counts = f"{job.attempts}; {job.failures} of {job.max_attempts} failed, {job.crashes} crashed"
    if job.run_seconds is not None and job.cpu_seconds is not None:
        counts += f"; the last ran {span(job.run_seconds)} and took {span(job.cpu_seconds)} of CPU"
    asked = ", to be cancelled" if job.cancel_requested else ""
    rows = [
        ("id", job.id),
        ("task", job.task),
        ("state", f"{job.state}{asked} ({_time(job, now)})"),
        ("attempts", counts),
        ("created", moment(job.created_at)),
        ("run at", moment(job.run_at)),
        ("expires", moment(job.expires_at)),
        ("started", moment(job.started_at)),
        ("finished", moment(job.finished_at)),
        ("timeout", "-" if job.timeout is None else span(job.timeout)),
        ("priority", str(job.priority)),
        ("CPU slots", str(job.cpu)),
        ("owner", job.owner or "-"),
        ("request", job.request_id or "-"),
        ("batch", job.batch or "-"),
        ("follows up", job.parent or "-"),
        ("progress", _progress(job, MAX_VALUE)),
        ("arguments", _value(args)),
        ("result", _value(result)),
        ("error", _error(job)),
        ("webhook", job.webhook or "-"),
    ]
    stages = (job.progress or {}).get("stages", [])
    rows += [("stage", _stage(stage)) for stage in stages]
    return rows + [("delivery", _delivery(each)) for each in deliveries]


def _stage(stage: Mapping[str, Any]) -> str:
    counts = f"{stage['items_in']} in, {stage['items_out']} out, {stage['skipped']} skipped"
    return f"{_short(stage['name'], MAX_NOTE)}: {counts}"


def _value(payload: Payload | None) -> str:
    if payload is None:
        return "-"
    if not payload.media_type.endswith("json"):
        return f"{len(payload.content)} bytes of {payload.media_type}"
    # Of what may be long no more than is shown; a character has four bytes at most.
    begin = payload.content[: 4 * MAX_VALUE + 4]
    return _short(begin.decode(errors="backslashreplace"), MAX_VALUE)


def _error(job: Job) -> str:
    if job.error is None:
        return "-"
    slug = str(job.error.get("type")).rpartition("/")[2]
    more = f" {json.dumps(job.error['errors'])}" if "errors" in job.error else ""
    return _short(f"{slug}: {job.error.get('detail')}{more}", 4 * MAX_VALUE)


def _delivery(delivery: Delivery) -> str:
    status = "" if delivery.status is None else f", status {delivery.status}"
    error = "" if delivery.error is None else f", {printable(delivery.error)}"
    return f"{delivery.event} {delivery.state} after {delivery.attempts} attempts{status}{error}"


def log_row(line: LogLine) -> Sequence[str]:
    """Return the cells of a line of a log: time, number of the attempt, stream, text."""
    return (rfc3339(line.at), str(line.attempt), line.stream, printable(line.line))


def document(job: Job) -> str:
    """Return everything that stands in a job's row as JSON, with times by RFC 3339."""
    return json.dumps(_row(job))


def whole_document(
    job: Job,
    args: Payload | None,
    result: Payload | None,
    deliveries: Iterable[Delivery],
    log: Iterable[LogLine] | None,
) -> str:
    """Return everything about a job as JSON, with its log if that is asked for."""
    more: dict[str, Any] = {
        "deliveries": [_with_times(each, ("next_at", "created_at", "finished_at")) for each in deliveries]
    }
    if log is not None:
        more["log"] = [_with_times(line, ("at",)) for line in log]
    # As they are: a number may have more digits than can be read here.
    return f'{json.dumps(_row(job) | more)[:-1]}, "args": {_content(args)}, "result": {_content(result)}}}'


def _row(job: Job) -> dict[str, Any]:
    return dataclasses.asdict(job) | {name: rfc3339(getattr(job, name)) for name in _TIMES}


def _with_times(item: Delivery | LogLine, times: Sequence[str]) -> dict[str, Any]:
    return dataclasses.asdict(item) | {name: rfc3339(getattr(item, name)) for name in times}


def _content(payload: Payload | None) -> str:
    if payload is not None and payload.media_type == JSON:
        return payload.content.decode()
    return json.dumps(payload and {"media_type": payload.media_type, "bytes": len(payload.content)})
