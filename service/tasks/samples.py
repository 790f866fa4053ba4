"""The work of the samples that is nobody else's."""

import time
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from service.tasks.pipelines import Pipeline, Stage
from service.tasks.registry import task

#: Seconds that one item takes, and seconds between two items of the producer.
ITEM_SECONDS, PRODUCER_SECONDS = 0.5, 0.2


@task(cpu=0)
def process_data(item: Annotated[int, Field(ge=-(2**63), lt=2**63)]) -> str:
    """Wait half a second, then return twice the item in a sentence."""
    time.sleep(ITEM_SECONDS)
    return f"Processed: {item * 2}"


@task(cpu=0)
def background_task(
    message: Annotated[str, Field(max_length=10_000)], duration: Annotated[float, Field(ge=0, le=86_400)]
) -> None:
    """Wait for ``duration`` seconds, and print a line with the message before and after it."""
    print(f"Background task started: {message}")  # noqa: T201 - the lines are what there is to see
    time.sleep(duration)
    print(f"Background task finished: {message}")  # noqa: T201 - as above


def produce_items(items: Annotated[int, Field(ge=0, le=1000)] = 5) -> Iterator[str]:
    """Put an item on a queue every 0.2 seconds, in one process, and take them off it in another."""
    for number in range(items):
        yield f"Item {number}"
        time.sleep(PRODUCER_SECONDS)


def consume_item(item: str) -> str:
    """Say that an item was taken."""
    return f"Consumed: {item}"


process_queue_communication = Pipeline(
    "process_queue_communication", Stage(produce_items, cpu=0), Stage(consume_item, cpu=0)
)
