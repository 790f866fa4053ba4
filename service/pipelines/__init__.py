"""Pipelines: a producer and stages in processes of their own, with bounded channels between them.

    producer ──channel──> stage (one or more processes) ──channel──> … ──channel──> owner ──> client
        └───────────────┴──── board: what each has in hand ────┴──────────────────────^

run      what the owner sees: items as they come, and what becomes of processes that end
wiring   the board, the channels and the bells of one run
report   what each stage has done, and what it waited for
engine   an engine that runs pipelines like tasks, for jobs
single   one such call: its results together, and what it says meanwhile (clock)

What a process does is in ``service.engine.stage``, what a pipeline is in ``service.tasks.pipelines``.
"""
