"""The application: all wiring, nothing else.

Settings ─┬─> logs
      ├─> task modules ─> contracts ─┐
      └─> engine ────────────────────┴─> Flask and its blueprints
"""

from __future__ import annotations

from flask import Flask

from service import settings as settings_module
from service.api import admission, docs, keys, maps, ops, problems, requests, samples, tasks
from service.engine.base import Engine
from service.engine.local import LocalEngine
from service.settings import Settings
from service.tasks import contract, registry
from service.telemetry import logs


def create_app(settings: Settings | None = None, *, engine: Engine | None = None) -> Flask:
    """Build the application; a setting or a task that can't be used stops it with ``ConfigurationError``."""
    settings = settings or settings_module.load()
    logs.configure(settings.log_format, settings.log_level)
    registry.load(settings.task_modules)
    app = Flask(__name__, static_folder=None)
    # A path with a slash too many is unknown, not redirected to wherever it may lead.
    app.url_map.merge_slashes = False
    app.extensions["everycore.settings"] = settings
    app.extensions["everycore.contracts"] = {task.name: contract.build(task) for task in registry.all_tasks()}
    app.extensions["everycore.engine"] = engine or local_engine(settings)
    requests.install(app)
    keys.install(app, settings)
    admission.install(app, settings)
    problems.install(app)
    for blueprint in (docs.bp, ops.bp, samples.bp, tasks.bp, maps.bp):
        app.register_blueprint(blueprint)
    return app


def local_engine(settings: Settings) -> LocalEngine:
    """Build the engine of this worker; it starts nothing before its first call."""
    return LocalEngine(
        modules=settings.task_modules,
        processes=settings.pool_processes,
        cpu_slots=settings.cpu_slots,
        runtime_dir=settings.runtime_dir,
        idle_seconds=settings.pool_idle_seconds,
        recycle_calls=settings.pool_recycle_calls,
        memory_limit=settings.memory_limit,
        queue_limit=settings.queue_limit,
        queue_timeout=settings.queue_timeout,
    )
