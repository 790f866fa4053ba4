"""Counts and numbers by key, which can be added up from parts and never take more than so much memory.

Percentiles come from counts of numbers in buckets, each 2 % wider than the one before it: they are at most
1 % off. Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees", Proceedings of the VLDB Endowment 12 (2019).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Keys that have a tally of their own; what comes later is added up in one.
MAX_KEYS = 10_000

#: Buckets of all tallies together, of about 100 bytes. When there are more, there are no percentiles.
MAX_BUCKETS = 500_000

#: Largest number that is taken, so that no sum is infinite; from its reciprocal down a number counts as 0.
MAX_NUMBER = 1e100

_ACCURACY = 0.01
_GROWTH = (1 + _ACCURACY) / (1 - _ACCURACY)
_LOG_GROWTH = math.log(_GROWTH)

#: Added to a bucket's power, so that all are positive and the sign is free for the number's own.
_OFFSET = math.ceil(math.log(MAX_NUMBER) / _LOG_GROWTH) + 1


@dataclass(slots=True)
class Tally:
    """What is kept of all lines with one key."""

    count: int = 0
    errors: int = 0
    numbers: int = 0
    total: float = 0.0
    least: float = MAX_NUMBER
    most: float = -MAX_NUMBER
    #: How many numbers are in each bucket.
    buckets: dict[int, int] = field(default_factory=dict)

    def take(self, number: float) -> None:
        """Add a number of up to ``MAX_NUMBER``, below zero or above."""
        self.numbers += 1
        self.total += number
        self.least = min(self.least, number)
        self.most = max(self.most, number)
        bucket = bucket_of(number)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def add(self, other: "Tally") -> None:
        """Add what another one has."""
        self.count += other.count
        self.errors += other.errors
        self.numbers += other.numbers
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def percentiles(self, *shares: float) -> list[float]:
        """Return the number that as large a share of all numbers does not exceed, for each share."""
        ranks = [max(1, math.ceil(share * self.numbers)) for share in shares]
        found: list[float] = []
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            while len(found) < len(ranks) and ranks[len(found)] <= seen:
                found.append(min(max(middle_of(bucket), self.least), self.most))
        return found


def bucket_of(number: float) -> int:
    """Return the bucket of a number; of larger numbers it is larger."""
    size = abs(number)
    if size <= 1 / MAX_NUMBER:
        return 0
    bucket = math.ceil(math.log(size) / _LOG_GROWTH) + _OFFSET
    return bucket if number > 0 else -bucket


def middle_of(bucket: int) -> float:
    """Return the number that is at most 1 % off every number of the bucket."""
    if bucket == 0:
        return 0.0
    size = 2 * _GROWTH ** (abs(bucket) - _OFFSET) / (_GROWTH + 1)
    return math.copysign(size, bucket)


class Tallies:
    """Tallies of several parts, added up by key."""

    def __init__(self) -> None:
        self.by_key: dict[str | None, Tally] = {}
        #: Of the keys that came when there were ``MAX_KEYS`` already.
        self.others = Tally()
        #: Whether the buckets are there.
        self.has_buckets = True
        self._buckets = 0

    def add(self, part: Mapping[str | None, Tally]) -> None:
        """Add those of one part."""
        for key, fresh in part.items():
            tally = self.by_key.get(key)
            if tally is None:
                tally = self.others
                if len(self.by_key) < MAX_KEYS:
                    tally = self.by_key[key] = Tally()
            if not self.has_buckets:
                fresh.buckets = {}
            before = len(tally.buckets)
            tally.add(fresh)
            self._buckets += len(tally.buckets) - before
            if self._buckets > MAX_BUCKETS:
                self._forget_buckets()

    def _forget_buckets(self) -> None:
        self.has_buckets, self._buckets = False, 0
        for tally in (*self.by_key.values(), self.others):
            tally.buckets = {}
