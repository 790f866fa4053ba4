"""Tasks that do nothing but count."""

from typing import Annotated

from pydantic import Field

from service.tasks.registry import task


@task(timeout=30)
def sum_of_squares(n: Annotated[int, Field(ge=0, le=100_000_000)]) -> int:
    """Sum of i*i for 0 <= i < n."""
    return sum(i * i for i in range(n))
