"""What ``bench_http`` measures with Locust: the service and its peers take turns.

Each yields the figures of one turn after the other; a ratio is made within a turn, in which all saw the same
machine, and each turn begins with another of those that are compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from loadtests import http_capacity, http_overload
from loadtests.http_capacity import Work
from loadtests.http_drive import drive, warm_up
from loadtests.http_overload import FACTOR, JSON
from loadtests.http_peers import SUMS
from loadtests.http_servers import Server, peers, service
from loadtests.http_traffic import Stream
from loadtests.http_work import sum_of_squares
from service.cpus import available_cpus

Figures = dict[str, float]

#: Clients of the comparison with an empty endpoint, and of that of the fan-out.
CLIENTS, FAN_OUT_CLIENTS = 16, 8


@dataclass(frozen=True, slots=True)
class Contender:
    """One of those that are compared, and what it is asked."""

    name: str
    server: Server
    stream: Stream

    def turn(self, seconds: float) -> Figures:
        """Return its requests a second, and the CPU time that it takes for one."""
        before = self.server.cpu_seconds()
        recording = drive([self.stream], seconds)
        used = self.server.cpu_seconds() - before
        recording.check(self.stream.name)
        return {
            self.name: recording.rate(self.stream.name),
            f"{self.name}_cpu": used / len(recording.answers) * 1e6,
        }


def noop(seconds: float, turns: int) -> Iterator[Figures]:
    """Yield how a task that does nothing compares with an endpoint that does nothing."""
    with service() as ours, peers() as theirs:
        task = Stream("noop", ours.url, "/v1/tasks/noop", '"result":null,', "POST", "{}", JSON, users=CLIENTS)
        empty = Stream("empty", theirs.url, "/empty", '"status":"ok"', users=CLIENTS)
        contenders = [Contender("noop", ours, task), Contender("empty", theirs, empty)]
        for contender in contenders:
            warm_up(contender.stream)
        for turn in range(turns):
            figures = _all(contenders, turn, seconds)
            yield figures | {"noop_to_empty": figures["noop"] / figures["empty"]}


def fan_out(seconds: float, turns: int) -> Iterator[Figures]:
    """Yield how four small sums in one request compare with other ways to make them."""
    with service() as ours, peers() as theirs:
        asked = {
            "fan_out": (ours, map_of(ours, "sum_of_squares", "n", SUMS, sum_of_squares)),
            "pattern": (theirs, of_peer(theirs, "/pool_per_request", SUMS, sum_of_squares)),
            "kept": (theirs, of_peer(theirs, "/kept_executor", SUMS, sum_of_squares)),
        }
        contenders = [
            Contender(name, server, dataclasses.replace(stream, name=name, users=FAN_OUT_CLIENTS))
            for name, (server, stream) in asked.items()
        ]
        for contender in contenders:
            warm_up(contender.stream)
        for turn in range(turns):
            figures = _all(contenders, turn, seconds)
            yield figures | {
                "fan_out_to_pattern": figures["fan_out"] / figures["pattern"],
                "fan_out_to_kept": figures["fan_out"] / figures["kept"],
            }


def map_of(
    server: Server, task: str, argument: str, values: Sequence[int], function: Callable[[int], int]
) -> Stream:
    """A map of the service over values of one argument; ``function`` returns what the task is to return."""
    items = ",".join(f'{{"{argument}":{value}}}' for value in values)
    entries = ",".join(
        f'{{"index":{index},"result":{function(value)}}}' for index, value in enumerate(values)
    )
    path, body = f"/v1/tasks/{task}/map", f'{{"items":[{items}]}}'
    return Stream(task, server.url, path, f'"results":[{entries}]', "POST", body, JSON)


def of_peer(server: Server, path: str, values: Sequence[int], function: Callable[[int], int]) -> Stream:
    """The same, asked of a peer."""
    results = ",".join(str(function(value)) for value in values)
    return Stream(path, server.url, path, f'"results":[{results}]')


def _all(contenders: Sequence[Contender], turn: int, seconds: float) -> Figures:
    first = turn % len(contenders)
    figures: Figures = {}
    for contender in (*contenders[first:], *contenders[:first]):
        figures |= contender.turn(seconds)
    return figures


def throughput(work: Work, seconds: float, turns: int) -> Iterator[Figures]:
    """Yield how calls that compute, to the service, compare with what the cores can do."""
    with service() as server:
        stream = http_overload.calls(server, work, users=2 * available_cpus())
        warm_up(stream)

        def served() -> Figures:
            recording = drive([stream], seconds)
            recording.check(stream.name)
            return {"served": recording.rate(stream.name)}

        def plain() -> Figures:
            return {"cores": http_capacity.per_second(work.rounds, seconds)}

        for turn in range(turns):
            figures = _both(served, plain, turn)
            yield figures | {"served_to_cores": figures["served"] / figures["cores"]}


def _both(one: Callable[[], Figures], other: Callable[[], Figures], turn: int) -> Figures:
    return one() | other() if turn % 2 else other() | one()


def health(work: Work, seconds: float, turns: int) -> Iterator[Figures]:
    """Yield how fast /healthz answers while four times the capacity is asked of the service."""
    rate = FACTOR * available_cpus() / http_capacity.CALL
    for _ in range(turns):
        # Each time another: what one turn has left behind is not the next one's.
        with service() as server:
            streams = http_overload.flood(server, work, rate, deadline=None)
            warm_up(http_overload.calls(server, work, users=1))
            figures = http_overload.judged(drive(streams, seconds, warm=3.0))
            yield {
                "health_p99": figures["probe_p99"],
                "health_failed": figures["probes_failed"],
                "health_goodput": figures["goodput"],
            }
