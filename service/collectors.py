"""What nobody counts, and is looked up when Prometheus asks the web, or a runner that stands alone."""

from __future__ import annotations

from prometheus_client.registry import Collector

from service.engine.base import Engine
from service.engine.occupancy import look
from service.jobs.census import Census
from service.jobs.store import Store
from service.settings import Settings
from service.telemetry.metrics.build import BuildCollector
from service.telemetry.metrics.engine import Load, LoadCollector
from service.telemetry.metrics.jobs import StandingCollector


def collectors(settings: Settings, engine: Engine, store: Store) -> tuple[Collector, ...]:
    """Return those that tell the version, how busy the machine is, and how the store stands."""
    return (
        BuildCollector(),
        LoadCollector(lambda: Load(*look(settings), engine.backlog)),
        StandingCollector(Census(store, settings.job_lease).figures),
    )
