"""Registering pipelines, and what can't be one."""

import functools
import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from service.errors import ConfigurationError, TaskModuleError
from service.tasks import FinishedJob, Pipeline, Stage, registry, task
from service.tasks.options import JobOptions
from service.tasks.periods import Every
from service.tasks.pipelines import MAX_BUFFER, Kind, check_size


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's pipelines reach another test."""
    registry.load()
    ours = {name: t for name, t in registry._tasks.items() if t.function.__module__.startswith("service.")}
    monkeypatch.setattr(registry, "_tasks", ours)


def count(n: int = 3) -> Iterator[int]:
    """Count to n.

    Not further.
    """
    yield from range(n)


def count_to(n: int) -> Iterator[int]:
    yield from range(n)


def double(number: int) -> int:
    return 2 * number


def triple(number: int, times: int = 3, *, note: str = "") -> int:
    return times * number


def divisors(number: int) -> Iterator[int]:
    yield from (i for i in range(1, number + 1) if number % i == 0)


def total(numbers: Iterable[int]) -> int:
    return sum(numbers)


def running_total(numbers: Iterator[int]) -> Generator[int, None, None]:
    so_far = 0
    for number in numbers:
        so_far += number
        yield so_far


def keep(number: int) -> None:
    """Pass nothing on."""


def as_bytes(number: int) -> bytes:
    return b"%d" % number


def untyped(item):
    return item


class TestSteps:
    def test_functions_become_steps(self) -> None:
        pipeline = Pipeline("it", count, double, total)

        assert [(step.name, step.kind) for step in pipeline.steps] == [
            ("count", Kind.PRODUCE),
            ("double", Kind.EACH),
            ("total", Kind.WHOLE),
        ]
        step = pipeline.steps[1]
        assert (step.function, step.processes, step.ordered, step.cpu, step.timeout) == (
            double,
            1,
            True,
            1,
            None,
        )
        assert pipeline.processes == 3

    def test_a_stage_has_options_of_its_own(self) -> None:
        stage = Stage(double, processes=4, ordered=False, cpu=0, timeout=2.5, name="twice")
        pipeline = Pipeline("it", Stage(count, cpu=0, timeout=1, name="source"), stage)

        source, step = pipeline.steps
        assert (source.name, source.cpu, source.timeout, source.processes) == ("source", 0, 1, 1)
        assert (step.name, step.function, step.processes, step.ordered) == ("twice", double, 4, False)
        assert (step.cpu, step.timeout) == (0, 2.5)
        assert pipeline.processes == 5

    @pytest.mark.parametrize(
        ("function", "kind", "takes", "gives"),
        [
            (double, Kind.EACH, int, int),
            (triple, Kind.EACH, int, int),
            (untyped, Kind.EACH, Any, Any),
            (divisors, Kind.SPREAD, int, int),
            (total, Kind.WHOLE, int, int),
            (running_total, Kind.WHOLE, int, int),
            (keep, Kind.EACH, int, None),
        ],
    )
    def test_what_it_is_stands_in_its_hints(
        self, function: Callable[..., Any], kind: Kind, takes: Any, gives: Any
    ) -> None:
        step = Pipeline("it", count, function).steps[1]

        assert (step.kind, step.takes, step.gives) == (kind, takes, gives)
        assert step.sink is (function is keep)

    def test_hints_may_say_more_or_less(self) -> None:
        def produce() -> Annotated[Iterator[Annotated[int, "positive"]], "doc"]:
            yield 1

        def all_of(
            items: Annotated[Iterable, "doc"],  # type: ignore[type-arg]
        ) -> Any:
            return list(items)

        def some() -> Iterable:  # type: ignore[type-arg]
            yield 1

        produced, whole = Pipeline("it", produce, all_of).steps
        assert produced.gives == Annotated[int, "positive"]
        assert (whole.kind, whole.takes, whole.gives) == (Kind.WHOLE, Any, Any)
        assert Pipeline("other", some, untyped).steps[0].gives is Any

    def test_a_producer_takes_no_item(self) -> None:
        (producer, _) = Pipeline("it", count_to, double).steps

        assert (producer.takes, producer.gives, producer.sink) == (None, int, False)

    @pytest.mark.parametrize(
        ("stages", "keep_turns"),
        [
            ([Stage(double, processes=2)], [True]),
            ([double], [False]),
            ([Stage(double, processes=2, ordered=False)], [False]),
            ([Stage(double, processes=2), Stage(triple, processes=2)], [True, True]),
            ([Stage(double, processes=2, ordered=False), Stage(triple, processes=2)], [False, False]),
            (
                [Stage(double, processes=2, ordered=False), divisors, Stage(triple, processes=2)],
                [False, False, True],
            ),
            (
                [Stage(double, processes=2, ordered=False), total, Stage(triple, processes=2)],
                [False, False, True],
            ),
        ],
    )
    def test_order_is_kept_where_it_is_known(self, stages: list[Any], keep_turns: list[bool]) -> None:
        pipeline = Pipeline("it", count, *stages)

        assert [step.keeps_turns for step in pipeline.steps] == [False, *keep_turns]

    def test_it_names_its_steps(self) -> None:
        assert repr(Pipeline("it", count, double, total)) == "<Pipeline it: count > double > total>"


class TestRegistration:
    def test_it_stands_in_the_table_of_tasks(self) -> None:
        pipeline = Pipeline("it", count, double, timeout=60, media_type=None)

        entry = registry.get("it")
        assert entry.pipeline is pipeline
        assert (entry.name, entry.function, entry.cpu, entry.timeout) == ("it", count, 0, 60)
        assert entry in registry.pipelines()
        assert entry in registry.all_tasks()
        assert entry not in registry.plain_tasks()
        assert registry.get("sum_of_squares") in registry.plain_tasks()
        assert registry.get("sum_of_squares") not in registry.pipelines()

    def test_its_description_is_the_producers_unless_it_has_one(self) -> None:
        assert Pipeline("it", count, double).description == "Count to n.\n\nNot further."
        assert registry.get("it").description == "Count to n.\n\nNot further."
        Pipeline("other", count, double, description="Doubles.")
        assert registry.get("other").description == "Doubles."

    def test_defaults(self) -> None:
        pipeline = Pipeline("it", count, double)

        assert (pipeline.buffer, pipeline.timeout, pipeline.media_type) == (8, None, None)
        assert registry.get("it").job == JobOptions()
        assert registry.get("it").schedule is None

    def test_its_bytes_have_a_media_type(self) -> None:
        pipeline = Pipeline("it", count, as_bytes, media_type="text/csv; charset=utf-8")

        assert pipeline.media_type == "text/csv; charset=utf-8"
        assert registry.get("it").media_type == "text/csv; charset=utf-8"

    def test_options_of_jobs_are_those_of_a_task(self) -> None:
        @task(name="after")
        def after(job: FinishedJob) -> None: ...

        Pipeline(
            "it",
            count,
            double,
            retries=2,
            retry_on=OSError,
            retry_delay=0.5,
            crash_retries=0,
            on_success="after",
            on_failure="after",
            every="5m",
        )

        registry.load()
        assert registry.get("it").job == JobOptions(2, OSError, 0.5, 0, "after", "after")
        assert registry.get("it").schedule == Every(300.0)

    def test_the_same_one_may_be_registered_again(self) -> None:
        first, second = (Pipeline("it", count, Stage(double, processes=2), retries=1) for _ in range(2))

        assert registry.get("it").pipeline is second is not first

    def test_a_module_may_be_changed_and_loaded_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given a module with a pipeline
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        code = (
            "from collections.abc import Iterator\n"
            "from service.tasks import Pipeline\n"
            "def count() -> Iterator[int]:\n    yield 1\n"
            "def double(number: int) -> int:\n    return 2 * number\n"
        )
        file = tmp_path / "everycore_changed.py"
        file.write_text(f"{code}Pipeline('it', count, double)\n")
        registry.load(["everycore_changed"])

        # When it is loaded again with another option
        file.write_text(f"{code}Pipeline('it', count, double, buffer=3)\n")
        importlib.reload(sys.modules["everycore_changed"])

        # Then the new one is there
        found = registry.get("it").pipeline
        assert found is not None
        assert found.buffer == 3

    @pytest.mark.parametrize(
        ("stage", "options"),
        [
            (Stage(double, processes=2), {}),
            (Stage(double, ordered=False), {}),
            (Stage(double, cpu=0), {}),
            (Stage(double, timeout=1), {}),
            (Stage(double, name="twice"), {}),
            (double, {"buffer": 2}),
            (double, {"timeout": 2}),
            (double, {"description": "Another one."}),
            (double, {"retries": 2}),
            (double, {"every": "5m"}),
        ],
    )
    def test_the_same_functions_with_other_options_cannot_have_its_name(
        self, stage: Any, options: dict[str, Any]
    ) -> None:
        first = Pipeline("it", count, double)

        with pytest.raises(ConfigurationError) as caught:
            Pipeline("it", count, stage, **options)

        said = "pipeline 'it': 'it' is already registered, of the same functions with other options"
        assert str(caught.value).endswith(said)
        assert registry.get("it").pipeline is first

    @pytest.mark.parametrize("others", [(double, total), (triple,)])
    def test_another_one_cannot_have_its_name(self, others: Any) -> None:
        Pipeline("it", count, double)

        with pytest.raises(ConfigurationError) as caught:
            Pipeline("it", count, *others)
        said = f"'it' is already registered by a pipeline of {__name__}.count, {__name__}.double"
        assert str(caught.value).endswith(f"pipeline 'it': {said}")

    def test_tasks_and_pipelines_share_their_names(self) -> None:
        Pipeline("it", count, double)
        with pytest.raises(ConfigurationError, match="'it' is already registered by a pipeline of"):
            task(name="it")(count)

        task(name="this")(count)
        with pytest.raises(
            ConfigurationError, match=r"pipeline 'this': 'this' is already registered by .*count"
        ):
            Pipeline("this", count, double)

    @pytest.mark.parametrize("option", ["on_success", "on_failure"])
    def test_a_follow_up_that_cannot_be_called_is_told_when_all_modules_are_there(self, option: str) -> None:
        options: dict[str, Any] = {option: "nobody"}
        Pipeline("it", count, double, **options)

        with pytest.raises(ConfigurationError) as caught:
            registry.load()
        place = f"{__file__}:{count.__code__.co_firstlineno}: "
        assert str(caught.value) == f"{place}pipeline 'it' has {option}='nobody', and there is no such task"

    def test_a_pipeline_may_follow(self) -> None:
        def states(job: FinishedJob) -> Iterator[str]:
            yield job.state

        Pipeline("following", states, untyped)
        Pipeline("it", count, double, on_success="following")

        registry.load()

    def test_the_projects_own_cost_a_pool_process_no_comparison_of_types(self) -> None:
        seen = "'beartype' in sys.modules"
        code = f"import sys; from service.tasks import registry; registry.load(); print({seen})"

        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert run.stdout.strip() == "False"


async def hurried(number: int) -> int:
    return number


async def hurried_producer() -> AsyncIterator[int]:
    yield 1


def nothing() -> int:
    return 0


def two(a: int, b: int) -> int:
    return a + b


def named(*, number: int) -> int:
    return number


def any_number(*numbers: int) -> int:
    return sum(numbers)


def lazily(number: int) -> Iterator[int]:
    return iter([number])


def yields_an_int(number: int) -> int:  # type: ignore[misc]
    yield number


def unknown_hint(number: "Unheard") -> int:  # type: ignore[name-defined] # noqa: F821
    return 0


def no_generator() -> list[int]:
    return [1]


def not_quite_a_generator() -> Iterator[int]:
    return iter([1])


def untyped_producer(n) -> Iterator[int]:
    yield n


def rude_producer(*, on_error: str) -> Iterator[str]:
    yield on_error


def variadic_producer(*numbers: int) -> Iterator[int]:
    yield from numbers


def text(number: int) -> str:
    return str(number)


class TestRefusals:
    """Each names the pipeline and what of it can't be."""

    @pytest.mark.parametrize(
        ("stage", "complaint"),
        [
            (5, "stage '5': a stage is a plain function, or a Stage of one"),
            (len, "stage 'len': a stage is a plain function"),
            (functools.partial(double, 1), "a stage is a plain function"),
            (Stage(Stage(double)), "a stage is a plain function"),  # type: ignore[arg-type]
            (Pipeline, "stage 'Pipeline': a stage is a plain function"),
            (hurried, "stage 'hurried': a stage computes, so it is a plain function, not an async one"),
            (lambda x: x, "stage '<lambda>': a lambda has no name; Stage(lambda …, name=…) gives it one"),
            (Stage(double, name="a b"), "stage 'a b': its name has other characters than A-Z a-z 0-9 _ . -"),
            (Stage(double, name=""), "stage '': its name has other characters than"),
            (Stage(double, name=5), "stage 5: its name has other characters than"),  # type: ignore[arg-type]
            (Stage(double, processes=0), "processes must be a whole number from 1 to 200, not 0"),
            (Stage(double, processes=-1), "processes must be a whole number from 1 to 200, not -1"),
            (Stage(double, processes=True), "processes must be a whole number from 1 to 200, not True"),
            (Stage(double, processes=201), "processes must be a whole number from 1 to 200, not 201"),
            (Stage(double, processes=1.0), "processes must be a whole number"),  # type: ignore[arg-type]
            (Stage(double, ordered="no"), "ordered must be True or False, not 'no'"),  # type: ignore[arg-type]
            (Stage(double, cpu=2), "stage 'double': cpu must be 0 or 1, not 2"),
            (Stage(double, cpu=True), "stage 'double': cpu must be 0 or 1, not True"),
            (Stage(double, cpu=0.0), "stage 'double': cpu must be 0 or 1, not 0.0"),  # type: ignore[arg-type]
            (Stage(double, timeout=0), "timeout must be more than 0 seconds, not 0"),
            (Stage(double, timeout=float("nan")), "timeout must be more than 0 seconds, not nan"),
            (Stage(double, timeout=True), "timeout must be more than 0 seconds, not True"),
            (
                Stage(double, timeout=float("inf")),
                "timeout must be at most 2592000 seconds, which is 30 days",
            ),
            (Stage(double, timeout=1e300), "timeout must be at most 2592000 seconds, which is 30 days"),
            (Stage(double, timeout=10**400), "timeout must be at most 2592000 seconds, which is 30 days"),
            (Stage(double, timeout="5"), "timeout must be more than 0 seconds, not '5'"),  # type: ignore[arg-type]
            (
                nothing,
                "stage 'nothing': a stage has one parameter without a default, for the item; here: none",
            ),
            (two, "stage 'two': a stage has one parameter without a default, for the item; here: a, b"),
            (any_number, "a stage has one parameter without a default, for the item; here: none"),
            (named, "stage 'named': the item is passed by position, and number is keyword-only"),
            (Stage(total, processes=3), "it takes all items as one iterator, so it has one process, not 3"),
            (lazily, "it returns an iterator, which can't travel; let it yield, or return a list"),
            (yields_an_int, "it yields, so its result has the type hint Iterator[…], not int"),
            (
                unknown_hint,
                "its type hints can't be used: name 'Unheard' is not defined; it has to stand above the",
            ),
        ],
    )
    def test_a_stage(self, stage: Any, complaint: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Pipeline("it", count, stage)

        assert "pipeline 'it': stage " in str(caught.value)
        assert complaint in str(caught.value)
        function = stage.work if isinstance(stage, Stage) else stage
        if hasattr(function, "__code__"):
            place = f"{__file__}:{function.__code__.co_firstlineno}: "
            assert str(caught.value).startswith(f"{place}pipeline 'it': stage ")
        assert "it" not in registry._tasks

    @pytest.mark.parametrize(
        ("producer", "complaint"),
        [
            ("count", "a producer is a plain function, or a Stage of one"),
            (no_generator, "a producer is a generator function, which yields its items"),
            (not_quite_a_generator, "a producer is a generator function, which yields its items"),
            (hurried_producer, "a producer computes, so it is a plain function, not an async one"),
            (untyped_producer, "parameter n has no type hint"),
            (variadic_producer, "*numbers can't be filled"),
            (rude_producer, "its parameter on_error needs another name, for the query has one of that name"),
            (Stage(count, processes=2), "a producer has one process, not 2; each would yield everything"),
            (Stage(count, timeout=-1), "timeout must be more than 0 seconds, not -1"),
            (Stage(count, name="<"), "its name has other characters than"),
        ],
    )
    def test_a_producer(self, producer: Any, complaint: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Pipeline("it", producer, double)

        assert "pipeline 'it': producer " in str(caught.value)
        assert complaint in str(caught.value)

    @pytest.mark.parametrize(
        ("stages", "complaint"),
        [
            ((), "at least one stage has to follow the producer"),
            ((double, double), "two steps are called 'double'; Stage(…, name=…) tells them apart"),
            ((Stage(double, name="count"),), "two steps are called 'count'"),
            ((keep, double), "stage 'keep': declared -> None it passes nothing on, and can only be the last"),
            ((text, double), "stage 'text' gives str, but stage 'double' takes int"),
            ((text, total), "stage 'text' gives str, but stage 'total' takes an iterator of int"),
        ],
    )
    def test_stages_that_do_not_go_together(self, stages: Any, complaint: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Pipeline("it", count, *stages)

        assert f": pipeline 'it': {complaint}" in str(caught.value)

    def test_a_stage_that_cannot_take_what_is_produced(self) -> None:
        def spell(word: str) -> list[str]:
            return list(word)

        with pytest.raises(ConfigurationError) as caught:
            Pipeline("it", count, spell)
        place = f"{__file__}:{spell.__code__.co_firstlineno}: "
        assert str(caught.value) == (
            f"{place}pipeline 'it': producer 'count' gives int, but stage 'spell' takes str"
        )

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"buffer": 0}, f"buffer must be a whole number from 1 to {MAX_BUFFER}, not 0"),
            ({"buffer": MAX_BUFFER + 1}, f"buffer must be a whole number from 1 to {MAX_BUFFER}, not 1001"),
            ({"buffer": 2.0}, "buffer must be a whole number from 1 to 1000, not 2.0"),
            ({"buffer": True}, "buffer must be a whole number from 1 to 1000, not True"),
            ({"timeout": 0}, "timeout must be more than 0 seconds, not 0"),
            ({"timeout": "5"}, "timeout must be more than 0 seconds, not '5'"),
            ({"timeout": 1e300}, "timeout must be at most 2592000 seconds, which is 30 days, not 1e+300"),
            ({"description": 5}, "description must be a text, not 5"),
            ({"media_type": "csv"}, "media_type must be one, such as 'text/csv', not 'csv'"),
            ({"media_type": "text/csv\r\nX: y"}, "media_type must be one"),
            ({"media_type": len}, "media_type must be one"),
            (
                {"media_type": "text/csv"},
                "with media_type= its last stage gives bytes, but 'double' gives int",
            ),
            ({"retries": -1}, "retries must be a whole number, 0 or more, not -1"),
            ({"retry_on": int}, "retry_on must be a class of exceptions or a tuple of them"),
            ({"on_success": count}, "on_success must be the name of a task, in quotes"),
            ({"every": "5 minutes"}, "every='5 minutes': '5 minutes' is no duration"),
            ({"every": "5m", "cron": "0 3 * * *"}, "it has both every= and cron="),
        ],
    )
    def test_an_option(self, options: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Pipeline("it", count, double, **options)

        place = f"{__file__}:{count.__code__.co_firstlineno}: "
        assert str(caught.value).startswith(f"{place}pipeline 'it': {complaint}")
        assert "it" not in registry._tasks

    def test_a_sink_has_no_media_type(self) -> None:
        with pytest.raises(ConfigurationError, match="its last stage gives bytes, but 'keep' gives nothing"):
            Pipeline("it", count, keep, media_type="text/csv")

    def test_a_stage_without_a_hint_may_give_bytes(self) -> None:
        assert Pipeline("it", count, untyped, media_type="text/csv").media_type == "text/csv"

    def test_a_periodic_pipeline_has_to_do_without_arguments(self) -> None:
        complaint = "pipeline 'it': a periodic task is called without arguments, and n has no default"
        with pytest.raises(ConfigurationError, match=complaint):
            Pipeline("it", count_to, double, every="5m")

    @pytest.mark.parametrize("name", ["a/b", "..", "a b", "naïve", "-x", "a\n", ""])
    def test_a_name_that_does_not_fit_into_a_url(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match="has other characters than"):
            Pipeline(name, count, double)

    def test_a_name_that_was_forgotten(self) -> None:
        with pytest.raises(
            ConfigurationError, match="a pipeline begins with its name, in quotes, not with <fun"
        ):
            Pipeline(count, double)  # type: ignore[arg-type]

    def test_a_mistake_in_a_module_has_file_and_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        code = (
            "from collections.abc import Iterator\n"
            "from service.tasks import Pipeline\n"
            "def count() -> Iterator[int]:\n    yield 1\n"
            "def spell(word: str) -> str:\n    return word\n"
            "Pipeline('spelled', count, spell)\n"
        )
        (tmp_path / "everycore_spelled.py").write_text(code)

        with pytest.raises(TaskModuleError) as caught:
            registry.load(["everycore_spelled"])

        assert (caught.value.file, caught.value.line) == (str(tmp_path / "everycore_spelled.py"), 7)
        assert "producer 'count' gives int, but stage 'spell' takes str" in caught.value.cause


class TestSize:
    def test_one_that_fits_is_fine(self) -> None:
        Pipeline("it", count, Stage(double, processes=3))

        check_size(4)

    def test_one_that_does_not_is_refused(self) -> None:
        Pipeline("it", count, Stage(double, processes=3))

        with pytest.raises(ConfigurationError) as caught:
            check_size(3)
        place = f"{__file__}:{count.__code__.co_firstlineno}: "
        assert str(caught.value) == (
            f"{place}pipeline 'it': its steps have 4 processes, and SERVICE_POOL_PROCESSES is 3"
        )

    def test_the_projects_own_keep_no_small_service_from_starting(self) -> None:
        assert any(entry.pipeline is not None for entry in registry.pipelines())

        check_size(1)
