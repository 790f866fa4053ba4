"""The bodies of submissions: JSON to the letter, of which the arguments are kept as they came."""

from __future__ import annotations

from typing import Any

from flask import request

from service.api import job_spans, requests
from service.api.bodies import read_body
from service.api.job_spans import Span
from service.api.problems import InvalidRequest, WrongMediaType
from service.jobs.arguments import JSON
from service.tasks import strict_json
from service.tasks.contract import MalformedJson


def read_object(what: str) -> tuple[str, Span]:
    """Return the body's text, and the object that it is.

    Raises ``WrongMediaType``, what ``read_body`` raises, ``MalformedJson``, or ``InvalidRequest`` about
    ``what`` was to be read.
    """
    if (media_type := request.mimetype or JSON) != JSON:
        raise WrongMediaType(media_type, [JSON])
    raw = read_body(request, int(requests.settings().max_body), requests.deadline(request))
    try:
        strict_json.loads(raw)
    except ValueError as error:
        raise MalformedJson(f"the body is not JSON: {error}") from None
    text = raw.decode()
    whole = job_spans.whole(text)
    if not isinstance(whole.value, dict):
        raise InvalidRequest(what, [{"loc": [], "msg": "the body must be an object"}])
    return text, whole


def split(text: str, submission: Span) -> tuple[dict[str, Any], bytes]:
    """Return the members of a submission, and the text of its arguments."""
    args = b"{}"
    for name, span in job_spans.members(text, submission.start):
        if name == "args":
            args = text[span.start : span.end].encode()
    return submission.value, args
