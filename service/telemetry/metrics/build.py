"""Which version this is."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

import service


class BuildCollector(Collector):
    """Tells the version of the service and of Python."""

    def collect(self) -> Iterator[Metric]:
        """Return one gauge, which is always 1."""
        build = GaugeMetricFamily("everycore_build_info", "1; what runs here.", labels=["version", "python"])
        build.add_metric([service.__version__, platform.python_version()], 1)
        yield build
