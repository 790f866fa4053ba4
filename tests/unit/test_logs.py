"""Log lines: one form, one write a line, no failure that reaches the request."""

import io
import json
import logging
import logging.config
import re

import pytest
import structlog

from service.telemetry import logs


@pytest.fixture(autouse=True)
def _default_logging():
    yield
    structlog.reset_defaults()
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "root": {"handlers": []}})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_has_one_object_a_line(capsys):
    logs.configure("json", "info")

    logs.get_logger(part="engine").info("call", task="sum", seconds=0.5)

    line = json.loads(capsys.readouterr().out)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "call", "level": "info", "part": "engine", "task": "sum", "seconds": 0.5}


def test_console_reads_as_text(capsys):
    logs.configure("console", "info")

    logs.get_logger().info("call", task="sum")

    assert re.search(r"call +task=sum\n$", capsys.readouterr().out)


def test_auto_is_json_away_from_a_terminal(capsys):
    logs.configure("auto", "info")

    logs.get_logger().info("call")

    assert capsys.readouterr().out.startswith("{")


def test_auto_is_text_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    logs.configure("auto", "info")

    logs.get_logger().info("call")

    assert not terminal.getvalue().startswith("{")


def test_what_is_bound_to_a_request_stands_on_its_lines(capsys):
    logs.configure("json", "info")

    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logs.get_logger().info("call")

    assert json.loads(capsys.readouterr().out)["request_id"] == "r1"


def test_lines_below_the_level_are_not_written(capsys):
    logs.configure("json", "warning")

    logs.get_logger().info("call")
    logs.get_logger().warning("late")

    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["late"]


def test_an_exception_comes_with_its_traceback_on_the_same_line(capsys):
    logs.configure("json", "info")
    try:
        raise ValueError("no")
    except ValueError:
        logs.get_logger().exception("failed")

    (line,) = capsys.readouterr().out.splitlines()
    assert "ValueError: no" in json.loads(line)["exception"]


def test_a_reader_that_went_away_fails_nobody(monkeypatch):
    logs.configure("json", "info")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stdout", closed)

    logs.get_logger().info("call")


def test_gunicorns_own_lines_have_the_same_form(capsys):
    logging.config.dictConfig(logs.stdlib_config("json", "info"))

    logging.getLogger("gunicorn.error").info("Booting worker with pid: %s", 7)

    line = json.loads(capsys.readouterr().out)
    assert line["event"] == "Booting worker with pid: 7"
    assert (line["level"], line["logger"]) == ("info", "gunicorn.error")
    assert line["timestamp"].endswith("Z")


def test_one_event_many_times_has_the_form_of_each(capsys):
    logs.configure("json", "info")
    rows = [{"job": number, "note": "x" * 100} for number in range(200)]

    with structlog.contextvars.bound_contextvars(part="runner"):
        logs.info_each("attempt ended", rows)
        logs.get_logger().info("attempt ended", **rows[0])

    *many, alone = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["job"] for line in many] == list(range(200))
    assert many[0].keys() == alone.keys()
    assert many[0] | {"timestamp": ""} == alone | {"timestamp": ""}


def test_it_is_written_in_pieces_that_a_pipe_takes_as_a_whole(monkeypatch):
    written: list[str] = []
    logs.configure("json", "info")
    monkeypatch.setattr(logs, "_write", written.append)

    logs.info_each("attempt ended", [{"note": "x" * size} for size in (100, 3000, 2000, 9000, 50)])

    assert all(piece.endswith("\n") for piece in written)
    assert [len(piece) > logs.PIECE for piece in written] == [False, False, True, False]
    assert sum(piece.count("\n") for piece in written) == 5


def test_below_the_level_nothing_of_it_is_made(capsys):
    logs.configure("json", "warning")

    logs.info_each("attempt ended", iter([{"job": 1}]))
    logs.info_each("attempt ended", [])

    assert capsys.readouterr().out == ""
