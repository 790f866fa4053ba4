"""How long requests wait that come at random to a few servers: M/M/c, and half of that for equal ones.

Assumed: requests come independently of each other (Poisson), are served first come, first served, by
``servers`` that are all alike, and none is refused. M/M/c is for service times that vary much (exponential).
Where all take equally long (M/D/c) a request waits about half as long: ``variation`` 0 in place of 1 (Allen
and Cunneen). That is exact for the mean with one server, and some percent low for many that have little to
do. Both are for the long run; from a utilisation of 1 on there is none, for the queue grows without end.

A. O. Allen, Probability, Statistics, and Queueing Theory with Computer Science Applications, 1990, chapter 5.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable


def utilisation(rate: float, service: float, servers: int) -> float:
    """Return the share of time that a server is busy, above 1 when there is more to do than it can."""
    return rate * service / servers


def waiting_share(rate: float, service: float, servers: int) -> float:
    """Return the share of requests that wait at all: Erlang's C formula."""
    busy = utilisation(rate, service, servers)
    if busy >= 1:
        return 1.0
    # Erlang's B by its recursion, which has no large factorials.
    load, blocked = rate * service, 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - busy * (1 - blocked))


def mean_wait(rate: float, service: float, servers: int, variation: float = 1.0) -> float:
    """Return the seconds that a request waits in the mean; infinite when there is more to do than it can.

    ``variation`` is the squared coefficient of variation of the service times.
    """
    free = servers / service - rate
    if free <= 0:
        return math.inf
    return waiting_share(rate, service, servers) / free * (1 + variation) / 2


def wait(rate: float, service: float, servers: int, share: float, variation: float = 1.0) -> float:
    """Return the seconds that ``share`` of the requests wait at most; 0 when so many don't wait at all."""
    waiting = waiting_share(rate, service, servers)
    if waiting <= 1 - share:
        return 0.0
    return mean_wait(rate, service, servers, variation) / waiting * math.log(waiting / (1 - share))


def waits(arrivals: Iterable[float], service: float, servers: int) -> list[float]:
    """Return how long each of these very arrivals waits when every one is served for as long."""
    free = [-math.inf] * servers
    found = []
    for arrival in arrivals:
        begin = max(arrival, heapq.heappop(free))
        found.append(begin - arrival)
        heapq.heappush(free, begin + service)
    return found
