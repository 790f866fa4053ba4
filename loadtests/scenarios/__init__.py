"""What Locust's users do, a file for each scenario.

answers      what a right answer is; knows nothing of Locust
asking       the user that all of them are: asks, checks, has the statistics take it down
samples      the four samples
fan_out      maps and batches of a few small calls
large_map    thousands of items, NDJSON in and out
streams      a generator task, as NDJSON and as server-sent events
jobs         submitted, waited for, checked
pipelines    a log that is counted, a gallery that is packed
uploads      pictures, as the body and in a form
mix          all of them, with weights
"""

from __future__ import annotations

#: As they are chosen by; which users they are says the locustfile. Here for those that can't import Locust.
NAMES = (
    "sample_concurrent",
    "sample_background",
    "sample_parallel",
    "sample_queue",
    "fan_out",
    "large_map",
    "streams",
    "jobs",
    "pipelines",
    "uploads",
    "mix",
)
