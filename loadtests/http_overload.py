"""More than can be done: calls that come at a fixed rate, whatever becomes of them, and probes."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from loadtests import http_peers
from loadtests.http_answers import Answer, Recording, TrafficFailed, percentile
from loadtests.http_capacity import Work
from loadtests.http_servers import Server
from loadtests.http_traffic import Stream

JSON = {"Content-Type": "application/json"}

#: Seconds within which an answer is of use, and after which a client hangs up.
DEADLINE, PATIENCE = 1.0, 2.5
#: Requests a second to /healthz.
PROBES = 25.0
#: How many times the capacity is offered.
FACTOR = 4.0


def calls(server: Server, work: Work, *, users: int) -> Stream:
    """Calls to the service, each as soon as the one before is answered."""
    return Stream(
        "calls",
        server.url,
        "/v1/tasks/burn",
        f'"result":{work.result},',
        method="POST",
        body=f'{{"rounds":{work.rounds}}}',
        headers=JSON,
        users=users,
    )


def flood(server: Server, work: Work, rate: float, *, deadline: float | None) -> list[Stream]:
    """Calls to the service at ``rate`` a second, which say their deadline if they have one, and probes."""
    headers = JSON if deadline is None else JSON | {"Request-Timeout": f"{deadline:g}"}
    closed = calls(server, work, users=1)
    return [
        open_loop(closed.name, server, closed.path, closed.contains, rate, "POST", closed.body, headers),
        open_loop("probes", server, "/healthz", '"status":"ok"', PROBES),
    ]


def flood_of_pattern(server: Server, rounds: int, expected: int, rate: float) -> list[Stream]:
    """The same work for the samples' pattern, cut into its four parts; ``expected`` is what each returns."""
    results = ",".join([str(expected)] * http_peers.PROCESSES)
    return [
        open_loop("calls", server, f"/burn?rounds={rounds}", f'"results":[{results}]', rate),
        open_loop("probes", server, "/empty", '"status":"ok"', PROBES),
    ]


def open_loop(
    name: str,
    server: Server,
    path: str,
    contains: str,
    rate: float,
    method: str = "GET",
    body: str = "",
    headers: dict[str, str] | None = None,
) -> Stream:
    """Requests at a rate that does not depend on how fast they are answered."""
    # A user is back from its last request, answered or not, before it is its turn again.
    users = math.ceil(rate * (PATIENCE + 0.5))
    return Stream(name, server.url, path, contains, method, body, headers or {}, users, rate, PATIENCE)


def judged(recording: Recording) -> dict[str, float]:
    """Return the figures of a flood; those that nothing can be said about are left out."""
    answers = recording.sent_in_time("calls")
    probes = recording.sent_in_time("probes")
    _check(answers, probes)
    good = [answer for answer in answers if answer.right and answer.seconds <= DEADLINE]
    figures = {
        "offered": len(answers) / recording.traffic.seconds,
        "goodput": len(good) / recording.traffic.seconds,
        "good_p99": _milliseconds(good, 0.99),
        "probe_p99": _milliseconds(probes, 0.99),
        "probes_failed": _percent(not probe.right for probe in probes),
        "generator_cpu": 100 * recording.generator_cpu,
    }
    figures |= _statuses(answers)
    if refused := [answer for answer in answers if answer.status == 503]:
        figures |= {
            "refusal_p50": _milliseconds(refused, 0.5),
            "refusal_p99": _milliseconds(refused, 0.99),
            "retry_after": _percent(answer.retry_after is not None for answer in refused),
        }
    return {name: value for name, value in figures.items() if value is not None}


def _check(answers: Sequence[Answer], probes: Sequence[Answer]) -> None:
    if wrong := [answer for answer in answers if answer.status == 200 and not answer.right]:
        raise TrafficFailed(f"{len(wrong)} answers are wrong, first {wrong[0]}")
    if min(len(answers), len(probes)) < 5:
        raise TrafficFailed(f"{len(answers)} calls and {len(probes)} probes are too few to tell anything")


def _statuses(answers: Sequence[Answer]) -> dict[str, float]:
    counts = Counter(answer.status for answer in answers)
    known = {"ok": 200, "refused": 503, "expired": 504, "no_answer": 0}
    shares = {name: 100 * counts.pop(status, 0) / len(answers) for name, status in known.items()}
    return shares | {"other": 100 * counts.total() / len(answers)}


def _percent(flags: Iterable[bool]) -> float:
    return 100 * statistics.fmean(flags)


def _milliseconds(answers: Sequence[Answer], share: float) -> float | None:
    return 1000 * percentile((answer.seconds for answer in answers), share) if answers else None
