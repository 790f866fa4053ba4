"""What is told of a stage is what its processes have counted together."""

from __future__ import annotations

from typing import Any

from service.engine.board import Tally
from service.pipelines.report import StageReport
from service.tasks.stages import Kind, Step


def step(processes: int) -> Step:
    return Step("parse", print, Kind.EACH, processes, True, 1, None, Any, Any, sink=False, keeps_turns=True)  # noqa: FBT003


def test_the_figures_of_all_processes_are_added():
    tallies = [Tally(1, 2, 3, 0.5, 0.25, 1.0, 2.0, 3.0, 4.0), Tally(10, 20, 30, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)]
    assert StageReport.of(step(2), tallies) == StageReport(
        name="parse",
        processes=2,
        items_in=11,
        items_out=22,
        skipped=33,
        busy=1.0,
        cpu=0.75,
        waiting_input=1.5,
        waiting_output=2.5,
        waiting_slot=3.5,
        waiting_turn=4.5,
    )


def test_one_process_speaks_for_itself():
    report = StageReport.of(step(1), [Tally(1, 2, 3, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)])
    assert (report.items_in, report.items_out, report.skipped) == (1, 2, 3)
    assert (report.busy, report.cpu) == (4.0, 5.0)
