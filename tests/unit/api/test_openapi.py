"""The contract: valid, complete, and true of what is served."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

import service
from service import keys
from service.api.openapi.schemas import example, hoist, is_scalar
from service.api.problems import TABLE
from service.engine.fake import FakeEngine

ROOT = Path(__file__).resolve().parents[3]
KEY, STORED = keys.new("tester")


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


@pytest.fixture
def with_keys(make_client: Callable[..., FlaskClient], tmp_path: Path) -> dict[str, Any]:
    """Return the document of a service that asks for keys."""
    client = make_client(FakeEngine(), api_keys=STORED.line(), runtime_dir=tmp_path)
    found: dict[str, Any] = client.get("/openapi.json", headers={"Authorization": f"Bearer {KEY}"}).get_json()
    return found


@pytest.fixture
def of_pipelines(make_client: Callable[..., FlaskClient]) -> dict[str, Any]:
    """Return the paths of a service that has the pipelines of ``pipeline_tasks``."""
    client = make_client(FakeEngine(), task_modules=("tests.unit.api.pipeline_tasks",))
    found: dict[str, Any] = client.get("/openapi.json").get_json()["paths"]
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


class TestDocument:
    def test_it_is_valid(self, document: dict[str, Any], with_keys: dict[str, Any]) -> None:
        validate(document, cls=OpenAPIV31SpecValidator)
        validate(with_keys, cls=OpenAPIV31SpecValidator)

    def test_every_endpoint_is_in_it_but_the_page(
        self, client: FlaskClient, document: dict[str, Any]
    ) -> None:
        served = {
            f"{method} {rule.rule.replace('<', '{').replace('>', '}')}"
            for rule in client.application.url_map.iter_rules()
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
            if not rule.endpoint.startswith("docs.") or rule.endpoint == "docs.openapi"
        }
        tasks = client.get("/v1/tasks").get_json()["tasks"]
        pipelines = client.get("/v1/pipelines").get_json()["pipelines"]
        described = {name for name, _ in operations(document)}
        runs = {f"POST {found['href']}" for found in tasks + pipelines}

        assert runs <= described
        assert described - runs == served - {"POST /v1/tasks/{name}", "POST /v1/pipelines/{name}"}

    def test_operations_have_names_of_their_own(self, document: dict[str, Any]) -> None:
        names = [operation["operationId"] for _, operation in operations(document)]

        assert len(set(names)) == len(names)
        assert {"run_sum_of_squares", "list_tasks", "show_task", "healthz"} <= set(names)

    def test_its_version_is_the_projects(self, document: dict[str, Any]) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

        assert document["info"]["version"] == project["version"] == service.__version__

    def test_each_problem_stands_at_its_status(self, document: dict[str, Any]) -> None:
        responses = document["components"]["responses"]

        for kind in TABLE.values():
            content = responses[f"problem-{kind.status}"]["content"]["application/problem+json"]
            assert f"/problems/{kind.slug}" in content["schema"]["allOf"][1]["properties"]["type"]["enum"]

    def test_it_is_sent_again_only_when_it_changed(self, client: FlaskClient) -> None:
        etag = client.get("/openapi.json").headers["ETag"]

        again = client.get("/openapi.json", headers={"If-None-Match": etag})

        assert (again.status_code, again.data) == (304, b"")
        assert client.get("/openapi.json", headers={"If-None-Match": '"other"'}).status_code == 200


class TestTask:
    def test_json_arguments_and_results_have_their_schemas(self, document: dict[str, Any]) -> None:
        operation = document["paths"]["/v1/tasks/sum_of_squares"]["post"]

        (media_type, body), *others = operation["requestBody"]["content"].items()
        assert (media_type, others) == ("application/json", [])
        assert body["schema"]["properties"]["n"]["maximum"] == 100_000_000
        result = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert result["properties"]["result"] == {"type": "integer"}
        assert set(operation["responses"]) == {
            *("200", "202", "400", "403", "408", "409", "413", "415", "421", "422"),
            *("499", "500", "503", "504", "507"),
        }

    def test_uploads_have_each_form_that_they_can_take(self, document: dict[str, Any]) -> None:
        operation = document["paths"]["/v1/tasks/thumbnail"]["post"]

        content = operation["requestBody"]["content"]
        assert next(iter(content)) == "multipart/form-data"
        assert {"application/json", "application/octet-stream", "image/*"} <= set(content)
        assert content["multipart/form-data"]["schema"]["properties"]["image"]["format"] == "binary"
        assert content["application/json"]["schema"]["properties"]["image"]["contentEncoding"] == "base64"
        query = [p["name"] for p in operation["parameters"] if p.get("in") == "query"]
        assert query == ["width", "height", "format"]
        assert set(operation["responses"]["200"]["content"]) == {"image/jpeg", "image/png"}

    def test_a_result_without_a_type_may_be_anything(self, document: dict[str, Any]) -> None:
        operation = document["paths"]["/v1/tasks/example.echo"]["post"]

        assert set(operation["responses"]["200"]["content"]) == {
            "application/json",
            "application/octet-stream",
        }

    def test_examples_are_taken(self, client: FlaskClient, document: dict[str, Any]) -> None:
        contracts = client.application.extensions["everycore.contracts"]

        lacking = []
        for name, contract in contracts.items():
            room = "tasks" if contract.task.pipeline is None else "pipelines"
            operation = document["paths"][f"/v1/{room}/{name}"]["post"]
            body = operation["requestBody"]["content"]["application/json"]
            if "example" in body:
                contract.validate_json(json.dumps(body["example"]).encode())
            else:
                lacking.append(name)
        # What nobody can guess has none: better than one that is refused.
        assert [name for name in lacking if "." not in name] == []


class TestPipeline:
    def test_its_results_are_streamed_or_one_object(self, of_pipelines: dict[str, Any]) -> None:
        operation = of_pipelines["/v1/pipelines/unit.total"]["post"]

        content = operation["responses"]["200"]["content"]
        assert list(content) == ["application/x-ndjson", "text/event-stream", "application/json"]
        streamed, of_job = content["application/json"]["schema"]["anyOf"]
        assert set(of_job["required"]) == {"task", "timing", "skipped", "result"}
        assert streamed["properties"]["results"]["items"] == {"type": "integer"}
        assert {"200", "202", "400", "408", "413", "415", "422", "500", "503", "504", "507"} <= set(
            operation["responses"]
        )
        (on_error,) = (p for p in operation["parameters"] if p.get("in") == "query")
        assert (on_error["name"], on_error["schema"]["enum"]) == ("on_error", ["stop", "skip"])

    def test_its_bytes_have_their_media_type(self, of_pipelines: dict[str, Any]) -> None:
        operation = of_pipelines["/v1/pipelines/unit.shout"]["post"]

        assert list(operation["responses"]["200"]["content"]) == ["text/plain"]
        assert {"multipart/form-data", "text/*"} <= set(operation["requestBody"]["content"])
        query = [p["name"] for p in operation["parameters"] if p.get("in") == "query"]
        assert query == ["times", "mark", "on_error"]

    def test_it_is_no_task(self, of_pipelines: dict[str, Any]) -> None:
        assert "/v1/tasks/unit.total" not in of_pipelines

    def test_what_is_said_of_it_fits_its_schema(
        self, client: FlaskClient, document: dict[str, Any], of_pipelines: dict[str, Any]
    ) -> None:
        schema = {**document, "$ref": "#/components/schemas/Pipeline"}
        for described in client.get("/v1/pipelines").get_json()["pipelines"]:
            jsonschema.validate(described, schema, cls=jsonschema.Draft202012Validator)
        assert "/v1/pipelines/{name}" in of_pipelines


class TestKeys:
    def test_without_any_nothing_is_said_of_them(self, document: dict[str, Any]) -> None:
        assert "security" not in document
        assert not any("401" in operation["responses"] for _, operation in operations(document))

    def test_with_some_every_operation_needs_one_but_those_that_do_not(
        self, with_keys: dict[str, Any]
    ) -> None:
        assert with_keys["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
        assert with_keys["security"] == [{"key": []}]
        free = {name for name, operation in operations(with_keys) if operation.get("security") == []}
        assert free == {"GET /healthz", "GET /readyz"}
        for name, operation in operations(with_keys):
            assert ({"401", "429"} <= set(operation["responses"])) == (name not in free)


class TestHosts:
    def test_every_operation_may_be_refused_where_they_are_looked_at(
        self, document: dict[str, Any], with_keys: dict[str, Any]
    ) -> None:
        for _, operation in operations(document):
            assert {"403", "421"} <= set(operation["responses"])
        for _, operation in operations(with_keys):
            assert not {"403", "421"} & set(operation["responses"])


class TestExample:
    @pytest.mark.parametrize(
        ("schema", "value"),
        [
            ({"type": "integer"}, 5),
            ({"type": "integer", "minimum": 7}, 7),
            ({"type": "integer", "exclusiveMaximum": 3}, 2),
            ({"type": "integer", "multipleOf": 4}, 8),
            ({"type": "number", "minimum": 0.5, "maximum": 0.75}, 0.75),
            ({"type": "string"}, "text"),
            ({"type": "string", "minLength": 6}, "textte"),
            ({"type": "string", "maxLength": 2}, "te"),
            ({"type": "string", "format": "date"}, "2026-01-31"),
            ({"type": "boolean"}, True),
            ({"type": "null"}, None),
            ({"enum": ["b", "a"]}, "b"),
            ({"type": "integer", "default": 9}, 9),
            ({"type": "integer", "default": 9, "examples": [3]}, 3),
            ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [5, 5]),
            ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}, [5, "text"]),
            ({"type": "object", "additionalProperties": {"type": "integer"}}, {"name": 5}),
            ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text"),
            ({"$ref": "#/$defs/P", "$defs": {"P": {"const": 1}}}, 1),
            (
                {
                    "type": "object",
                    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"default": 1}},
                    "required": ["a"],
                },
                {"a": 5, "c": 1},
            ),
        ],
    )
    def test_it_fits_its_schema(self, schema: dict[str, Any], value: object) -> None:
        assert example(schema) == value

    def test_a_schema_that_refers_to_itself_ends(self) -> None:
        node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}, "required": ["next"]}

        assert "next" in example({"$ref": "#/$defs/N", "$defs": {"N": node}})


class TestHoist:
    def test_definitions_move_and_references_follow(self) -> None:
        components: dict[str, Any] = {}
        inner = {"type": "object", "properties": {"self": {"$ref": "#/$defs/P"}}}
        schema = {"properties": {"default": {"$ref": "#/$defs/P"}}, "$defs": {"P": inner}}

        moved = hoist(schema, "job", components)

        assert moved == {"properties": {"default": {"$ref": "#/components/schemas/job.P"}}}
        assert components["job.P"]["properties"]["self"] == {"$ref": "#/components/schemas/job.P"}

    def test_data_of_a_user_is_left_alone(self) -> None:
        schema = {"default": {"$ref": "#/$defs/P"}, "examples": ["#/$defs/P"]}

        assert hoist(schema, "job", {}) == schema

    def test_bytes_are_counted_before_they_become_text(self) -> None:
        schema = {"type": "string", "format": "base64url", "minLength": 16, "maxLength": 64}

        assert hoist({"anyOf": [schema]}, "job", {})["anyOf"] == [
            {
                "type": "string",
                "contentEncoding": "base64",
                "description": "Bytes in base64, at least 16 and at most 64 bytes.",
            }
        ]


@pytest.mark.parametrize(
    ("schema", "can"),
    [
        ({"type": "integer"}, True),
        ({"type": "array", "items": {"type": "string"}}, True),
        ({"type": "array", "items": {}}, False),
        ({"type": "object"}, False),
        ({}, False),
    ],
)
def test_what_can_stand_in_a_query(schema: dict[str, Any], can: bool) -> None:  # noqa: FBT001
    assert is_scalar(schema) is can
