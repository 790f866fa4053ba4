"""Who may call, and how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response
from flask.testing import FlaskClient

from service import keys
from service.engine.fake import FakeEngine

URL = "/v1/tasks/sum_of_squares"
ALICE, ALICES = keys.new("alice", concurrency=2)
BOB, BOBS = keys.new("bob", per_minute=2)
CAROL, CAROLS = keys.new("carol")


@pytest.fixture
def guarded(make_client: Callable[..., FlaskClient], tmp_path: Path) -> Iterator[FlaskClient]:
    lines = "\n".join(key.line() for key in (ALICES, BOBS, CAROLS))
    client = make_client(FakeEngine(), api_keys=lines, runtime_dir=tmp_path)
    yield client
    client.application.extensions["everycore.guard"].close()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class TestKey:
    def test_a_known_one_is_let_in(self, guarded: FlaskClient) -> None:
        assert guarded.post(URL, json={"n": 5}, headers=bearer(CAROL)).get_json()["result"] == 30
        assert guarded.get("/v1/tasks", headers={"Authorization": f"bearer  {CAROL}"}).status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer ",
            CAROL,
            f"Basic {CAROL}",
            f"Bearer {CAROL}x",
            f"Bearer {CAROL[:-1]}",
            f"Bearer {CAROLS.hash.hex()}",
            "Bearer carol",
            "Bearer \xe9\xff",
        ],
    )
    def test_anything_else_is_not(self, guarded: FlaskClient, header: str) -> None:
        answer = guarded.post(URL, json={"n": 5}, headers={"Authorization": header})

        assert answer.status_code == 401
        assert answer.get_json()["type"] == "/problems/unauthorized"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="everycore", error="invalid_token"'
        if len(header) > 10:
            assert header not in answer.text

    def test_without_one_nobody_is_let_in_anywhere(self, guarded: FlaskClient) -> None:
        for rule in guarded.application.url_map.iter_rules():
            path = rule.rule.replace("<name>", "sum_of_squares").replace("<file>", "docs.js")
            for method in rule.methods or ():
                answer = guarded.open(path, method=method)
                is_open = path in ("/healthz", "/readyz", "/docs", "/docs/docs.js")
                assert (answer.status_code == 401) is not is_open, (method, path)

    def test_what_is_not_there_is_no_secret_that_is_told(self, guarded: FlaskClient) -> None:
        assert guarded.get("/nothing").status_code == 401
        assert guarded.post("/v1/tasks/nothing", json={}).status_code == 401
        assert guarded.get("/nothing", headers=bearer(CAROL)).status_code == 404

    def test_missing_and_wrong_are_told_apart_as_the_standard_says(self, guarded: FlaskClient) -> None:
        assert guarded.get("/v1/tasks").headers["WWW-Authenticate"] == 'Bearer realm="everycore"'

    def test_samples_say_it_in_their_own_form(self, guarded: FlaskClient) -> None:
        answer = guarded.get("/parallel_data_processing/")

        assert (answer.status_code, list(answer.get_json())) == (401, ["error"])
        assert "WWW-Authenticate" in answer.headers

    def test_the_log_has_the_name_and_never_the_key(
        self, guarded: FlaskClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        guarded.get("/v1/tasks", headers=bearer(CAROL))
        guarded.get("/v1/tasks", headers=bearer(f"{CAROL}x"))

        known, unknown = capsys.readouterr().out.splitlines()
        assert '"key": "carol"' in known
        assert '"key"' not in unknown
        assert CAROL not in known + unknown

    def test_without_keys_nobody_is_asked(self, client: FlaskClient) -> None:
        assert "everycore.guard" not in client.application.extensions
        assert client.get("/v1/tasks", headers=bearer("whatever")).status_code == 200


class TestLimits:
    def test_requests_in_a_minute_are_counted_for_each_key(self, guarded: FlaskClient) -> None:
        statuses = [guarded.get("/v1/tasks", headers=bearer(BOB)).status_code for _ in range(4)]

        assert statuses == [200, 200, 429, 429]
        assert guarded.get("/v1/tasks", headers=bearer(CAROL)).status_code == 200
        refused = guarded.get("/v1/tasks", headers=bearer(BOB))
        assert refused.get_json()["type"] == "/problems/rate-limited"
        assert 50 < int(refused.headers["Retry-After"]) <= 60

    def test_a_request_counts_until_its_answer_is_sent(self, guarded: FlaskClient) -> None:
        # Given two requests of a key that may have two, with answers nobody has read
        first, second = (guarded.get("/v1/tasks", headers=bearer(ALICE)) for _ in range(2))

        # When there is a third
        third = guarded.get("/v1/tasks", headers=bearer(ALICE))

        # Then it is refused, as long as neither of the others has ended
        assert (first.status_code, second.status_code, third.status_code) == (200, 200, 429)
        assert third.get_json()["type"] == "/problems/too-many-concurrent"
        assert third.headers["Retry-After"] == "1"
        assert guarded.get("/v1/tasks", headers=bearer(CAROL)).status_code == 200
        first.close()
        assert guarded.get("/v1/tasks", headers=bearer(ALICE)).status_code == 200

    @pytest.mark.parametrize(
        "path", ["/nothing", "/v1/tasks/nothing", "/readyz?x=1", "/concurrent_cpu_tasks/?n=x"]
    )
    def test_a_request_that_fails_gives_its_place_back(self, guarded: FlaskClient, path: str) -> None:
        for _ in range(5):
            answer = guarded.get(path, headers=bearer(ALICE))
            assert answer.status_code != 429
            answer.close()

    def test_what_the_rate_refuses_takes_no_place(
        self, make_client: Callable[..., FlaskClient], tmp_path: Path
    ) -> None:
        text, key = keys.new("dora", concurrency=1, per_minute=1)
        client = make_client(FakeEngine(), api_keys=key.line(), runtime_dir=tmp_path)

        types = []
        for _ in range(4):
            answer = client.get("/v1/tasks", headers=bearer(text))
            types.append(answer.get_json().get("type"))
            answer.close()

        assert types == [None, *["/problems/rate-limited"] * 3]
        client.application.extensions["everycore.guard"].close()

    def test_a_streamed_answer_counts_to_its_end(self, guarded: FlaskClient) -> None:
        @guarded.application.get("/stream")
        def stream() -> Response:
            return Response(iter(["a", "b"]))

        answers: list[Any] = [guarded.get("/stream", headers=bearer(ALICE)) for _ in range(2)]
        parts = [next(answer.response) for answer in answers]

        assert parts == [b"a", b"a"]
        assert guarded.get("/stream", headers=bearer(ALICE)).status_code == 429
        answers[0].close()
        assert guarded.get("/stream", headers=bearer(ALICE)).status_code == 200
