"""A process that counts, for the tests of many of them: each line that it reads is something to do.

count N    count N observations         set N      set the gauge
fork N     have a fork do both of these text       print all metrics, and a line with a dot
own N      do both with metrics of kinds that the service has not
"""

import os
import sys

from prometheus_client import Counter, Gauge, Summary

from service.telemetry.metrics.histogram import Histogram
from service.telemetry.metrics.registry import REGISTRY, expose

COUNTER = Counter("everycore_test_total", "Things.", ["kind"], registry=REGISTRY)
GAUGE = Gauge("everycore_test_alive", "Living.", multiprocess_mode="livesum", registry=REGISTRY)
HISTOGRAM = Histogram("everycore_test_seconds", "Seconds.", registry=REGISTRY)


def count(number: int) -> None:
    for _ in range(number):
        COUNTER.labels("a").inc()
        HISTOGRAM.observe_all((0.002,))


def count_own(number: int) -> None:
    Summary("own_seconds", "Seconds.", registry=REGISTRY).observe(number)
    Gauge("own_level", "A level.", registry=REGISTRY).set(number)
    Gauge("own_highest", "Of those that live.", multiprocess_mode="livemax", registry=REGISTRY).set(number)


def main() -> None:
    for line in sys.stdin:
        command, _, number = line.partition(" ")
        match command.strip():
            case "count":
                count(int(number))
            case "set":
                GAUGE.set(int(number))
            case "own":
                count_own(int(number))
            case "fork":
                if (pid := os.fork()) == 0:
                    count(int(number))
                    GAUGE.set(int(number))
                    os._exit(0)
                os.waitpid(pid, 0)
            case "text":
                print(expose()[0].decode())
        print(".", flush=True)


main()
