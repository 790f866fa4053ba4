"""Many observations at once do what as many single ones do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from service.telemetry.metrics.histogram import LONG_SECONDS, SECONDS, Histogram

seconds = st.one_of(
    st.floats(min_value=0, max_value=1e6, allow_nan=False),
    st.sampled_from(SECONDS),  # on a bound, which belongs to its bucket
)


def samples(histogram: Histogram) -> list[tuple[str, dict[str, str], float]]:
    (metric,) = histogram.collect()
    return [
        (sample.name, sample.labels, sample.value)
        for sample in metric.samples
        if not sample.name.endswith("_created")
    ]


@given(st.lists(st.lists(seconds, min_size=1, max_size=20), max_size=5))
def test_it_is_as_if_each_had_been_observed_alone(batches: list[list[float]]) -> None:
    together = Histogram("x", "", registry=CollectorRegistry())
    alone = Histogram("x", "", registry=CollectorRegistry())

    for batch in batches:
        together.observe_all(batch)
        for value in batch:
            alone.observe(value)

    # A sum depends a little on the order in which it is added up; numbers of observations don't.
    assert samples(together) == [
        (name, labels, pytest.approx(value, rel=1e-9) if name.endswith("_sum") else value)
        for name, labels, value in samples(alone)
    ]


def test_one_with_labels_has_children_of_the_same_kind_and_buckets() -> None:
    histogram = Histogram("x", "", ["task"], buckets=LONG_SECONDS, registry=CollectorRegistry())

    histogram.labels("a").observe_all([20.0, 20_000.0])

    bounds = {labels["le"]: value for _, labels, value in samples(histogram) if "le" in labels}
    assert len(bounds) == len(LONG_SECONDS) + 1
    assert (bounds["10.0"], bounds["30.0"], bounds["+Inf"]) == (0, 1, 2)
