"""The work itself, which imports nothing: a lean process forks faster, and the peers shall be lean."""

from __future__ import annotations


def burn(rounds: int) -> int:
    """Draw ``rounds`` numbers from a small random generator, and return the last one.

    Each round takes as long as any other, so the time is proportional to the rounds.
    """
    number = 1
    for _ in range(rounds):
        number = (number * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
    return number


def sum_of_squares(n: int) -> int:
    """Sum of i*i for 0 <= i < n, as in the samples and in the service's task of that name."""
    return sum(i * i for i in range(n))
