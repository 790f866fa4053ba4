"""Arguments on their way from a request through the table to a runner: kept as they came, read there again.

    application/json   the object itself
    FIELDS             what a form or an upload held: {"name": {"text": …} | {"bytes": base64} | [those]}

Nothing is pickled, so nobody who can write to the database can have code run by that.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from service.jobs.model import Payload
from service.tasks.contract import Contract

JSON = "application/json"
FIELDS = "application/vnd.everycore.fields+json"


def of_fields(values: Mapping[str, Any]) -> Payload:
    """Keep texts and bytes, or lists of them, by name."""
    packed = {name: _packed(value) for name, value in values.items()}
    return Payload(FIELDS, json.dumps(packed, separators=(",", ":")).encode())


def read(contract: Contract, args: Payload) -> dict[str, Any]:
    """Return keyword arguments that fit; raises what ``Contract``'s own methods raise."""
    if args.media_type == FIELDS:
        fields = json.loads(args.content)
        return contract.validate_text({name: _unpacked(value) for name, value in fields.items()})
    return contract.validate_json(args.content)


def _packed(value: Any) -> Any:
    if isinstance(value, list):
        return [_packed(item) for item in value]
    return {"text": value} if isinstance(value, str) else {"bytes": base64.b64encode(value).decode()}


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    return value["text"] if "text" in value else base64.b64decode(value["bytes"])
