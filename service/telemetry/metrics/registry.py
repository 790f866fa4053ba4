"""What every metric hangs on, and the text that Prometheus reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Metric, exposition, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.telemetry.logs import get_logger
from service.telemetry.metrics import places
from service.telemetry.metrics.directory import VARIABLE

Role = Literal["web", "runner"]

#: All metrics of ours; every one is made with ``registry=REGISTRY``.
REGISTRY = CollectorRegistry()

# Told of one process only, they would come and go with the way in which it was started.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # the library is half typed


class _Folder(Collector):
    """All metrics of all processes that share a folder."""

    def __init__(self, path: Path) -> None:
        """Take a place in it; metrics that are made from now on are kept there, also by forks."""
        self._path = path
        try:
            place = places.Place(path)
        except OSError as error:
            # No reason not to serve; it counts all the same, but nobody gets to see that.
            get_logger().error("the metrics of this process are lost", path=str(path), error=str(error))
            values.ValueClass = values.MutexValue
            return
        # The library goes by the process id.
        values.ValueClass = values.MultiProcessValue(place.number)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """Read what all have counted, and what is true of those that live."""
        files = [str(file) for file in places.files_to_read(self._path)]
        metrics: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return metrics


class _Process:
    """This process."""

    role: Role = "web"


_source: Collector = _Folder(Path(os.environ[VARIABLE])) if os.environ.get(VARIABLE) else REGISTRY


def set_role(role: Role) -> None:
    """Say what this process is; by default it is ``web``."""
    _Process.role = role


def role() -> Role:
    """Return what this process is."""
    return _Process.role


class _All(Collector):
    """Everything that there is to tell."""

    def __init__(self, more: Iterable[Collector]) -> None:
        """Tell of ``more``, too."""
        self._collectors = (_source, *more)

    def collect(self) -> Iterable[Metric]:
        """Return it by name."""
        metrics = chain.from_iterable(collector.collect() for collector in self._collectors)
        return sorted(metrics, key=lambda metric: metric.name)


def expose(accept: str = "", more: Iterable[Collector] = ()) -> tuple[bytes, str]:
    """Return all metrics and their content type.

    ``accept`` is the ``Accept`` header that asked for them. ``more`` collectors look up what nobody counts.
    """
    encode, content_type = exposition.choose_encoder(accept)
    return encode(_All(more)), content_type
