"""Requests: how many, how long they took, how many are under way."""

from __future__ import annotations

import functools

from prometheus_client import Counter, Gauge

from service.telemetry.metrics.histogram import Histogram
from service.telemetry.metrics.registry import REGISTRY

REQUESTS = Counter(
    "everycore_http_requests_total",
    "Requests that were answered.",
    ["method", "endpoint", "status"],
    registry=REGISTRY,
)
SECONDS = Histogram(
    "everycore_http_request_seconds",
    "Seconds until the answer was made, to the last byte if it was streamed.",
    ["method", "endpoint"],
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "everycore_http_requests_in_flight",
    "Requests under way.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
WORKERS = Gauge(
    "everycore_web_workers", "Gunicorn workers that run.", multiprocess_mode="livesum", registry=REGISTRY
)

#: Anybody may think of further ones, and each would be a series for good.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# To look them up by their labels takes as long as to count. Both have a bound: that of the routes.


@functools.cache
def _requests(method: str, endpoint: str, status: int) -> Counter:
    return REQUESTS.labels(method, endpoint, status)


@functools.cache
def _seconds(method: str, endpoint: str) -> Histogram:
    return SECONDS.labels(method, endpoint)


def worker_begins() -> None:
    """Note that this process is a worker."""
    WORKERS.set(1)


def request_begins() -> None:
    """Count a request as under way."""
    IN_FLIGHT.inc()


def request_ends(method: str, endpoint: str, status: int, seconds: float) -> None:
    """Count the end of one; ``endpoint`` is the template of its route, never a path."""
    IN_FLIGHT.dec()
    if method not in METHODS:
        method = "other"
    _requests(method, endpoint, status).inc()
    _seconds(method, endpoint).observe_all((seconds,))
