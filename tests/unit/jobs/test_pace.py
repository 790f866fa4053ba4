"""How many jobs a lane takes at once."""

from hypothesis import given
from hypothesis import strategies as st

from service.jobs.pace import SECONDS, Pace

names = st.sampled_from(["unknown", "short", "medium", "long"])


def learned(**seconds: float) -> Pace:
    pace = Pace()
    for task, each in seconds.items():
        pace.learn(task, each)
    return pace


@given(st.lists(names, max_size=60), st.integers(0, 8))
def test_every_lane_has_a_share_while_there_are_jobs(tasks, lanes):
    shares = learned(short=SECONDS / 20, medium=SECONDS / 3, long=SECONDS * 9).shares(tasks, lanes)

    assert all(share >= 1 for share in shares)
    assert len(shares) == min(lanes, len(shares) if sum(shares) == len(tasks) else lanes)
    assert sum(shares) <= len(tasks)
    if lanes:
        assert len(shares) >= min(lanes, len(tasks)) or sum(shares) == len(tasks)


@given(st.lists(names, max_size=60), st.integers(1, 8))
def test_what_is_not_known_to_be_short_has_its_lane_for_itself(tasks, lanes):
    begin = 0
    for share in learned(short=SECONDS / 20, long=SECONDS).shares(tasks, lanes):
        mine = tasks[begin : begin + share]
        assert share == 1 or set(mine) == {"short"}
        begin += share


@given(st.lists(st.sampled_from(["short", "medium"]), min_size=1, max_size=60), st.integers(1, 8))
def test_what_a_lane_takes_is_short_together(tasks, lanes):
    means = {"short": SECONDS / 20, "medium": SECONDS / 3}
    begin = 0
    for share in learned(**means).shares(tasks, lanes):
        assert share == 1 or sum(means[task] for task in tasks[begin : begin + share]) <= SECONDS * 1.001
        begin += share


def test_short_jobs_are_spread_over_all_lanes():
    assert learned(short=SECONDS / 1000).shares(["short"] * 10, 4) == [3, 3, 3, 1]


def test_many_short_jobs_are_taken_at_once():
    assert learned(short=SECONDS / 16.5).shares(["short"] * 100, 2) == [16, 16]


def test_what_a_task_takes_is_a_mean_of_the_latest_calls():
    pace = learned(task=SECONDS / 16)
    pace.learn("task", SECONDS * 100)
    assert pace.shares(["task"] * 9, 1) == [1], "one long call is enough"
    for _ in range(200):
        pace.learn("task", SECONDS / 16)
    assert pace.shares(["task"] * 90, 1) == [15], "the long one is nearly forgotten"


def test_nothing_is_taken_where_nothing_is():
    assert Pace().shares([], 3) == []
    assert Pace().shares(["a", "b"], 0) == []
    assert Pace().shares(["a", "b", "c"], 2) == [1, 1]
