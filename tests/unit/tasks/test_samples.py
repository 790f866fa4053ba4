"""The work of the samples."""

from __future__ import annotations

import time

from service.tasks import registry, samples


def test_processing_an_item_waits_half_a_second_and_doubles_it() -> None:
    begun = time.monotonic()

    assert samples.process_data(21) == "Processed: 42"
    assert time.monotonic() - begun >= samples.ITEM_SECONDS == 0.5


def test_processing_an_item_takes_no_cpu_slot() -> None:
    assert registry.get("process_data").cpu == 0
