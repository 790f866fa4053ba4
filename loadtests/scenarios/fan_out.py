"""A few small calls in one request."""

from __future__ import annotations

import random

from loadtests.scenarios.answers import Answer, check_results, check_summary, sum_of_squares
from loadtests.scenarios.asking import Asking, scenario

CALLS = 4
#: Numbers of this size take the processes some tens of microseconds.
LEAST, MOST = 500, 1500


def small_map(user: Asking) -> None:
    """Four small sums."""
    numbers = [random.randint(LEAST, MOST) for _ in range(CALLS)]

    def check(answer: Answer) -> None:
        document = answer.document()
        check_results(document["results"], [sum_of_squares(n) for n in numbers])
        check_summary(document["summary"], CALLS)

    user.ask("/v1/tasks/sum_of_squares/map", check, body={"items": [{"n": n} for n in numbers]})


def small_batch(user: Asking) -> None:
    """Four calls of three tasks."""
    n = random.randint(LEAST, MOST)
    calls = [
        {"task": "sum_of_squares", "args": {"n": n}},
        {"task": "primes", "args": {"limit": 1000}},
        {"task": "text_statistics", "args": {"text": "to be or not to be", "top": 1}},
        {"task": "sum_of_squares", "args": {"n": n + 1}},
    ]
    expected = [
        sum_of_squares(n),
        {"count": 168, "largest": 997},
        lambda result: result["words"] == 6 and result["unique_words"] == 4,
        sum_of_squares(n + 1),
    ]

    def check(answer: Answer) -> None:
        document = answer.document()
        check_results(document["results"], expected)
        check_summary(document["summary"], len(calls))

    user.ask("/v1/batch", check, body={"calls": calls})


class FanOut(Asking):
    """A map or a batch of four small calls."""

    tasks = scenario("fan_out", map=small_map, batch=small_batch)
