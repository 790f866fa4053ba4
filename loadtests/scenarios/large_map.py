"""Thousands of items in one request, as lines in both directions."""

from __future__ import annotations

from loadtests.scenarios.answers import Answer, check_results, check_summary, sum_of_squares, with_summary
from loadtests.scenarios.asking import Asking, scenario

ITEMS = 2000
NDJSON = "application/x-ndjson"

_BODY = b"".join(b'{"n":%d}\n' % n for n in range(ITEMS))
_EXPECTED = [sum_of_squares(n) for n in range(ITEMS)]


def streamed(user: Asking) -> None:
    """Two thousand small sums; entries come in order of completion, the summary last."""

    def check(answer: Answer) -> None:
        entries, summary = with_summary(answer.lines)
        check_results(entries, _EXPECTED)
        check_summary(summary, ITEMS)

    headers = {"Content-Type": NDJSON, "Accept": NDJSON}
    user.ask("/v1/tasks/sum_of_squares/map", check, body=_BODY, headers=headers, lines=True)


class LargeMap(Asking):
    """A map of 2000 small sums, streamed."""

    tasks = scenario("large_map", NDJSON=streamed)
