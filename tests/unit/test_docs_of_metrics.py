"""``metrics.md`` has every metric that the code has, with its type and its labels, and no other."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service.engine.fake import FakeEngine
from service.telemetry.metrics.histogram import SECONDS
from service.telemetry.metrics.registry import REGISTRY
from tests.observability import Families, families_of
from tests.unit.api.conftest import database, make_client, store  # noqa: F401 - fixtures
from tests.unit.pages import REFERENCE, rows, words_of

PAGE = REFERENCE / "metrics.md"


@pytest.fixture
def client(make_client: Callable[..., FlaskClient], tmp_path: Path) -> FlaskClient:  # noqa: F811 - a fixture
    return make_client(FakeEngine(), runtime_dir=tmp_path)


def documented() -> Families:
    return {
        row[0]: (row[1], frozenset(re.findall(r"\w+", row[2])))
        for row in rows(PAGE)
        if len(row) == 4 and row[0].startswith("everycore_")
    }


def test_each_metric_is_there_with_its_type_and_labels_and_no_other(client: FlaskClient) -> None:
    assert documented() == families_of(client.application.extensions["everycore.collectors"])


def test_each_is_there_once() -> None:
    names = [row[0] for row in rows(PAGE) if len(row) == 4 and row[0].startswith("everycore_")]

    assert len(names) == len(set(names))


def test_the_buckets_are_those_of_the_code() -> None:
    bounds = [f"{bound:g}" for bound in SECONDS]

    assert f"{', '.join(bounds[:-1])} and {bounds[-1]} seconds" in words_of(PAGE)


def test_each_metric_has_a_word_of_help(client: FlaskClient) -> None:
    collectors = client.application.extensions["everycore.collectors"]
    every = [*REGISTRY.collect(), *(metric for collector in collectors for metric in collector.collect())]

    assert [metric.name for metric in every if not metric.documentation.endswith(".")] == []
