"""Write the dashboard: ``python deploy/grafana/dashboard.py`` makes ``dashboards/everycore.json``.

Needs nothing but Python. The panels stand in ``dashboard.toml``; here is what all of them have in common.
"""  # noqa: INP001 - a script beside what it writes, not a package

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PANELS = Path(__file__).with_suffix(".toml")
FILE = Path(__file__).with_name("dashboards") / "everycore.json"

#: How wide a row of panels is, as Grafana counts.
COLUMNS = 24
#: What a line of the file may have.
WIDTH = 110

SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


def panel(given: Json) -> Json:
    """Build a panel of what ``dashboard.toml`` says about it."""
    kind = given.get("type", "timeseries")
    made: Json = {"type": kind, "title": given["title"]}
    if "about" in given:
        made["description"] = given["about"]
    if "alert" in given:
        page = f"${{run_book}}/{given['alert']}.md"
        made["links"] = [{"title": "What to do", "url": page, "targetBlank": True}]
    fields: Json = {"unit": given.get("unit", "short"), "min": 0, "thresholds": thresholds(given)}
    if "texts" in given:
        options = {value: {"text": words} for value, words in given["texts"].items()}
        fields["mappings"] = [{"type": "value", "options": options}]
    made |= {"datasource": SOURCE, "fieldConfig": {"defaults": fields, "overrides": colours(given)}}
    made["targets"] = [
        {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend}
        for number, (expression, legend) in enumerate(given["queries"])
    ]
    LOOKS[kind](made, given)
    return made


def colours(given: Json) -> list[Json]:
    """Give lines a colour whose legend fits a pattern."""
    return [
        {
            "matcher": {"id": "byRegexp", "options": pattern},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for pattern, colour in given.get("colours", {}).items()
    ]


def thresholds(given: Json) -> Json:
    """Say which colour values have."""
    steps = [{"color": colour, "value": value} for value, colour in given.get("limits", [])]
    return {"mode": "absolute", "steps": [{"color": "green", "value": None}, *steps]}


def lines(made: Json, given: Json) -> None:
    """Have values over time."""
    stacked = given.get("stacked", False)
    custom: Json = {"fillOpacity": 25 if stacked else 5, "showPoints": "never"}
    if stacked:
        custom["stacking"] = {"mode": "normal"}
    if "limits" in given:
        custom["thresholdsStyle"] = {"mode": "line"}
    made["fieldConfig"]["defaults"]["custom"] = custom
    made["options"] = {
        "tooltip": {"mode": "multi", "sort": "desc"},
        "legend": {"calcs": ["max", "lastNotNull"]},
    }


def number(made: Json, _: Json) -> None:
    """Have the last value, large, above a line of how it came about."""
    made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}


def bars(made: Json, _: Json) -> None:
    """Have the last value of each, as a bar of up to 100 %."""
    made["fieldConfig"]["defaults"]["max"] = 1
    made["options"] = {"orientation": "horizontal", "reduceOptions": {"calcs": ["lastNotNull"]}}


def table(made: Json, given: Json) -> None:
    """Have the labels of what there is now."""
    made["targets"][0] |= {"format": "table", "instant": True}
    hidden = dict.fromkeys(("Time", "Value", "__name__", *given.get("hidden", ())), True)
    made["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]


LOOKS = {"timeseries": lines, "stat": number, "bargauge": bars, "table": table}


def placed(rows: list[Json]) -> Iterator[Json]:
    """Yield all panels, each in its place, below the titles of their rows."""
    top, count = 0, 0
    for row in rows:
        count += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {"id": count, "type": "row", "title": row["title"], "gridPos": place}
        top, left, height = top + 1, 0, 0
        for given in row["panel"]:
            count += 1
            width, high = given.get("size", (8, 8))
            if left + width > COLUMNS:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": width, "h": high}
            yield {"id": count, "gridPos": place} | panel(given)
            left, height = left + width, max(height, high)
        top += height


def choice(name: str, label: str, values: str) -> Json:
    """Build a variable by which one chooses values of a label."""
    made: Json = {"type": "query", "name": name, "label": label, "datasource": SOURCE}
    made |= {"query": {"query": values, "refId": name}, "refresh": 2, "sort": 1}
    made |= {"multi": True, "includeAll": True, "allValue": ".*"}
    return made | {"current": {"text": ["All"], "value": ["$__all"]}}


def dashboard() -> Json:
    """Build all of it."""
    index = {"type": "link", "title": "Run-book", "url": "${run_book}/README.md", "targetBlank": True}
    variables = [
        {"type": "datasource", "name": "datasource", "label": "Source", "query": "prometheus"},
        choice("instance", "Instance", 'label_values(up{job=~"everycore-.+"}, instance)'),
        choice("task", "Task", "label_values(everycore_calls_total, task)"),
        choice("pipeline", "Pipeline", "label_values(everycore_pipeline_runs_total, pipeline)"),
        # Write the address here at which you publish the pages of docs/run-book.
        {
            "type": "constant",
            "name": "run_book",
            "hide": 2,
            "query": "https://example.com/everycore/docs/run-book",
        },
    ]
    return {
        "uid": "everycore",
        "title": "Everycore",
        "tags": ["everycore"],
        "schemaVersion": 41,
        "editable": False,
        "graphTooltip": 1,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "links": [index],
        "templating": {"list": variables},
        "panels": list(placed(tomllib.loads(PANELS.read_text(encoding="utf-8"))["row"])),
    }


def written(value: Any, indent: int = 0) -> str:
    """Write JSON with everything on one line that fits there."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= WIDTH or not isinstance(value, dict | list):
        return line
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {written(part, indent + 2)}" for key, part in value.items()]
    else:
        parts = [written(part, indent + 2) for part in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    space = "\n" + " " * indent
    return opening + ",".join(f"{space}  {part}" for part in parts) + space + closing


def text() -> str:
    """Return the whole file."""
    return f"{written(dashboard())}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
