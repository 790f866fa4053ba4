"""What a runner says of itself to whoever asks at its endpoint."""

import contextlib
from collections.abc import Iterator
from typing import Any

from service.jobs.database import WORK
from service.jobs.model import State, StoreUnavailable
from tests.integration.jobs.workshop import Workshop


class Gated:
    """A database that is away until it is let come."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.dialect = inner.dialect
        self.is_away = True

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        if self.is_away:
            raise StoreUnavailable("away")
        with self._inner.transaction() as tx:
            yield tx

    @contextlib.contextmanager
    def reading(self) -> Iterator[Any]:
        if self.is_away:
            raise StoreUnavailable("away")
        with self._inner.reading() as tx:
            yield tx

    def listen(self, topic: str) -> Any:
        if self.is_away:
            raise StoreUnavailable("away")
        return self._inner.listen(topic)

    def close(self) -> None:
        self._inner.close()


def test_it_has_no_lease_before_it_has_reached_the_store_and_none_when_that_is_away(workshop: Workshop):
    database: Any = Gated(workshop.database())
    with workshop.runner(database, job_lease=1) as runner:
        assert runner.trouble == "it has not reached the store of jobs yet"

        database.is_away = False
        workshop.until(lambda: runner.trouble is None)

        database.is_away = True
        workshop.until(lambda: "could not renew its lease" in (runner.trouble or ""))

        database.is_away = False
        workshop.until(lambda: runner.trouble is None)


def test_one_that_was_taken_for_dead_says_so_until_it_is_a_new_one(workshop: Workshop):
    with workshop.runner() as runner:
        workshop.wait(workshop.submit("twofold", n=1))
        assert runner.trouble is None
        troubles: list[str | None] = []
        with contextlib.closing(workshop.database()) as database, database.transaction() as tx:
            assert tx.all("remove_runner", runner=runner._claims.runner) == []
            tx.ring(WORK)

        def is_new() -> bool:
            troubles.append(runner.trouble)
            return workshop.store.standing(15).runners == 1

        workshop.until(is_new)
        assert workshop.wait(workshop.submit("twofold", n=1)).state is State.SUCCEEDED
        workshop.until(lambda: runner.trouble is None)
        assert set(troubles) <= {None, "it was taken for dead, and has no lease"}
