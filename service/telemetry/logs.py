"""Log lines, in one form from every process of the service.

    get_logger().info("event", key=value)   ──┐
    Gunicorn's own lines, by way of logging ──┴─> processors ─> console or JSON ─> stdout, a line a write
    info_each("event", many) ───────────────────> the same form, some lines a write

Our own lines do not pass through the standard library's logging, which takes three times as long; Gunicorn's
few do, and are given the same look.
"""

from __future__ import annotations

import contextlib
import logging
import select
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

#: Most bytes of a write that a pipe takes as a whole, whoever else writes to it.
PIECE = select.PIPE_BUF


class LineLogger:
    """Writes each line in one go; a reader of the log that went away makes nobody's request fail."""

    def msg(self, line: str) -> None:
        """Write one line."""
        _write(f"{line}\n")

    debug = info = warning = error = critical = exception = msg


def configure(log_format: str, log_level: str) -> None:
    """Set up this process's logger: ``"console"``, ``"json"`` or ``"auto"``, and the least level."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_common(), *_last(log_format)],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log_level.upper()]
        ),
        logger_factory=lambda *_: LineLogger(),
        cache_logger_on_first_use=True,
    )


def get_logger(**values: Any) -> FilteringBoundLogger:
    """Return a logger whose lines carry ``values``; it takes on its form at its first line."""
    return cast("FilteringBoundLogger", structlog.get_logger(**values))


def form() -> Literal["json", "text", "none"]:
    """Return which form lines of this process have that are worth an ``info``."""
    if not get_logger().is_enabled_for(logging.INFO):
        return "none"
    *_, last = structlog.get_config()["processors"]
    return "json" if isinstance(last, structlog.processors.JSONRenderer) else "text"


def info_each(event: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Log one event many times, at a third of the cost of one by one."""
    log = get_logger()
    if not log.is_enabled_for(logging.INFO):
        return
    *_, render = structlog.get_config()["processors"]
    common = _stamped(event)
    piece = ""
    for row in rows:
        try:
            line = f"{render(log, 'info', {**row, **common})}\n"
        except structlog.DropEvent:
            continue  # a test has captured it
        if piece and len(piece) + len(line.encode()) > PIECE:
            _write(piece)
            piece = ""
        piece += line
    if piece:
        _write(piece)


def _stamped(event: str) -> dict[str, Any]:
    found: Any = {**structlog.contextvars.get_contextvars(), "event": event}
    for process in _common():
        found = process(None, "info", found)
    return dict(found)


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(text)
        sys.stdout.flush()


def stdlib_config(log_format: str, log_level: str) -> dict[str, Any]:
    """Return a ``logging.config.dictConfig`` that gives lines of Gunicorn and of libraries the same form."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structlog": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [structlog.stdlib.add_logger_name, *_common()],
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *_last(log_format),
                ],
            },
        },
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "formatter": "structlog",
                "stream": "ext://sys.stdout",
            },
        },
        "root": {"level": "WARNING", "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.error": {"level": log_level.upper(), "handlers": ["stdout"], "propagate": False},
        },
    }


def _common() -> list[Processor]:
    return [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]


def _last(log_format: str) -> list[Processor]:
    if log_format == "console" or (log_format == "auto" and sys.stdout.isatty()):
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
