"""The page about the API: made of files of this project, under a policy that allows no other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service import keys
from service.api.docs import FILES
from service.engine.fake import FakeEngine

ROOT = Path(__file__).resolve().parents[3]
SWAGGER = ROOT / "service" / "web" / "swagger"


def test_the_page_names_nothing_that_is_not_there(client: FlaskClient) -> None:
    page = client.get("/docs")

    assert page.mimetype == "text/html"
    named = re.findall(r'(?:src|href)="(/docs/[^"]+)"', page.text)
    assert {name.removeprefix("/docs/") for name in named} == set(FILES)
    assert "://" not in page.text
    assert all(client.get(name).status_code == 200 for name in named)


def test_its_policy_allows_no_other_host_and_nothing_inline(client: FlaskClient) -> None:
    policy = client.get("/docs").headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'self';" in policy
    assert not re.search(r"unsafe|https?:|\*", policy)
    # Nothing inline: the policy would keep it from running.
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", client.get("/docs").text)


def test_every_other_answer_keeps_its_policy(client: FlaskClient) -> None:
    for path in ("/", "/openapi.json", "/v1/tasks", "/docs/nothing", "/nothing"):
        policy = client.get(path).headers["Content-Security-Policy"]
        assert policy == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("docs.js", "text/javascript"), ("docs.css", "text/css"), ("swagger-ui-bundle.js", "text/javascript")],
)
def test_files_have_their_media_types_and_are_sent_once(
    client: FlaskClient, name: str, media_type: str
) -> None:
    first = client.get(f"/docs/{name}")

    assert first.mimetype == media_type
    again = client.get(f"/docs/{name}", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "name", ["README.md", "index.html", "..%2fdocs%2fdocs.js", "../__init__.py", "%2e%2e/__init__.py", ""]
)
def test_no_other_file_is_sent(client: FlaskClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


def test_the_page_needs_no_key_and_the_contract_does(
    make_client: Callable[..., FlaskClient], tmp_path: Path
) -> None:
    text, key = keys.new("reader")
    client = make_client(FakeEngine(), api_keys=key.line(), runtime_dir=tmp_path)

    assert client.get("/docs").status_code == 200
    assert client.get("/docs/docs.js").status_code == 200
    assert client.get("/openapi.json").status_code == 401
    assert client.get("/openapi.json", headers={"Authorization": f"Bearer {text}"}).status_code == 200


def test_swagger_ui_is_of_the_version_that_make_fetches() -> None:
    version = re.search(r"^SWAGGER_UI := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert version is not None
    assert (SWAGGER / "README.md").read_text().startswith(f"# Swagger UI {version[1]}\n")
    assert f'"{version[1]}"' in (SWAGGER / "swagger-ui-bundle.js").read_text()
    assert "Apache License" in (SWAGGER / "LICENSE").read_text()
