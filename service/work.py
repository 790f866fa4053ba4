"""``python -m service runner``: runs background jobs until it is stopped.

SIGTERM, SIGHUP    claim no more, give running jobs SERVICE_JOB_GRACE seconds, give the others back
SIGINT, SIGQUIT    give all of them back now
"""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor, wait

from service import children
from service.collectors import collectors
from service.engine.base import Engine
from service.engine.local import LocalEngine
from service.engine.traced import traced
from service.jobs.attempt import MAX_RESULT
from service.jobs.database import Database, open_database
from service.jobs.migrate import Migrated
from service.jobs.runner import Runner
from service.jobs.store import Store
from service.pipelines.engine import PipelineEngine
from service.runner_http import Endpoint, answering
from service.settings import Settings
from service.tasks import contract, registry
from service.telemetry import tracing
from service.telemetry.metrics.engine import EngineMetrics
from service.telemetry.metrics.registry import set_role

#: A terminal that is closed ends what runs on it; a reload concerns ``serve``, which starts another runner.
STOPS = (signal.SIGTERM, signal.SIGHUP, *children.QUICK)
#: How often to look after the lease, at least, within its length.
LOOKS = 20
#: Seconds that a job may wait for a process once it is claimed.
_LONG = 1e6


def prepare() -> bool:
    """Do what comes first: hang on the parent, and hear signals, which it had blocked.

    Returns whether it is ``serve`` that has started this process.
    """
    is_served = children.hang_on_parent()
    for signum in STOPS:
        # No job is claimed yet.
        signal.signal(signum, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    return is_served


def work(settings: Settings, database: Database | None = None, *, is_served: bool = False) -> None:
    """Run jobs; the tasks are registered already. ``database`` may be another than that of the settings.

    One that ``is_served`` has no endpoint of its own: what it counts is told at that of the web.
    """
    children.take_all_descriptors()
    set_role("runner")
    url = settings.database_url.get_secret_value()
    contracts = {task.name: contract.build(task) for task in registry.all_tasks()}
    with (
        contextlib.closing(database or Migrated(open_database(url))) as store,
        contextlib.closing(LocalEngine.of(settings, queue_timeout=_LONG, observer=EngineMetrics())) as engine,
        contextlib.ExitStack() as more,
    ):
        if (tracer := tracing.open_tracer(settings.traces_endpoint, settings.traces_sample)) is not None:
            more.callback(tracer.close)
        around = with_pipelines(traced(engine, tracer), settings)
        runner = Runner(store, around, contracts, settings, tracer)
        for signum in STOPS:
            signal.signal(signum, lambda signum, _: runner.stop(quickly=signum in children.QUICK))
        if settings.runner_bind and not is_served:
            more_metrics = collectors(settings, engine, Store(store))
            trouble, keys = lambda: runner.trouble, settings.known_keys()
            more.enter_context(answering(Endpoint(settings.runner_bind, trouble, more_metrics, keys)))
        engine.warm()
        _run(runner, min(1.0, settings.job_lease / LOOKS))


def with_pipelines(engine: Engine, settings: Settings) -> PipelineEngine:
    """Return what runs jobs on an engine: pipelines, too, which jobs know nothing of."""
    return PipelineEngine(engine, processes=settings.pool_processes, max_result=MAX_RESULT)


def _run(runner: Runner, pause: float) -> None:
    # Python handles signals in the main thread only, which must not wait in C code for the database. So it is
    # the one that can stop the jobs while the others do.
    with ThreadPoolExecutor(1, thread_name_prefix="runner") as thread:
        running = thread.submit(runner.run)
        while not running.done():
            wait([running], timeout=pause)
            runner.mind_lease()
        running.result()
