"""What Prometheus and Grafana read, and the pages about it, as tests look at them."""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from service.telemetry import metrics
from service.telemetry.metrics.registry import REGISTRY

ROOT = Path(__file__).resolve().parents[1]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
RUN_BOOK = ROOT / "docs" / "run-book"
OPERATE = ROOT / "docs" / "how-to" / "operate.md"

#: What Grafana writes in the place of its variables.
VARIABLES = {
    "$__rate_interval": "1m",
    "$instance": ".*",
    "$task": ".*",
    "$pipeline": ".*",
}

_WORD = r"[A-Za-z_:][A-Za-z0-9_:]*"
#: What lists labels, with their parentheses or without.
_GROUPING = r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"
_KEYWORDS = {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "inf", "nan"}


@dataclass(frozen=True)
class Expression:
    """An expression, and where it stands."""

    where: str
    text: str

    @property
    def metrics(self) -> set[str]:
        """The names of metrics."""
        return {name for name, _ in self._selectors()}

    @property
    def selected(self) -> set[tuple[str, str]]:
        """Metrics and the labels that their values are chosen by."""
        return {(name, label) for name, labels in self._selectors() for label in labels}

    @property
    def grouping(self) -> set[str]:
        """Labels by which values are put together or matched."""
        bare = re.sub(r'"[^"]*"', '""', self.text)
        lists = (found[2] for found in re.finditer(_GROUPING, bare))
        return {label for each in lists for label in re.findall(_WORD, each)}

    def _selectors(self) -> Iterator[tuple[str, list[str]]]:
        text = re.sub(r'"[^"]*"', '""', self.text)
        text = re.sub(_GROUPING, " ", text)
        text = re.sub(r"\[[^\]]*\]", " ", text)
        for found in re.finditer(rf"(?<![\w.])({_WORD})\s*(\(|{{([^}}]*)}})?", text):
            name, follows, matchers = found[1], found[2] or "", found[3] or ""
            if not follows.startswith("(") and name not in _KEYWORDS:
                yield name, re.findall(rf"({_WORD})\s*(?:=|!)", matchers)


#: Metrics by the names that people know them by: type and labels of each.
Families = dict[str, tuple[str, frozenset[str]]]


def families_of(collectors: Iterable[Collector]) -> Families:
    """Return all metrics that the code has: those that are counted, and those that are looked up."""
    for module in pkgutil.iter_modules(metrics.__path__, f"{metrics.__name__}."):
        importlib.import_module(module.name)
    found: Families = {}
    for metric in set(REGISTRY._collector_to_names):
        assert isinstance(metric, MetricWrapperBase)
        name = metric._name + "_total" * (metric._type == "counter")
        # Other tests make metrics of their own.
        if name.startswith("everycore_") and not name.startswith("everycore_test_"):
            found[name] = str(metric._type), frozenset(metric._labelnames)
    for collector in collectors:
        for family in collector.collect():
            labels = frozenset(label for sample in family.samples for label in sample.labels)
            found[family.name] = family.type, labels
    return found


def load(path: Path) -> Any:
    """Read a file of YAML."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@functools.cache
def rules(name: str) -> list[dict[str, Any]]:
    """Return all rules of ``rules.yml`` or ``alerts.yml``."""
    return [rule for group in load(PROMETHEUS / name)["groups"] for rule in group["rules"]]


def recorded() -> dict[str, Expression]:
    """Return the expressions of the recording rules by name."""
    return {rule["record"]: Expression(rule["record"], rule["expr"]) for rule in rules("rules.yml")}


def alerts() -> list[Expression]:
    """Return the expressions of the alerts."""
    return [Expression(rule["alert"], rule["expr"]) for rule in rules("alerts.yml")]


@functools.cache
def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    found: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "everycore.json").read_text("utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    """Return what has queries on the dashboard."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def plotted() -> list[Expression]:
    """Return the expressions of the panels, with values in the place of variables."""
    found = []
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"]
            for variable, value in VARIABLES.items():
                text = text.replace(variable, value)
            found.append(Expression(panel["title"], text))
    return found


def documented() -> list[Expression]:
    """Return the queries on the pages of the run-book and on the page for operators."""
    return [
        Expression(page.name, text.strip())
        for page in (*sorted(RUN_BOOK.glob("*.md")), OPERATE)
        for text in re.findall(r"^```promql\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    ]


def kebab(name: str) -> str:
    """Write ``EverycoreDown`` as ``everycore-down``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
