"""What follows from figures: numbers in, numbers out."""

import contextlib

import pytest

from service.cli.advise import model
from service.cli.advise.figures import Pace, Spread
from service.cli.advise.model import FanOut
from service.engine.local import LocalEngine
from service.engine.pool import for_waiting


def test_samples_are_summed_up():
    spread = Spread.of([float(n) for n in range(100, 0, -1)])

    assert (spread.count, spread.least, spread.most) == (100, 1.0, 100.0)
    assert (spread.median, spread.p95, spread.p99) == (50.5, 95.0, 99.0)


def test_one_sample_is_all_there_is():
    assert Spread.of([0.5]) == Spread(1, 0.5, 0.5, 0.5, 0.5, 0.5)


class TestFanOut:
    def test_as_many_as_there_are_slots_run_at_a_time(self):
        fan_out = FanOut(alone=0.1, beside=0.11, start=0.001, each=0.0001, width=4)

        assert fan_out.seconds(4) == pytest.approx(0.001 + 0.11 + 4 * 0.0001)
        assert fan_out.seconds(5) == pytest.approx(0.001 + 0.22 + 5 * 0.0001)
        assert fan_out.one_by_one(5) == pytest.approx(0.5)

    def test_long_calls_pay_from_two_on(self):
        assert FanOut(0.1, 0.1, 0.001, 0.0001, 4).pays_from() == 2

    def test_short_calls_pay_when_there_are_enough_to_make_up_for_the_start(self):
        pays = FanOut(alone=0.0001, beside=0.0001, start=0.001, each=0.00001, width=2).pays_from()

        # A run of half a millisecond is not split, and 30 calls save 15 x 0.1 ms, cost 1 ms and 30 x 0.01 ms.
        assert pays is not None
        fan_out = FanOut(0.0001, 0.0001, 0.001, 0.00001, 2)
        assert fan_out.seconds(pays) < fan_out.one_by_one(pays)
        assert fan_out.seconds(pays - 1) >= fan_out.one_by_one(pays - 1)
        assert 20 < pays < 35

    @pytest.mark.parametrize(
        ("alone", "each", "width"),
        [
            pytest.param(0.1, 0.0, 1, id="one at a time"),
            pytest.param(1e-6, 1e-5, 8, id="calls that cost more to send than to do"),
        ],
    )
    def test_it_does_not_always_pay(self, alone, each, width):
        assert FanOut(alone, alone, 0.0001, each, width).pays_from() is None

    def test_calls_that_slow_each_other_down_may_not_pay(self):
        assert FanOut(alone=0.1, beside=0.21, start=0.001, each=0.0, width=2).pays_from() is None


class TestPaces:
    def test_what_a_call_takes_beside_its_run(self):
        assert model.per_item(Pace(2, 2, 100, 0.6, 0.010)) == pytest.approx(0.001)
        assert model.per_item(Pace(2, 2, 100, 0.4, 0.010)) == 0.0

    def test_speed_up_compares_with_one_after_another(self):
        assert model.speed_up(Pace(4, 4, 40, 0.1, 0.009), alone=0.008) == pytest.approx(3.2)

    def test_the_fewest_slots_are_best_that_are_nearly_as_fast(self):
        paces = [Pace(1, 1, 100, 1.0, 0.01), Pace(2, 2, 196, 1.0, 0.01), Pace(4, 4, 200, 1.0, 0.02)]

        assert model.best(paces).slots == 2

    def test_more_slots_are_best_when_they_are_faster(self):
        paces = [Pace(2, 2, 100, 1.0, 0.01), Pace(4, 4, 200, 1.0, 0.01)]

        assert model.best(paces).slots == 4


@pytest.mark.parametrize(
    ("run", "items", "width", "chunk"),
    [(1.0, 1000, 4, 1), (0.0025, 1000, 4, 10), (0.0001, 100, 4, 25), (1e-7, 100, 4, 100)],
)
def test_chunks_are_those_of_the_engine(run, items, width, chunk):
    assert model.chunk(run, items, width) == chunk


@pytest.mark.parametrize(
    ("share", "run", "slots"),
    [
        pytest.param(1.0, 0.1, 4, id="computes"),
        pytest.param(0.05, 0.1, 4, id="waits, and should take none"),
        pytest.param(0.5, 0.1, 8, id="waits for half of the time"),
        pytest.param(2.0, 0.1, 2, id="uses two CPUs"),
        pytest.param(9.0, 0.1, 1, id="uses more than there are"),
        pytest.param(2.0, 0.0001, 4, id="too short to tell"),
    ],
)
def test_slots_keep_the_cpus_busy(share, run, slots):
    assert model.slots(share, run, cpus=4) == slots


@pytest.mark.parametrize(
    ("slowest", "timeout"),
    [(0.001, 1.0), (0.3, 2.0), (0.5, 3.0), (1.0, 5.0), (1.1, 10.0), (9.0, 50.0), (60.0, 300.0)],
)
def test_a_timeout_is_a_round_number_beyond_five_times_the_slowest(slowest, timeout):
    assert model.timeout(slowest) == pytest.approx(timeout)


@pytest.mark.parametrize(("processes", "slots"), [(8, 2), (8, 4), (8, 64), (1, 1), (2, 1), (3, 8), (100, 16)])
def test_processes_for_calls_that_wait_are_as_many_as_the_pool_gives_them(tmp_path, processes, slots):
    engine = LocalEngine(processes=processes, cpu_slots=slots, runtime_dir=tmp_path)
    with contextlib.closing(engine):
        assert for_waiting(processes, slots) == engine._ensure_pool().width(0)


def test_processes_fit_into_a_part_of_the_memory():
    assert model.fitting_processes(available=1000, one=10, workers=2) == 40
    assert model.fitting_processes(available=1000, one=900, workers=2) == 0
    assert model.fitting_processes(available=1000, one=0, workers=1) == 800


class TestCapacity:
    def test_cpus_bound_tasks_that_compute(self):
        found = model.capacity(run=0.099, share=1.0, overhead=0.001, servers=4, cpus=4, declared=1)

        assert (found.bound, found.servers) == ("CPUs", 4)
        assert found.rate == pytest.approx(40.0)
        assert found.service == pytest.approx(0.1)

    def test_slots_do_when_there_are_fewer(self):
        found = model.capacity(run=0.1, share=1.0, overhead=0.001, servers=2, cpus=4, declared=1)

        assert (found.bound, found.servers) == ("CPU slots", 2)
        assert found.rate == pytest.approx(20.0)

    def test_processes_bound_tasks_that_wait(self):
        found = model.capacity(run=0.5, share=0.0, overhead=0.001, servers=16, cpus=2, declared=0)

        assert found.bound == "pool processes"
        assert found.rate == pytest.approx(32.0)

    def test_requests_bound_tasks_that_do_nearly_nothing(self):
        found = model.capacity(run=0.00001, share=1.0, overhead=0.001, servers=2, cpus=2, declared=1)

        assert found.rate == pytest.approx(2 / 0.00101)


@pytest.mark.parametrize(("rate", "workers"), [(1.0, 1), (800.0, 2), (1500.0, 3), (100_000.0, 4)])
def test_workers_have_room_for_their_part_of_the_requests(rate, workers):
    assert model.workers(rate, cpu=0.001, cpus=4) == workers
