"""Four web workers and two runners on one database: each job runs once, for nobody dies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.jobs_clients import Clients
from tests.e2e.jobs_place import DATABASES, Place, opened

SETTINGS = {"SERVICE_WEB_WORKERS": "4", "SERVICE_RUNNERS": "2", "SERVICE_JOB_LEASE": "15"}
JOBS, LONGER = range(2000), range(2000, 2020)


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with opened(request, tmp_path) as place:
        yield place


@pytest.mark.timeout(180)
def test_no_job_runs_twice(place):
    service = place.serve(**SETTINGS)

    with Clients(lambda: service.url) as clients:
        clients.submit("pause", LONGER, path=str(place.trace), seconds=0.1)
        clients.submit("compute", JOBS, path=str(place.trace))
    place.jobs = clients.accepted
    place.wait_until_all_ended()

    assert not clients.refusals
    assert len(place.jobs) == len(JOBS) + len(LONGER)
    place.assert_all_done()
    assert len(service.workers()) == 4
    assert len({line.ppid for line in place.lines()}) == 2, "one of the runners did nothing"
