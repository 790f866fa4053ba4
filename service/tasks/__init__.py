"""The public face of Everycore: what a module of tasks imports.

@task(timeout=30)          registers a plain, typed function and returns it unchanged
@resource                  loads something heavy once, for all calls
progress(3, total=10)      says how far a running task has come
log("read", n, "rows")     writes a line to the log of the job that the task runs in
Pipeline("name", f, g, h)  registers functions that pass items on, each in processes of its own
Stage(g, processes=4)      one of these functions, with options
attempt()                  how many times that job has been started
trace_headers()            makes what a task asks of other services part of its trace
FinishedJob                what a task gets that is called when a job has ended
raise InvalidInput(...)    the input is bad, not the task: the client gets 422, not 500

A decorated function travels ``registry`` (what there is) ``-> contract`` (what it takes, web side
only) and is called in a pool process with arguments that already fit.
"""

from __future__ import annotations

from service.tasks.finished import FinishedJob
from service.tasks.invalid_input import InvalidInput
from service.tasks.job import attempt, log
from service.tasks.pipelines import Pipeline, Stage
from service.tasks.progress import progress
from service.tasks.registry import task
from service.tasks.resources import resource
from service.tasks.trace import trace_headers

__all__ = [
    "FinishedJob",
    "InvalidInput",
    "Pipeline",
    "Stage",
    "attempt",
    "log",
    "progress",
    "resource",
    "task",
    "trace_headers",
]
