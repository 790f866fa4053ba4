"""Tasks that do nothing but count."""

import math
import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from service.tasks.registry import task


@dataclass(frozen=True, slots=True)
class Primes:
    """The primes below a limit, in short."""

    count: int
    #: ``None`` when there is none.
    largest: int | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number found by chance, and how far off it may be."""

    value: float
    #: The value is within twice this distance of the true one in 95 of 100 runs.
    standard_error: float


@task(timeout=30)
def sum_of_squares(n: Annotated[int, Field(ge=0, le=100_000_000)]) -> int:
    """Sum of i*i for 0 <= i < n."""
    return sum(i * i for i in range(n))


@task(timeout=30)
def primes(limit: Annotated[int, Field(ge=0, le=100_000_000)]) -> Primes:
    """Count the primes below limit, and find the largest of them.

    By the sieve of Eratosthenes over odd numbers, which takes limit / 2 bytes of memory.
    """
    if limit <= 2:  # noqa: PLR2004 - the one even prime
        return Primes(0, None)
    # Position i stands for 2i + 1, and position 0 not for 1, which is no prime, but for 2.
    sieve = bytearray(b"\1") * (limit // 2)
    for i in range(1, (math.isqrt(limit - 1) + 1) // 2):
        if sieve[i]:
            multiples = slice(2 * i * (i + 1), None, 2 * i + 1)
            sieve[multiples] = bytes(len(range(*multiples.indices(len(sieve)))))
    last = sieve.rfind(1)
    return Primes(sieve.count(1), 2 * last + 1 if last else 2)


@task(timeout=60)
def monte_carlo_pi(
    samples: Annotated[int, Field(ge=1, le=50_000_000)],
    seed: Annotated[int, Field(ge=0, lt=2**64)] | None = None,
) -> Estimate:
    """Estimate pi: the share of random points of a square that lie within its quarter circle, times 4.

    The same seed gives the same estimate. Without one each call draws numbers of its own.
    """
    draw = random.Random(seed).random  # noqa: S311 - nothing is kept secret by it
    inside = sum(draw() ** 2 + draw() ** 2 < 1 for _ in range(samples))
    share = inside / samples
    return Estimate(4 * share, 4 * math.sqrt(share * (1 - share) / samples))
