"""The work of the samples that is nobody else's."""

import time
from typing import Annotated

from pydantic import Field

from service.tasks.registry import task

#: Seconds that one item takes.
ITEM_SECONDS = 0.5


@task(cpu=0)
def process_data(item: Annotated[int, Field(ge=-(2**63), lt=2**63)]) -> str:
    """Wait half a second, then return twice the item in a sentence."""
    time.sleep(ITEM_SECONDS)
    return f"Processed: {item * 2}"
