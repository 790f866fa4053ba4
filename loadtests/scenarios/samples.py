"""The four samples, each a scenario of its own."""

from __future__ import annotations

import random

from loadtests.scenarios.answers import Answer, is_so, sum_of_squares
from loadtests.scenarios.asking import Asking, scenario
from loadtests.scenarios.jobs import WAIT, ended

#: A tenth of the sample's own numbers, which take 1.5 s of CPU a request: here are more requests to judge.
NUMBERS = (1_000_000, 800_000, 1_200_000, 900_000)
#: Seconds that the background task takes.
DURATION = 0.05


def concurrent(user: Asking) -> None:
    """Four sums in parallel."""
    expected = sorted(map(sum_of_squares, NUMBERS))

    def check(answer: Answer) -> None:
        document = answer.document()
        is_so(sorted(document["results"]) == expected, "the sums are wrong")
        is_so(document["total_time"] > 0, "it took no time")

    query = "&".join(f"n={n}" for n in NUMBERS)
    user.ask(f"/concurrent_cpu_tasks/?{query}", check, method="GET")


def parallel(user: Asking) -> None:
    """Ten items of half a second each."""
    expected = [f"Processed: {2 * item}" for item in range(1, 11)]

    def check(answer: Answer) -> None:
        is_so(answer.document()["results"] == expected, "the items are wrong")

    user.ask("/parallel_data_processing/", check, method="GET")


def queue(user: Asking) -> None:
    """Five items through a queue between two processes."""
    expected = [f"Consumed: Item {number}" for number in range(5)]

    def check(answer: Answer) -> None:
        is_so(answer.document() == {"results": expected}, "the items are wrong")

    user.ask("/process_queue_communication/", check, method="GET")


def background(user: Asking) -> None:
    """A task in the background: accepted, ended, and its two lines are in the log."""
    message = f"load test {random.randrange(10**9)}"

    def accepted(answer: Answer) -> str:
        document = answer.document()
        is_so(document["message"] == "Background task started successfully", "the message is wrong")
        href = str(document["job"]["href"])
        is_so(answer.headers.get("Location") == href, "Location is another")
        return href

    def logged(answer: Answer) -> None:
        log = answer.content.decode()
        is_so(f"started: {message}" in log and f"finished: {message}" in log, "lines are missing in the log")

    body = {"message": message, "duration": DURATION}
    path = "/start_background_process/"
    href = user.ask(path, accepted, body=body, status=202)
    is_so(ended(user, f"{href}?wait={WAIT}").get("state") == "succeeded", "the job has not succeeded")
    user.ask(f"{href}/log", logged, method="GET")


class SampleConcurrent(Asking):
    """GET /concurrent_cpu_tasks/ with a tenth of its numbers."""

    tasks = scenario("sample_concurrent", GET=concurrent)


class SampleParallel(Asking):
    """GET /parallel_data_processing/."""

    tasks = scenario("sample_parallel", GET=parallel)


class SampleQueue(Asking):
    """GET /process_queue_communication/."""

    tasks = scenario("sample_queue", GET=queue)


class SampleBackground(Asking):
    """POST /start_background_process/, to the end of the job."""

    tasks = scenario("sample_background", job=background)
