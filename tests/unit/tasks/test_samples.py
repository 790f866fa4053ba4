"""The work of the samples."""

from __future__ import annotations

import time

import pytest

from service.tasks import contract, registry, samples, strict_json


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
