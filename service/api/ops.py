"""For whoever operates the service: is it alive, is it ready, where does everything stand."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request, url_for

from service.api import calls
from service.api.readiness import StoreCheck
from service.api.results import json_response
from service.telemetry.metrics.registry import expose

bp = Blueprint("ops", __name__)


@bp.get("/")
def index() -> Response:
    """Show the way to everything else."""
    links = {
        "docs": "docs.page",
        "openapi": "docs.openapi",
        "tasks": "tasks.index",
        "pipelines": "pipelines.index",
        "jobs": "jobs.index",
        "concurrent_cpu_tasks": "samples.concurrent_cpu_tasks",
        "start_background_process": "samples.start_background_process",
        "parallel_data_processing": "samples.parallel_data_processing",
        "process_queue_communication": "samples.process_queue_communication",
        "healthz": "ops.healthz",
        "readyz": "ops.readyz",
        "metrics": "ops.metrics",
    }
    return json_response({"service": "everycore", "links": {name: url_for(to) for name, to in links.items()}})


@bp.get("/healthz")
def healthz() -> Response:
    """Say that this process answers; touches nothing else."""
    return json_response({"status": "ok"})


@bp.get("/readyz")
def readyz() -> Response:
    """Say whether work is taken, and what was looked at to know."""
    engine = calls.engine()
    state = "stopping" if engine.closed else "running" if engine.ready else "loading"
    ready = bool(calls.contracts()) and state == "running"
    store: StoreCheck = current_app.extensions["everycore.store_check"]
    # Without the store there are no jobs, but tasks run: no reason to send all requests elsewhere.
    checks = {
        "tasks": len(calls.tasks()),
        "pipelines": len(calls.pipelines()),
        "engine": state,
        "store": store.state(),
    }
    status = "ready" if ready else "unavailable"
    return json_response({"status": status, "checks": checks}, 200 if ready else 503)


@bp.get("/metrics")
def metrics() -> Response:
    """Tell Prometheus what all processes of the service have counted."""
    text, content_type = expose(
        request.headers.get("Accept", ""), current_app.extensions["everycore.collectors"]
    )
    return Response(text, content_type=content_type)
