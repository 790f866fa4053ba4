"""What a generator yields, item by item."""

from __future__ import annotations

import logging
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from loadtests.scenarios.answers import Answer, events, is_so, with_summary
from loadtests.scenarios.asking import PATIENCE, Asking, scenario, with_key

ITEMS = 200
#: Items of the pipeline that stands in, which takes 0.2 s for each.
CONSUMED = 2

#: It is in loadtests/http_tasks.py; a service knows it by SERVICE_TASK_MODULES=loadtests.http_tasks.
_TASK = "/v1/tasks/stream_numbers"
_PIPELINE = "/v1/pipelines/process_queue_communication"
_log = logging.getLogger("everycore.loadtest")
#: By host, whether the service there has the task.
_known: dict[str, bool] = {}


def as_lines(user: Asking) -> None:
    """The items as NDJSON."""

    def check(answer: Answer) -> None:
        items, summary = with_summary(answer.lines)
        _check([item.get("item") for item in items], summary, expected)

    path, body, expected = _what(user)
    user.ask(path, check, body=body, headers={"Accept": "application/x-ndjson"}, lines=True)


def as_events(user: Asking) -> None:
    """The items as server-sent events."""

    def check(answer: Answer) -> None:
        *items, last = events(answer.lines)
        is_so({name for name, _ in items} <= {"item"}, "an event that is no item")
        is_so(last[0] == "summary", "the last event is no summary")
        _check([data for _, data in items], last[1], expected)

    path, body, expected = _what(user)
    user.ask(path, check, body=body, headers={"Accept": "text/event-stream"}, lines=True)


def _check(items: list[object], summary: object, expected: list[object]) -> None:
    is_so(items == expected, "the items are wrong")
    is_so(isinstance(summary, dict) and summary.get("items") == len(expected), "the summary is wrong")


def _what(user: Asking) -> tuple[str, dict[str, int], list[object]]:
    """Return path, arguments and items: of the generator task, or else of a pipeline that is built in."""
    if _has_task(user.host):
        return _TASK, {"count": ITEMS}, [number * number for number in range(ITEMS)]
    return _PIPELINE, {"items": CONSUMED}, [f"Consumed: Item {number}" for number in range(CONSUMED)]


def _has_task(host: str) -> bool:
    if host not in _known:
        try:
            urlopen(Request(f"{host}{_TASK}", headers=with_key()), timeout=PATIENCE).close()
            _known[host] = True
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                return True
            _known[host] = False
            _log.warning("no task stream_numbers there; streams asks for the built-in pipeline in its place")
        except OSError:
            return True  # whatever is the matter, the request itself will meet it, and is counted
    return _known[host]


class Streams(Asking):
    """A generator task, as NDJSON or as server-sent events."""

    tasks = scenario("streams", NDJSON=as_lines, SSE=as_events)
