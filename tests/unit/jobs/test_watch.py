"""Who is taken for gone."""

from service.jobs.watch import Watch

LEASE = 3.0


def test_a_runner_whose_beat_stands_still_for_a_lease_is_gone():
    watch = Watch(LEASE)

    assert [watch.gone({"a": 7}, now) for now in (10, 11, 12, 12.9)] == [{}] * 4
    assert watch.gone({"a": 7}, 13) == {"a": 7}
    assert watch.gone({"a": 7}, 14) == {"a": 7}


def test_a_runner_that_moves_is_not():
    watch = Watch(LEASE)

    assert [watch.gone({"a": beat}, beat) for beat in range(10)] == [{}] * 10


def test_a_beat_counts_from_when_it_was_first_seen():
    watch = Watch(LEASE)
    watch.gone({"a": 7}, 10)
    watch.gone({"a": 7, "b": 1}, 11)
    watch.gone({"a": 8, "b": 1}, 12)
    watch.gone({"a": 8, "b": 1}, 13)

    assert watch.gone({"a": 8, "b": 1}, 14) == {"b": 1}


def test_who_could_not_look_watches_anew():
    """The database may have been away, so that nobody could move."""
    watch = Watch(LEASE)
    watch.gone({"a": 7}, 10)
    watch.gone({"a": 7}, 11)

    assert [watch.gone({"a": 7}, now) for now in (14, 15, 16)] == [{}] * 3
    assert watch.gone({"a": 7}, 17) == {"a": 7}


def test_who_could_not_look_for_a_moment_does_not():
    watch = Watch(LEASE)
    watch.gone({"a": 7}, 10)
    watch.gone({"a": 7}, 11.5)

    assert watch.gone({"a": 7}, 13) == {"a": 7}


def test_a_runner_that_left_is_forgotten():
    watch = Watch(LEASE)
    watch.gone({"a": 7}, 10)
    watch.gone({}, 11)

    assert [watch.gone({"a": 7}, now) for now in (12, 13, 14)] == [{}] * 3
