"""Registering tasks, and what can't be one."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from service.errors import ConfigurationError, TaskModuleError, TaskNotFound
from service.tasks import registry, task


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from, as ``PYTHONPATH`` would name it."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's tasks reach another test."""
    ours = {name: t for name, t in registry._tasks.items() if t.function.__module__.startswith("service.")}
    monkeypatch.setattr(registry, "_tasks", ours)


def test_a_task_is_registered_and_stays_the_function_it_was() -> None:
    def double(n: int) -> int:
        """Twice n."""
        return 2 * n

    decorated = task(name="double", cpu=0, timeout=5)(double)

    assert decorated is double
    found = registry.get("double")
    assert (found.name, found.function, found.cpu, found.timeout) == ("double", double, 0, 5)
    assert found.description == "Twice n."
    assert found in registry.all_tasks()


def test_the_decorator_may_stand_without_parentheses() -> None:
    @task
    def triple(n: int) -> int:
        return 3 * n

    assert registry.get("triple").function is triple


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(TaskNotFound, match="there is no task 'nothing'"):
        registry.get("nothing")


def test_built_in_tasks_load() -> None:
    registry.load()

    assert {"process_data", "sum_of_squares", "thumbnail"} <= {t.name for t in registry.all_tasks()}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"cpu": 2}, "cpu must be 0 or 1"),
        ({"cpu": True}, "cpu must be 0 or 1, not True"),
        ({"cpu": 0.0}, "cpu must be 0 or 1, not 0.0"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"timeout": float("nan")}, "timeout must be more than 0"),
        ({"timeout": "5"}, "timeout must be more than 0 seconds, not '5'"),
        ({"timeout": float("inf")}, "timeout must be at most 2592000 seconds, which is 30 days, not inf"),
        ({"timeout": 2_592_001}, "timeout must be at most 2592000 seconds"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        task(**options)


def test_a_call_may_take_thirty_days() -> None:
    task(name="patient", timeout=2_592_000)(another)

    assert registry.get("patient").timeout == 2_592_000


def variadic(*numbers: int) -> int:
    return sum(numbers)


def open_ended(**numbers: int) -> int:
    return sum(numbers.values())


def positional(n: int, /) -> int:
    return n


def untyped(n) -> int:
    return int(n)


async def hurried(n: int) -> int:
    return n


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (variadic, r"\*numbers can't be filled"),
        (open_ended, r"\*\*numbers can't be checked"),
        (positional, "n is positional-only"),
        (untyped, "parameter n has no type hint"),
        (hurried, "not an async one"),
        (functools.partial(positional, 1), "a task is a plain function"),
        (len, "a task is a plain function"),
    ],
)
def test_a_function_that_cannot_be_served_is_refused_with_its_name_and_place(
    function: Any, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        task(name="it")(function)

    if hasattr(function, "__code__"):
        assert str(caught.value).startswith(f"{__file__}:{function.__code__.co_firstlineno}: ")
        assert function.__name__ in str(caught.value)


@pytest.mark.parametrize("name", ["a/b", "..", "a b", "naïve", "a\0", "-x", "<lambda>", "a\n"])
def test_a_name_that_does_not_fit_into_a_url_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="its name"):
        task(name=name)(lambda: 1)


def test_two_functions_cannot_have_one_name() -> None:
    task(name="taken")(variadic_free)

    with pytest.raises(ConfigurationError, match=r"'taken' is already registered by .*variadic_free"):
        task(name="taken")(another)


def variadic_free(n: int) -> int:
    return n


def another(n: int) -> int:
    return n


def test_the_same_function_may_be_registered_again() -> None:
    """A module that is loaded twice is no mistake."""
    task(name="again")(another)
    task(name="again")(another)


def test_a_users_module_is_served_without_touching_the_project(modules: Path) -> None:
    code = "from service.tasks import task\n@task()\ndef theirs(n: int) -> int:\n    return n\n"
    (modules / "everycore_theirs.py").write_text(code)

    registry.load(["everycore_theirs"])

    assert registry.get("theirs").function(n=3) == 3


@pytest.mark.parametrize(
    ("code", "line", "cause"),
    [
        ("x = 1\ny = 1 / 0\n", 2, "ZeroDivisionError"),
        ("def broken(:\n", 1, "SyntaxError"),
        ("\n\nimport there_is_no_such_module\n", 3, "ModuleNotFoundError"),
        ("import sys\nsys.exit(1)\n", 2, "SystemExit"),
        ("from service.tasks import task\n@task()\ndef f(*n: int) -> int: ...\n", 2, "can't be filled"),
        ("from service.tasks import task\n@task(cpu=7)\ndef f(n: int) -> int: ...\n", 2, "cpu must be"),
    ],
)
def test_an_error_in_a_users_module_names_file_and_line(
    modules: Path, code: str, line: int, cause: str
) -> None:
    module = f"everycore_broken_{abs(hash(code))}"
    (modules / f"{module}.py").write_text(code)

    with pytest.raises(TaskModuleError) as caught:
        registry.load([module])

    assert (caught.value.file, caught.value.line) == (str(modules / f"{module}.py"), line)
    assert cause in caught.value.cause


def test_a_module_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigurationError, match="task module 'everycore_nowhere' can't be imported"):
        registry.load(["everycore_nowhere"])


def test_a_media_type_is_fixed_or_found_from_the_arguments() -> None:
    fixed = registry.Task("a", another, 1, None, "text/csv")
    found = registry.Task("b", another, 1, None, lambda n: f"text/{n}")

    assert fixed.media_type_of({"n": 1}) == "text/csv"
    assert found.media_type_of({"n": 1}) == "text/1"
