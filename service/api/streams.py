"""Generator tasks: each item is sent as soon as it is there.

Accept: application/x-ndjson   {"item": …} a line; the last line is {"summary": …} or {"error": problem}
        text/event-stream      the same as events called item, summary and error
        application/json       one answer like that of any other task, with the items as a list
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, request

from service.api import calls, problems, streaming
from service.api.many import timing_of
from service.api.requests import Trace, trace
from service.api.results import dumps
from service.engine.base import Call, Outcomes, Timing
from service.errors import EverycoreError, ResultNotJson
from service.tasks.registry import Task

JSON, NDJSON, EVENTS = "application/json", "application/x-ndjson", "text/event-stream"


def media_type() -> str:
    """Return what the items of a generator should be sent as."""
    return request.accept_mimetypes.best_match([NDJSON, EVENTS, JSON]) or NDJSON


def run(task: Task, arguments: dict[str, Any], deadline: float) -> Response:
    """Run a generator task and send its items; an error before the first raises."""
    known = trace()
    known.task = task.name
    call = Call(task.name, arguments, 0, known.id, task.timeout, stream=True)
    outcomes = calls.engine().run([call], deadline=deadline, hangup_fd=calls.hangup_fd())
    form, kind = (event, EVENTS) if media_type() == EVENTS else (line, NDJSON)
    return streaming.response(_pieces(outcomes, known, form), kind, outcomes)


def _pieces(outcomes: Outcomes, known: Trace, form: Callable[[str, Any], bytes]) -> Iterator[bytes]:
    count, timing = 0, None
    try:
        for outcome in outcomes:
            timing = outcome.timing
            known.ran(timing)
            item = outcome.result()
            if not outcome.ended:
                yield _item(form, item)
                count += 1
    except EverycoreError as error:
        outcomes.close()
        if not count:
            raise  # there is a status to say it with
        problems.note(error)
        yield form("error", problems.describe(error).document())
    else:
        yield form("summary", _summary(count, timing))


def _item(form: Callable[[str, Any], bytes], item: Any) -> bytes:
    try:
        return form("item", item)
    except (ValueError, TypeError, RecursionError) as error:
        raise ResultNotJson.because(error) from error


def _summary(count: int, timing: Timing | None) -> dict[str, Any]:
    return {"items": count, **({} if timing is None else {"timing": timing_of(timing)})}


def line(kind: str, value: Any) -> bytes:
    """Write something as a line; raises what ``dumps`` raises."""
    return dumps({kind: value}) + b"\n"


def event(kind: str, value: Any) -> bytes:
    """Write something as a server-sent event; raises what ``dumps`` raises."""
    # JSON of one line: a line break in text is escaped.
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), dumps(value))
