"""Ids of jobs: UUIDv7 in the order in which they are made."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.jobs.model import id_at, new_id


def milliseconds(identity: str) -> int:
    return uuid.UUID(identity).int >> 80


def test_they_are_uuids_of_version_7():
    for identity in new_id(1000):
        parsed = uuid.UUID(identity)
        assert str(parsed) == identity
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_they_tell_when_they_were_made():
    before = time.time_ns() // 1_000_000
    made = new_id(3)

    assert all(before <= milliseconds(each) <= time.time_ns() // 1_000_000 + 1 for each in made)


def test_they_sort_in_the_order_in_which_they_are_made():
    made = [identity for count in (1, 2, 10_000, 1, 5) for identity in new_id(count)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_they_sort_in_each_thread_and_are_never_the_same():
    with ThreadPoolExecutor(8) as pool:
        by_thread = list(pool.map(lambda _: [new_id()[0] for _ in range(500)], range(8)))

    assert all(made == sorted(made) for made in by_thread)
    assert len({identity for made in by_thread for identity in made}) == 8 * 500


@pytest.mark.parametrize("count", [0, 1, 7])
def test_there_are_as_many_as_are_asked_for(count):
    assert len(new_id(count)) == count


def test_the_least_id_of_a_time_divides_those_before_from_those_after():
    earlier = new_id()[0]
    end = time.time() + 0.002
    while time.time() < end:
        pass
    between = id_at(time.time() - 0.0005)
    later = new_id()[0]

    assert earlier < between <= later
    assert uuid.UUID(between).version == 7


@pytest.mark.parametrize(
    ("when", "shown"), [(-1e300, 0), (0, 0), (1.9999, 1999), (253_402_300_799, 253_402_300_799_000)]
)
def test_any_time_has_an_id(when, shown):
    assert milliseconds(id_at(when)) == shown


def test_times_beyond_all_ids_come_last():
    assert id_at(1e300) > id_at(253_402_300_799)
    assert id_at(1e300) < "g", "the end of every list"
