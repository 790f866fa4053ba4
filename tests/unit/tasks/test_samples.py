"""The work of the samples."""

from __future__ import annotations

import inspect
import time

import pytest

from service.tasks import contract, registry, samples, strict_json
from service.tasks.testing import run_pipeline


def test_processing_an_item_waits_half_a_second_and_doubles_it() -> None:
    begun = time.monotonic()

    assert samples.process_data(21) == "Processed: 42"
    assert time.monotonic() - begun >= samples.ITEM_SECONDS == 0.5


def test_processing_an_item_takes_no_cpu_slot() -> None:
    assert registry.get("process_data").cpu == 0


def test_the_background_task_says_when_it_starts_and_when_it_has_finished(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begun = time.monotonic()

    samples.background_task("hello", 0.1)

    assert time.monotonic() - begun >= 0.1
    assert capsys.readouterr().out == "Background task started: hello\nBackground task finished: hello\n"


def test_the_background_task_takes_no_cpu_slot() -> None:
    assert registry.get("background_task").cpu == 0


@pytest.mark.parametrize(
    ("message", "duration"), [("x" * 10_001, 1), ("x", -0.1), ("x", 86_401), (5, 1), ("x", "1")]
)
def test_the_background_task_refuses_what_it_was_not_made_for(message: object, duration: object) -> None:
    terms = contract.build(registry.get("background_task"))

    with pytest.raises(contract.InvalidArguments):
        terms.validate_json(strict_json.dumps({"message": message, "duration": duration}))


def test_the_producer_puts_an_item_and_then_waits() -> None:
    begun = time.monotonic()
    items = samples.produce_items(2)

    assert next(items) == "Item 0"
    first = time.monotonic() - begun
    assert list(items) == ["Item 1"]
    assert time.monotonic() - begun >= 2 * samples.PRODUCER_SECONDS == 0.4
    assert first < samples.PRODUCER_SECONDS


def test_the_producer_puts_five_items_unless_told_otherwise() -> None:
    assert inspect.signature(samples.produce_items).parameters["items"].default == 5


def test_the_consumer_says_what_it_took() -> None:
    assert samples.consume_item("Item 0") == "Consumed: Item 0"


def test_the_queue_leads_from_one_to_the_other() -> None:
    assert run_pipeline(samples.process_queue_communication, items=2) == [
        "Consumed: Item 0",
        "Consumed: Item 1",
    ]


def test_neither_side_of_the_queue_takes_a_cpu_slot() -> None:
    pipeline = registry.get("process_queue_communication").pipeline

    assert pipeline is not None
    assert [(step.name, step.processes, step.cpu) for step in pipeline.steps] == [
        ("produce_items", 1, 0),
        ("consume_item", 1, 0),
    ]


@pytest.mark.parametrize("items", [-1, 1001, "5", 1.5, None])
def test_the_producer_refuses_what_it_was_not_made_for(items: object) -> None:
    terms = contract.build(registry.get("process_queue_communication"))

    with pytest.raises(contract.InvalidArguments):
        terms.validate_json(strict_json.dumps({"items": items}))
