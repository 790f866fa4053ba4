"""Charts of load tests, as PNG and SVG. Matplotlib is only installed for the load tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from loadtests.load_history import Moment, Step, good_by_second

BLUE, GREEN, RED, GREY = "#1d6fb8", "#2b8a3e", "#d6336c", "#7b8794"
COLOURS = (GREEN, BLUE, RED, GREY)
SIZE = (10.0, 4.2)

# Text stays text, and the same figures make the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "everycore", "font.size": 9, "axes.grid": True})
mpl.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})


def against_offered(steps: Sequence[Step], pace: float, path: Path, title: str) -> list[Path]:
    """Draw throughput and latency against what was offered, users times ``pace``; return the files."""
    offered = [step.users * pace for step in steps]
    figure, (left, right) = _panels(title, 2)
    left.plot(offered, offered, color=GREY, linestyle="--", label="offered")
    left.plot(offered, [step.rate.answered for step in steps], "o-", color=BLUE, label="answered")
    left.plot(offered, [step.rate.good for step in steps], "o-", color=GREEN, label="answered rightly")
    left.set(xlabel="offered, tasks/s", ylabel="tasks/s", xlim=(0, None), ylim=(0, None))
    for name, colour in (("p50", GREEN), ("p95", BLUE), ("p99", RED)):
        right.plot(offered, [getattr(step, name) for step in steps], "o-", color=colour, label=name)
    right.set(xlabel="offered, tasks/s", ylabel="time to the whole answer, ms", yscale="log", xlim=(0, None))
    return _saved(figure, (left, right), path)


def over_time(moments: Sequence[Moment], path: Path, title: str) -> list[Path]:
    """Draw users, right answers and latency over the time of a run; return the files."""
    begun = moments[0].at
    seconds = [moment.at - begun for moment in moments]
    figure, (left, right) = _panels(title, 2)
    left.step(seconds, [moment.users for moment in moments], where="post", color=GREY, label="users")
    left.plot(*zip(*good_by_second(moments), strict=True), color=GREEN, label="right answers/s")
    left.set(xlabel="seconds", ylim=(0, None))
    for name, colour in (("p50", GREEN), ("p95", BLUE), ("p99", RED)):
        right.plot(seconds, [getattr(moment, name) for moment in moments], color=colour, label=name)
    right.set(xlabel="seconds", ylabel="ms, of the last ten seconds", yscale="log")
    return _saved(figure, (left, right), path)


def side_by_side(
    groups: Sequence[str], panels: Mapping[str, Mapping[str, Sequence[float]]], path: Path, title: str
) -> list[Path]:
    """Draw groups of bars, on a logarithmic scale: by panel and contender, a value for each group."""
    figure, axes = _panels(title, len(panels))
    for axis, (label, contenders) in zip(axes, panels.items(), strict=True):
        width = 0.8 / len(contenders)
        for number, (contender, values) in enumerate(contenders.items()):
            places = [group + (number - (len(contenders) - 1) / 2) * width for group in range(len(values))]
            bars = axis.bar(places, values, width, color=COLOURS[number % len(COLOURS)], label=contender)
            axis.bar_label(bars, fmt="{:.3g}", fontsize=7)
        axis.set(xticks=range(len(groups)), xticklabels=groups, yscale="log")
        axis.set_title(label, fontsize=9)
        axis.margins(y=0.15)
    axes[0].legend(fontsize=7, frameon=False)
    return _saved(figure, (), path)


def in_rows(
    seconds: Sequence[float], series: Mapping[str, Sequence[float]], path: Path, title: str
) -> list[Path]:
    """Draw each series over time in a panel of its own, from zero; return the files."""
    figure, axes = _panels(title, len(series))
    for axis, (name, values), colour in zip(axes, series.items(), COLOURS * len(series), strict=False):
        axis.plot(seconds, values, color=colour)
        axis.set(xlabel="seconds", ylim=(0, 1.15 * max(values, default=1.0)))
        axis.set_title(name, fontsize=9)
    return _saved(figure, (), path)


def _panels(title: str, number: int) -> tuple[Figure, Sequence[Any]]:
    figure = Figure(figsize=SIZE, layout="constrained")
    figure.suptitle(title, fontsize=11)
    return figure, figure.subplots(1, number, squeeze=False)[0]


def _saved(figure: Figure, with_legend: Sequence[Any], path: Path) -> list[Path]:
    for axis in with_legend:
        axis.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    png, svg = path.with_suffix(".png"), path.with_suffix(".svg")
    figure.savefig(png, dpi=130)
    figure.savefig(svg, metadata={"Date": None})
    # Its lines end with blanks, which nobody wants in a repository.
    svg.write_text("\n".join(line.rstrip() for line in svg.read_text().splitlines()) + "\n")
    return [png, svg]
