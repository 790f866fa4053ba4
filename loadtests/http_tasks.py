"""The tasks that the service is measured with over HTTP; it is told of them by SERVICE_TASK_MODULES."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from loadtests import http_work
from service.tasks import task


@task
def noop() -> None:
    """Do nothing."""


@task
def burn(rounds: Annotated[int, Field(ge=0, le=10**9)]) -> int:
    """Compute for a time that is proportional to the rounds."""
    return http_work.burn(rounds)


@task
def stream_numbers(count: Annotated[int, Field(ge=0, le=1_000_000)]) -> Iterator[int]:
    """Yield the first square numbers."""
    for number in range(count):
        yield number * number
