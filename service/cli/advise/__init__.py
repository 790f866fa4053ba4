"""``python -m service advise``: measures this machine and a task, and says which sizes suit them.

    command ──> machine    CPUs and memory, as the kernel tells
            ──> engine     what a call costs: the real engine, in a folder of its own ──> probes
            ──> web        what a request costs: a real Gunicorn, the same
            ──> task       the given task with the given arguments
            ──> words      advice, each with its figures ──> model, queueing: pure functions

figures: what was measured.
"""
