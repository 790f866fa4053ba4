"""The check that the steps of a pipeline give what their type hints say."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from service.tasks import Pipeline, Stage, registry
from service.tasks.contract import InvalidArguments
from service.tasks.testing import run_pipeline


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's pipelines reach another test."""
    monkeypatch.setattr(registry, "_tasks", {})


@dataclass
class Basket:
    fruit: list[str]


def count(n: int = 3) -> Iterator[int]:
    yield from range(n)


def double(number: int) -> int:
    return 2 * number


def divisors(number: int) -> Iterator[int]:
    yield from (i for i in range(1, number + 1) if number % i == 0)


def total(numbers: Iterable[int]) -> int:
    return sum(numbers)


def running_total(numbers: Iterator[int]) -> Iterator[int]:
    so_far = 0
    for number in numbers:
        so_far += number
        yield so_far


def first_two(numbers: Iterator[int]) -> Iterator[int]:
    yield next(numbers)
    yield next(numbers)


def run(*steps: Callable[..., Any] | Stage, media_type: str | None = None, **arguments: Any) -> list[Any]:
    return run_pipeline(Pipeline("it", *steps, media_type=media_type), **arguments)


@pytest.mark.parametrize(
    ("stages", "results"),
    [
        ([double], [0, 2, 4, 6]),
        ([Stage(double, processes=3), divisors], [1, 2, 1, 2, 4, 1, 2, 3, 6]),
        ([total], [6]),
        ([running_total, double], [0, 2, 6, 12]),
        ([divisors, total], [8]),
    ],
)
def test_all_steps_are_run(stages: list[Any], results: list[int]) -> None:
    assert run(count, *stages, n=4) == results


def test_arguments_may_be_left_out() -> None:
    assert run(count, double) == [0, 2, 4]


def test_a_producer_without_an_end_is_run_as_far_as_it_is_wanted() -> None:
    def naturals() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    assert run(naturals, double, first_two) == [0, 2]


def test_a_pipeline_may_give_nothing() -> None:
    seen = []

    def note(number: int) -> None:
        seen.append(number)

    assert run(count, note) == []
    assert seen == [0, 1, 2]


def test_bytes_come_one_after_the_other() -> None:
    def encode(number: int) -> bytes:
        return b"%d;" % number

    assert run(count, encode, media_type="text/plain") == [b"0;", b"1;", b"2;"]


def test_arguments_that_do_not_fit_are_refused_as_over_http() -> None:
    with pytest.raises(InvalidArguments) as caught:
        run(count, double, n="3")
    assert caught.value.errors[0]["loc"] == ["n"]
    with pytest.raises(InvalidArguments):
        run(count, double, m=3)


def test_what_a_step_raises_is_raised() -> None:
    def fail(number: int) -> int:
        raise LookupError(number)

    with pytest.raises(LookupError):
        run(count, fail)


def test_an_item_that_travels_is_another_one() -> None:
    basket = Basket(["apple"])

    def produce() -> Iterator[Basket]:
        yield basket

    def eat(given: Basket) -> int:
        given.fruit.clear()
        return len(given.fruit)

    assert run(produce, eat) == [0]
    assert basket.fruit == ["apple"]


def wrong_producer() -> Iterator[int]:
    yield 1
    yield "2"  # type: ignore[misc]


def wrong_each(number: int) -> int:
    return str(number)  # type: ignore[return-value]


def wrong_spread(number: int) -> Iterator[int]:
    yield number + 0.5  # type: ignore[misc]


def wrong_whole(numbers: Iterable[int]) -> Basket:
    return Basket(list(numbers))  # type: ignore[arg-type]


def wrong_sink(number: int) -> None:
    return number  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ((wrong_producer, double), "wrong_producer"),
        ((count, wrong_each, double), "wrong_each"),
        ((count, wrong_spread), "wrong_spread"),
        ((count, wrong_whole), "wrong_whole"),
        ((count, wrong_sink), "wrong_sink"),
    ],
)
def test_a_step_that_gives_something_else_is_named(steps: Any, name: str) -> None:
    with pytest.raises(AssertionError, match=f"{name} of it did not return what its type hint says"):
        run(*steps)


def test_an_item_that_cannot_travel_is_told() -> None:
    def make(number: int) -> Any:
        return lambda: number

    with pytest.raises(AssertionError, match="what make of it passes on can't be sent"):
        run(count, make, lambda_is_called)


def lambda_is_called(made: Any) -> int:
    result: int = made()
    return result


class Formless:
    """Can be pickled, and has no form in JSON."""


def as_formless(number: int) -> Formless:
    return Formless()


def as_untold_nan(number: int) -> Any:
    return float("nan")


@pytest.mark.parametrize("last", [as_formless, as_untold_nan])
def test_a_result_has_to_have_a_form_in_json(last: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match="what it returned can't be sent"):
        run(count, last)


def test_between_stages_an_item_needs_none() -> None:
    def forget(item: Formless) -> int:
        return 1

    assert run(count, as_formless, forget) == [1, 1, 1]


def test_between_stages_a_number_need_not_be_finite() -> None:
    def far(number: int) -> float:
        return float("inf")

    def near(number: float) -> int:
        return 1

    assert run(count, far, near) == [1, 1, 1]


def test_a_number_of_the_last_stage_has_to_be_finite() -> None:
    def far(number: int) -> float:
        return float("inf")

    with pytest.raises(AssertionError, match=r"far of it did not return what its type hint says: .* finite"):
        run(count, far)


@pytest.mark.parametrize(("stages", "results"), [([], [0, 10, 20]), ([double], [0, 20, 40])])
def test_an_iterator_that_is_made_of_all_items_is_read(stages: list[Any], results: list[int]) -> None:
    def tenfold(numbers: Iterator[int]) -> Any:
        return (10 * number for number in numbers)

    assert run(count, tenfold, *stages) == results


def test_what_is_promised_as_bytes_has_to_be_bytes() -> None:
    def encode(number: int) -> Any:
        return str(number)

    with pytest.raises(AssertionError, match="the last stage of it gave str, not bytes"):
        run(count, encode, media_type="text/plain")
