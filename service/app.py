"""The application: all wiring, nothing else.

Settings ─┬─> logs
      ├─> task modules ─> contracts ─┐
      ├─> engine ────────────────────┤
      └─> store of jobs ─────────────┴─> Flask and its blueprints
"""

from __future__ import annotations

from flask import Flask

from service import settings as settings_module
from service.api import (
    admission,
    batches,
    docs,
    job_events,
    job_outputs,
    job_waits,
    jobs,
    keys,
    maps,
    ops,
    origins,
    pipelines,
    problems,
    requests,
    samples,
    tasks,
)
from service.api.readiness import StoreCheck
from service.collectors import collectors
from service.engine.base import Engine
from service.engine.local import LocalEngine
from service.engine.traced import traced
from service.jobs import checks
from service.jobs.store import Store, open_store
from service.jobs.webhooks.allowed import parse_allowed
from service.settings import Settings
from service.tasks import contract, registry
from service.tasks.pipelines import check_size
from service.telemetry import logs, tracing
from service.telemetry.metrics import http
from service.telemetry.metrics.engine import EngineMetrics

BLUEPRINTS = (
    docs.bp,
    ops.bp,
    samples.bp,
    tasks.bp,
    maps.bp,
    pipelines.bp,
    jobs.bp,
    job_outputs.bp,
    job_events.bp,
    batches.bp,
)


def create_app(
    settings: Settings | None = None, *, engine: Engine | None = None, store: Store | None = None
) -> Flask:
    """Build the application; a setting or a task that can't be used stops it with ``ConfigurationError``."""
    settings = settings or settings_module.load()
    logs.configure(settings.log_format, settings.log_level)
    registry.load(settings.task_modules)
    check_size(settings.pool_processes)
    checks.check(settings)
    store = store or open_store(settings.database_url.get_secret_value())
    app = Flask(__name__, static_folder=None)
    # A path with a slash too many is unknown, not redirected to wherever it may lead.
    app.url_map.merge_slashes = False
    app.extensions["everycore.settings"] = settings
    app.extensions["everycore.contracts"] = {task.name: contract.build(task) for task in registry.all_tasks()}
    tracer = tracing.open_tracer(settings.traces_endpoint, settings.traces_sample)
    engine = traced(engine or LocalEngine.of(settings, observer=EngineMetrics()), tracer)
    app.extensions["everycore.tracer"] = tracer
    app.extensions["everycore.engine"] = engine
    app.extensions["everycore.collectors"] = collectors(settings, engine, store)
    app.extensions["everycore.store"] = store
    app.extensions["everycore.store_check"] = StoreCheck(lambda: store.list(limit=1))
    # Without a secret to sign them with there are none.
    allowed = None if settings.webhook_secret is None else parse_allowed(settings.webhook_allow)
    app.extensions["everycore.webhooks"] = allowed
    http.worker_begins()
    requests.install(app, http, tracer)
    origins.install(app, settings)
    keys.install(app, settings)
    admission.install(app, settings)
    job_waits.install(app, settings, store)
    problems.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    return app
