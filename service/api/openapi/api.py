"""What every endpoint is described with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.api.openapi.parts import Operation, parameter
from service.api.openapi.schemas import Schema
from service.api.origins import allowed_names
from service.settings import Settings
from service.tasks.contract import Contract

#: What an endpoint that runs something can end with, beside success.
RUNNING = (400, 409, 499, 500, 503, 504, 507)

Endpoint = Iterator[tuple[str, str, Operation]]


@dataclass(frozen=True)
class Api:
    """What the endpoints are described from, and the schemas that they share."""

    contracts: Mapping[str, Contract]
    settings: Settings
    schemas: dict[str, Schema] = field(default_factory=dict)

    def operation(
        self,
        name: str,
        summary: str,
        *,
        tag: str,
        responses: Mapping[int, Operation],
        problems: Iterable[int] = (500,),
        in_samples_form: bool = False,
        needs_key: bool = True,
        **members: Any,
    ) -> Operation:
        """Return an operation; ``problems`` are the statuses it can end with beside its own responses."""
        if needs_key and self.settings.api_keys is not None:
            problems = (*problems, 401, 429)
        if allowed_names(self.settings) is not None:
            problems = (*problems, 403, 421)
        form = "sample-error" if in_samples_form else "problem"
        refs = {
            status: {"$ref": f"#/components/responses/{form}-{status}"}
            for status in problems
            if status not in responses
        }
        every = sorted({**responses, **refs}.items())
        operation: Operation = {"operationId": name, "summary": summary, "tags": [tag], **members}
        operation["parameters"] = [*members.get("parameters", ()), parameter("X-Request-ID")]
        operation["responses"] = {str(status): response for status, response in every}
        if not needs_key:
            operation["security"] = []
        return operation
