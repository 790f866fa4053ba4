"""What a process tells Prometheus, as tests look at it."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

PREFIX = "everycore_"


def metrics(url: str) -> dict[str, float]:
    """Return all values of the project's own metrics that an address tells, by ``named``."""
    answer = httpx.get(f"{url}/metrics", timeout=20)
    assert answer.status_code == 200, answer.text
    return {
        named(sample.name.removeprefix(PREFIX), **sample.labels): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


def named(metric: str, /, **labels: str) -> str:
    """Write a metric and its labels as in ``calls_total{role="web",task="f"}``."""
    told = ",".join(f'{name}="{labels[name]}"' for name in sorted(labels))
    return f"{metric}{{{told}}}" if told else metric
