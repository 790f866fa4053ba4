"""What ``@task`` says of jobs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from service.errors import ConfigurationError
from service.tasks import FinishedJob, contract, registry, strict_json, task
from service.tasks.options import JobOptions
from service.tasks.periods import Cron, Every


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's tasks reach another test."""
    registry.load()
    ours = {name: t for name, t in registry._tasks.items() if t.function.__module__.startswith("service.")}
    monkeypatch.setattr(registry, "_tasks", ours)


def refresh(rows: int = 10) -> int:
    return rows


def count(rows: int) -> int:
    return rows


def notify(job: FinishedJob, by: str = "mail") -> str:
    return f"{job.task} {job.state}, by {by}"


class LostError(ConnectionError):
    """One of the user's own."""


def options_of(**options: Any) -> JobOptions:
    task(name="it", **options)(refresh)
    return registry.get("it").job


class TestRetries:
    def test_by_default_an_error_is_final_and_a_crash_is_not(self) -> None:
        options = options_of()

        assert (options.retries, options.retry_on, options.retry_delay) == (0, Exception, 1.0)
        assert options.crash_retries == 3

    def test_each_option_is_kept(self) -> None:
        options = options_of(retries=4, retry_on=(OSError, KeyError), retry_delay=0.5, crash_retries=0)

        assert options == JobOptions(4, (OSError, KeyError), 0.5, 0)

    @pytest.mark.parametrize(
        ("retry_on", "names"),
        [
            (Exception, {"builtins.Exception"}),
            ((OSError, KeyError), {"builtins.OSError", "builtins.KeyError"}),
            (LostError, {f"{__name__}.LostError"}),
            ((), set()),
        ],
    )
    def test_errors_are_known_by_their_names(self, retry_on: Any, names: set[str]) -> None:
        assert options_of(retry_on=retry_on).retry_names == names

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"retries": -1}, "retries must be a whole number, 0 or more, not -1"),
            ({"retries": 1.5}, "retries must be a whole number, 0 or more, not 1.5"),
            ({"retries": True}, "retries must be a whole number, 0 or more, not True"),
            ({"crash_retries": None}, "crash_retries must be a whole number, 0 or more, not None"),
            (
                {"retry_on": "ValueError"},
                "retry_on must be a class of exceptions or a tuple of them, not 'Va",
            ),
            ({"retry_on": (ValueError, int)}, "retry_on must be a class of exceptions or a tuple of them"),
            ({"retry_on": ValueError()}, "retry_on must be a class of exceptions or a tuple of them"),
            ({"retry_delay": -0.1}, "retry_delay must be from 0 to 300 seconds, not -0.1"),
            ({"retry_delay": 301}, "retry_delay must be from 0 to 300 seconds, not 301"),
            ({"retry_delay": math.nan}, "retry_delay must be from 0 to 300 seconds, not nan"),
            ({"retry_delay": "1s"}, "retry_delay must be from 0 to 300 seconds, not '1s'"),
            ({"on_success": refresh}, "on_success must be the name of a task, in quotes, not <function"),
            ({"on_failure": 5}, "on_failure must be the name of a task, in quotes, not 5"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, options: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            task(**options)

        assert str(caught.value).startswith(complaint)


class TestSchedules:
    def test_a_task_is_due_by_itself_only_if_it_says_so(self) -> None:
        task()(refresh)

        assert registry.get("refresh").schedule is None

    @pytest.mark.parametrize(
        ("options", "schedule"),
        [
            ({"every": "5m"}, Every(300.0)),
            ({"every": 90}, Every(90.0)),
            ({"cron": "0 3 * * MON"}, Cron("0 3 * * MON")),
        ],
    )
    def test_it_is_due_at_intervals_or_by_the_calendar(
        self, options: dict[str, Any], schedule: Every | Cron
    ) -> None:
        task(**options)(refresh)

        assert registry.get("refresh").schedule == schedule

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"every": "5 minutes"}, "every='5 minutes': '5 minutes' is no duration; write 30s"),
            ({"every": 0.5}, "every=0.5: a period must be at least 1 second"),
            ({"every": ["5m"]}, "every="),
            ({"cron": "61 * * * *"}, "cron='61 * * * *': '61' in '61 * * * *' is no minute"),
            ({"cron": "* * * *"}, "cron='* * * *': a cron expression has five fields"),
            ({"cron": 5}, "cron=5: "),
            ({"every": "5m", "cron": "0 3 * * *"}, "it has both every= and cron="),
        ],
    )
    def test_a_time_that_is_none_is_refused_with_the_functions_name(
        self, options: dict[str, Any], complaint: str
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            task(**options)(refresh)

        place = f"{__file__}:{refresh.__code__.co_firstlineno}: "
        assert str(caught.value).startswith(f"{place}refresh can't be a task: {complaint}")

    def test_a_periodic_task_has_to_do_without_arguments(self) -> None:
        with pytest.raises(ConfigurationError, match=r"count can't be a task: .* rows has no"):
            task(every="5m")(count)


class TestFollowUps:
    @pytest.fixture(autouse=True)
    def _tasks(self) -> None:
        task()(notify)
        task()(count)

    def test_both_may_be_named(self) -> None:
        options = options_of(on_success="notify", on_failure="notify")

        registry.load()
        assert options.follow_ups == {"on_success": "notify", "on_failure": "notify"}

    @pytest.mark.parametrize("option", ["on_success", "on_failure"])
    @pytest.mark.parametrize(
        ("name", "complaint"),
        [
            ("nobody", "'nobody', and there is no such task"),
            ("count", "'count', and that task has no parameter job: FinishedJob"),
            ("notify_by", "'notify_by', which is called with job alone, and by has no default"),
        ],
    )
    def test_one_that_cannot_be_called_is_told_when_all_modules_are_there(
        self, option: str, name: str, complaint: str
    ) -> None:
        def notify_by(job: FinishedJob, by: str) -> None: ...

        task()(notify_by)
        options_of(**{option: name})

        with pytest.raises(ConfigurationError) as caught:
            registry.load()
        place = f"{__file__}:{refresh.__code__.co_firstlineno}: "
        assert str(caught.value) == f"{place}refresh has {option}={complaint}"

    def test_one_may_stand_in_a_later_module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        code = (
            "from service.tasks import FinishedJob, task\n@task\ndef later(job: FinishedJob) -> None: ...\n"
        )
        (tmp_path / "everycore_later.py").write_text(code)
        options_of(on_success="later")

        registry.load(["everycore_later"])

        assert registry.get("later").function.__module__ == "everycore_later"

    @pytest.mark.parametrize(
        "ended",
        [
            {"state": "succeeded", "result": {"a": [1, None]}, "error": None},
            {"state": "failed", "result": None, "error": {"type": "/problems/task-failed", "status": 500}},
        ],
    )
    def test_it_takes_the_finished_job_from_json(self, ended: dict[str, Any]) -> None:
        given: dict[str, Any] = {"id": "0199", "task": "it", "attempts": 2} | ended
        terms = contract.build(registry.get("notify"))

        args = terms.validate_json(strict_json.dumps({"job": given}))

        assert args == {"job": FinishedJob(**given)}
        assert notify(**args) == f"it {ended['state']}, by mail"
