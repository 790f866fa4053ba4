"""The contract of the API, and a page to read and try it: OpenAPI and Swagger UI.

Everything comes from files of this project; the page's policy lets the browser ask nobody else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from flask import Blueprint, Response, abort, current_app, request

from service import web
from service.api import calls, requests
from service.api.openapi.document import build
from service.api.results import dumps

bp = Blueprint("docs", __name__)

_WEB = Path(web.__file__).parent
_PAGE = _WEB / "docs" / "index.html"

#: What the page is made of; nothing else is sent, whatever else may lie in the folders.
FILES = {
    "docs.css": _WEB / "docs" / "docs.css",
    "docs.js": _WEB / "docs" / "docs.js",
    "swagger-ui.css": _WEB / "swagger" / "swagger-ui.css",
    "swagger-ui-bundle.js": _WEB / "swagger" / "swagger-ui-bundle.js",
}

_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)

#: Ask each time whether it has changed: 304, and no body, when it has not.
_REVALIDATE = "private, no-cache"


class Document(NamedTuple):
    """What is sent, and a name for this version of it."""

    body: bytes
    etag: str


@bp.get("/openapi.json")
def openapi() -> Response:
    """Send the contract."""
    return _send(_contract(), "application/json")


@bp.get("/docs")
def page() -> Response:
    """Send the page, which fetches the rest."""
    return _send_file(_PAGE)


@bp.get("/docs/<file>")
def file(file: str) -> Response:
    """Send one of the page's files."""
    if file not in FILES:
        abort(404)
    return _send_file(FILES[file])


def _contract() -> Document:
    """Build the contract at the first request for it: nothing in it can change afterwards."""
    found: Document | None = current_app.extensions.get("everycore.openapi")
    if found is None:
        body = dumps(build(calls.contracts(), requests.settings()))
        found = _named(body)
        current_app.extensions["everycore.openapi"] = found
    return found


def _named(body: bytes) -> Document:
    return Document(body, hashlib.sha256(body).hexdigest()[:32])


def _send_file(path: Path) -> Response:
    response = _send(_named(path.read_bytes()), f"{_MEDIA_TYPES[path.suffix]}; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _send(document: Document, content_type: str) -> Response:
    response = Response(document.body, content_type=content_type)
    response.headers["Cache-Control"] = _REVALIDATE
    response.set_etag(document.etag)
    response.make_conditional(request)
    return response
