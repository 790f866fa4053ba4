"""A histogram that takes many observations at once, and the buckets that ours have."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import prometheus_client

#: Upper bounds in seconds, for what takes from a millisecond to some minutes.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: The same for what may take hours.
LONG_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)


class Histogram(prometheus_client.Histogram):
    """A histogram that can be told of many values at once."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        *,
        buckets: Sequence[float] = SECONDS,
        **kwargs: Any,
    ) -> None:
        """Make one as the library does, with other buckets by default."""
        super().__init__(name, documentation, labelnames, buckets=buckets, **kwargs)

    def observe_all(self, values: Sequence[float]) -> None:
        """Do what ``observe`` does for each of some values; what costs is the writing, once a bucket."""
        self._raise_if_not_observable()  # type: ignore[no-untyped-call] # the library is half typed
        bounds, buckets = self._upper_bounds, self._buckets
        self._sum.inc(sum(values))
        if len(values) == 1:
            buckets[bisect_left(bounds, values[0])].inc(1)
            return
        for index, count in Counter([bisect_left(bounds, value) for value in values]).items():
            buckets[index].inc(count)
