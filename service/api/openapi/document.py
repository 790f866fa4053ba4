"""The document: what the endpoints say, and what they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import service
from service.api.openapi.api import Api
from service.api.openapi.endpoints import ENDPOINTS
from service.api.openapi.parts import HEADERS, SCHEMAS, Operation, parameters, problem_responses
from service.settings import Settings
from service.tasks.contract import Contract

TAGS = {
    "tasks": "Run a function and wait for its result.",
    "pipelines": "Send items through stages that work beside each other, and have the results as they come.",
    "jobs": "Hand work over, and look for it later.",
    "samples": "The samples that this service started from.",
    "operation": "For whoever operates the service.",
}


def build(contracts: Mapping[str, Contract], settings: Settings) -> dict[str, Any]:
    """Describe everything that these contracts and settings make up."""
    api = Api(contracts, settings, dict(SCHEMAS))
    paths: dict[str, dict[str, Operation]] = {}
    for endpoint in ENDPOINTS:
        for path, method, operation in endpoint(api):
            paths.setdefault(path, {})[method] = operation
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Everycore",
            "version": service.__version__,
            "description": "CPU-bound Python functions on every core of a machine.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "where this document comes from"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": api.schemas,
            "responses": problem_responses(),
            "parameters": parameters(settings),
            "headers": HEADERS,
        },
    }
    if settings.api_keys is not None:
        scheme = {"type": "http", "scheme": "bearer", "description": "A key that the operator gave you."}
        document["components"]["securitySchemes"] = {"key": scheme}
        document["security"] = [{"key": []}]
    return document
