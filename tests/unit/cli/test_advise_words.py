"""Advice on figures that were never measured, in words and as JSON."""

import json
import re

import pytest

from service.cli.advise import units, words
from service.cli.advise.advice import Advice
from service.cli.advise.consult import consult
from service.cli.advise.figures import Figures, Pace, Spread
from service.settings import Settings
from tests.unit.cli.advise_figures import figures, without_task

SETTINGS = Settings(web_workers=2, web_threads=64, cpu_slots=4, pool_processes=8, _env_file=None)


def advice(found: Figures, settings: Settings = SETTINGS) -> dict[str, Advice]:
    return {each.subject: each for each in consult(found, settings)}


def test_each_advice_has_its_figures():
    for found in (figures(), figures(cpu=0, share=0.0), figures(paces=()), without_task()):
        for each in consult(found, SETTINGS):
            assert re.search(r"\d", each.because), each


class TestCall:
    def test_a_task_that_computes_takes_a_slot(self):
        said = advice(figures())["slots of a call"]

        assert (said.name, said.value) == ("cpu", 1)
        assert "it computes; as it declares" in said.text
        assert "100%" in said.because

    def test_a_task_that_waits_should_take_none(self):
        said = advice(figures(share=0.03))["slots of a call"]

        assert said.value == 0
        assert "it waits; it declares cpu=1" in said.text

    def test_a_task_that_does_both_keeps_its_slot_and_more_of_them_fill_the_cpus(self):
        said = advice(figures(share=0.5))

        assert said["slots of a call"].value == 1
        assert "computes and waits by turns" in said["slots of a call"].text
        assert said["CPU slots"].value == 8

    def test_the_timeout_is_several_times_the_slowest(self):
        said = advice(figures(run=Spread.of([0.5, 0.9])))["timeout"]

        assert (said.name, said.value) == ("timeout", 5.0)
        assert "5 x 900 ms" in said.because
        assert "it declares timeout=30" in said.text

    def test_the_first_call_in_a_process_counts_for_the_timeout(self):
        assert advice(figures(first=3.0))["timeout"].value == 20.0

    def test_a_fan_out_of_long_calls_pays_from_two_on(self):
        said = advice(figures())["parallel"]

        assert said.value == 2
        assert "40 take 105 ms in place of 400 ms" in said.text
        assert "measured: 400 calls, 3.81 times as fast" in said.because

    def test_a_fan_out_of_calls_that_slow_each_other_down_does_not_pay(self):
        said = advice(figures(paces=(Pace(1, 1, 10, 0.1, 0.01), Pace(4, 4, 10, 0.11, 0.05))))["parallel"]

        assert said.value is None
        assert "does not pay" in said.text

    def test_what_was_not_measured_is_said_to_be_a_guess(self):
        said = advice(figures(paces=()))["parallel"]

        assert "was not measured" in said.because

    def test_chunks_are_the_engines_own(self):
        long, short = (
            advice(figures(run=Spread.of([0.1])))["chunk"],
            advice(figures(run=Spread.of([0.001])))["chunk"],
        )

        assert (long.value, short.value) == (1, 25)
        assert "travel alone" in long.text

    def test_items_that_cost_more_to_send_than_to_do_should_be_larger(self):
        tiny = figures(run=Spread.of([1e-6]), paces=(Pace(4, 4, 10_000, 0.1, 1e-6),))

        assert "hold more work" in advice(tiny)["chunk"].text


class TestSizes:
    def test_slots_are_the_cpus(self):
        said = advice(figures())["CPU slots"]

        assert (said.name, said.value) == ("SERVICE_CPU_SLOTS", 4)
        assert "the machine has 8, the affinity mask allows 4, the cgroup's quota is 4.5" in said.because
        assert "1: 99.8, 2: 198, 4: 381" in said.because

    def test_fewer_slots_do_where_more_make_nothing_faster(self):
        paces = (Pace(1, 1, 100, 1.0, 0.01), Pace(2, 2, 190, 1.0, 0.01), Pace(4, 4, 192, 1.0, 0.02))

        said = advice(figures(paces=paces))["CPU slots"]

        assert said.value == 2
        assert "with 4 it is not faster" in said.text

    def test_a_process_for_each_slot_is_enough(self):
        assert advice(figures())["pool processes"].value == 4

    def test_what_one_more_process_does_for_a_task_that_waits(self):
        said = advice(figures(cpu=0, share=0.0, run=Spread.of([0.5]), paces=()))["pool processes"]

        # Half of them are kept for calls that compute.
        assert "8 in each worker do 8 calls/s of this task; each further one 2 more, for 20.0MiB" in said.text

    def test_memory_is_enough(self):
        said = advice(figures())["memory"]

        assert said.value == 2 * 8 * (20 << 20)
        assert "there is room" in said.text

    def test_memory_bounds_the_processes(self):
        said = advice(figures(growth=1 << 30))["memory"]

        assert (said.name, said.value) == ("SERVICE_POOL_PROCESSES", 3)

    def test_one_call_may_be_too_large(self):
        said = advice(figures(growth=20 << 30))["memory"]

        assert "there is no room" in said.text

    def test_capacity_is_what_the_cpus_can_do(self):
        said = advice(figures())["capacity"]

        # 4 CPUs / (10.4 ms beside others + 0.82 ms of the web side and of JSON)
        assert said.value == pytest.approx(4 / 0.01122)
        assert "Plan with 250" in said.text

    def test_without_a_server_it_says_what_is_lacking(self):
        said = advice(figures(web=None))

        assert "not measured" in said["capacity"].because
        assert not {"web workers", "web threads"} & said.keys()

    def test_workers_and_threads_suit_the_capacity(self):
        said = advice(figures())

        assert (said["web workers"].name, said["web workers"].value) == ("SERVICE_WEB_WORKERS", 1)
        assert said["web threads"].name == "SERVICE_WEB_THREADS"
        assert 2 < (said["web threads"].value or 0) < 20

    def test_short_tasks_need_as_many_workers_as_there_are_cpus(self):
        short = figures(run=Spread.of([1e-5]), paces=())

        assert advice(short)["web workers"].value == 4


class TestMachineAlone:
    def test_it_says_from_which_time_on_calls_pay(self):
        said = advice(without_task())

        assert said["parallel"].value == pytest.approx(0.00006 + 2 * 0.00001)
        assert said["CPU slots"].value == 4
        assert said["requests"].value == pytest.approx(0.7 / 0.0008)

    def test_on_one_cpu_nothing_is_sooner_done_at_once(self):
        assert advice(without_task(usable=1))["parallel"].value is None


class TestPrinted:
    def test_text_has_every_figure_and_every_advice(self):
        found = figures()
        given = consult(found, SETTINGS)

        text = words.as_text(found, given)

        for line in ("this machine", "a call", "a request", "work", "advice", "  map, 4 CPU slots"):
            assert line in text
        assert all(each.subject in text for each in given)
        assert "note:" not in text
        assert max(map(len, text.splitlines())) <= 120

    def test_json_has_the_same(self):
        found = figures()

        document = json.loads(json.dumps(words.as_json(found, consult(found, SETTINGS))))

        assert document["task"]["run"]["median"] == 0.01
        assert document["task"]["paces"][2]["slots"] == 4
        assert document["machine"]["usable"] == 4
        assert {"subject", "name", "value", "text", "because"} == document["advice"][0].keys()

    @pytest.mark.parametrize(
        ("found", "note"),
        [
            (without_task(load=5.0), "the load was 5.00 when measuring began"),
            (figures(contended=0.4), "others had the CPU for 40%"),
            (figures(paces=()), "no time was left for maps"),
            (figures(paces=(Pace(1, 1, 9, 1.0, 0.1), Pace(2, 2, 9, 1.0, 0.1))), "with more than 2 CPU slots"),
        ],
    )
    def test_what_is_not_to_be_trusted_is_said(self, found, note):
        assert note in words.as_text(found, [])
        assert any(note in warning for warning in words.as_json(found, [])["warnings"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.14e-6, "3.14 µs"),
        (0.0421, "42.1 ms"),
        (0.9996, "1 s"),
        (1.7, "1.7 s"),
        (12_345, "12345 s"),
        (0, "0 µs"),
    ],
)
def test_times_are_words(value, text):
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0193, "0.0193"), (32.0, "32"), (1234.5, "1 234"), (1e6, "1 000 000")]
)
def test_counts_have_no_powers(value, text):
    assert units.count(value) == text
