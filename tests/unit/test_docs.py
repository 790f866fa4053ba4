"""The documentation is complete and true, as far as a program can tell."""

from __future__ import annotations

import inspect
import os
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import service.tasks
from service import environment, errors
from service.__main__ import main
from service.api.problems import TABLE
from service.cpus import available_cpus
from service.settings import Settings
from tests.unit.pages import PAGES, README, REFERENCE, ROOT, code_headings, headings, rows, words_of

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))


class TestSettings:
    """The tables of settings are those of ``Settings``."""

    @pytest.fixture(autouse=True)
    def _no_env_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)

    @pytest.fixture(params=[1, 3, 6, 64])
    def cpus(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
        """Pretend to be on another machine; a quota of this one still counts."""
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(request.param)))
        return available_cpus()

    @pytest.fixture(params=[README, REFERENCE / "settings.md"], ids=lambda page: page.name)
    def table(self, request: pytest.FixtureRequest) -> dict[str, str]:
        """Return the documented defaults by variable."""
        return {row[0]: row[1] for row in rows(request.param) if row[0].startswith(environment.PREFIX)}

    def test_each_is_documented_and_no_other(self, table: dict[str, str]) -> None:
        assert sorted(table) == sorted(map(environment.variable_of, Settings.model_fields))

    @pytest.mark.parametrize("name", Settings.model_fields)
    def test_its_default_is_the_documented_one(self, table: dict[str, str], cpus: int, name: str) -> None:
        documented = table[environment.variable_of(name)]

        assert self.value(name, documented, cpus) == getattr(Settings(), name)

    @pytest.mark.parametrize("longest", [10.0, 100.0])
    @pytest.mark.parametrize("name", ["request_timeout", "graceful_timeout"])
    def test_a_default_that_depends_on_another_does_so(
        self, table: dict[str, str], name: str, longest: float
    ) -> None:
        documented = table[environment.variable_of(name)]
        settings = Settings(request_timeout_max=longest)

        assert self.formula(documented, SERVICE_REQUEST_TIMEOUT_MAX=longest) == getattr(settings, name)

    def test_each_has_a_paragraph(self) -> None:
        paragraphs = re.findall(r"^\*\*`(\w+)`\*\*: ", words_of(REFERENCE / "settings.md"), re.MULTILINE)

        assert sorted(paragraphs) == sorted(map(environment.variable_of, Settings.model_fields))

    def value(self, name: str, documented: str, cpus: int) -> Any:
        """Return what a documented default stands for: nothing, a formula, or text as in the environment."""
        if documented == "none":
            return () if name in ("task_modules", "webhook_allow") else None
        if re.search("CPUs|SERVICE_", documented):
            return self.formula(
                documented, CPUs=cpus, SERVICE_CPU_SLOTS=cpus, SERVICE_REQUEST_TIMEOUT_MAX=300
            )
        given: dict[str, Any] = {name: documented}
        return getattr(Settings(**given), name)

    def formula(self, text: str, **values: float) -> float:
        return float(eval(text, {"min": min, "max": max}, values))


def test_each_command_has_a_heading_and_each_heading_a_command() -> None:
    commands = {f"python -m service {name}" for name in main.commands}

    assert set(code_headings(REFERENCE / "command-line.md")) == commands


class TestPython:
    """``python.md`` has what ``service.tasks`` gives."""

    PAGE = REFERENCE / "python.md"

    def test_each_public_name_has_a_heading_and_each_heading_a_name(self) -> None:
        assert sorted(code_headings(self.PAGE)) == sorted(service.tasks.__all__)

    @pytest.mark.parametrize(
        "function",
        [
            *(service.tasks.task, service.tasks.attempt, service.tasks.log, service.tasks.progress),
            *(service.tasks.Pipeline, service.tasks.Stage),
        ],
    )
    def test_signatures_are_the_real_ones(self, function: Callable[..., Any]) -> None:
        signature = inspect.signature(function)
        plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        real = str(signature.replace(parameters=plain, return_annotation=signature.empty))
        real = re.sub(r"<class '(\w+)'>", r"\1", real)

        assert f"{function.__name__}{real}".replace("'", '"') in self.PAGE.read_text()

    @pytest.mark.parametrize(
        "function",
        [service.tasks.task, service.tasks.Pipeline, service.tasks.Stage],
        ids=lambda f: f.__name__,
    )
    def test_each_argument_is_in_the_table(self, function: Callable[..., Any]) -> None:
        documented = {row[0] for row in rows(self.PAGE)}

        assert set(inspect.signature(function).parameters) <= documented


class TestErrors:
    """``errors.md`` has the tree of errors."""

    PAGE = REFERENCE / "errors.md"

    @pytest.mark.parametrize(
        "error", [error for _, error in inspect.getmembers(errors, inspect.isclass)], ids=lambda e: e.__name__
    )
    def test_each_class_is_there(self, error: type[Exception]) -> None:
        assert re.search(rf"^[│├└─ ]*{error.__name__}\b", self.PAGE.read_text(), re.MULTILINE)

    def test_statuses_are_those_of_the_table(self) -> None:
        for name, _, over_http in (row for row in rows(self.PAGE) if len(row) == 3):
            kind = TABLE.get(getattr(errors, name, Exception))
            if name != "class" and kind is not TABLE[Exception] and kind is not None:
                assert over_http.startswith(f"{kind.status} `{kind.slug}`"), name


class TestReadme:
    def test_the_first_run_is_within_25_lines(self) -> None:
        beginning = "\n".join(README.read_text().splitlines()[:25])

        assert all(command in beginning for command in ("git clone ", "make serve", "curl "))

    @pytest.mark.parametrize(
        "path",
        [
            "/concurrent_cpu_tasks/",
            "/parallel_data_processing/",
            "/v1/tasks/sum_of_squares",
            "/v1/tasks/thumbnail",
        ],
    )
    def test_it_calls_each_sample_and_tasks(self, path: str) -> None:
        assert re.search(rf"^curl http://127.0.0.1:8000{path}", README.read_text(), re.MULTILINE)


class TestEveryPage:
    @each_page
    def test_its_links_lead_somewhere(self, page: Path) -> None:
        for target in re.findall(r"\]\(([^)\s]+)\)", words_of(page)):
            if re.match("https?:", target):
                continue
            path, _, anchor = target.partition("#")
            aim = (page.parent / path).resolve() if path else page
            assert aim.exists(), f"{page.name}: {target}"
            assert aim.is_relative_to(ROOT), f"{page.name}: {target}"
            anchors = [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings(aim) if anchor]
            assert not anchor or anchor in anchors, f"{page.name}: {target}"

    @each_page
    def test_the_settings_it_names_exist(self, page: Path) -> None:
        known = set(map(environment.variable_of, Settings.model_fields))
        known |= {
            f"{environment.variable_of(name)}_FILE"
            for name, field in Settings.model_fields.items()
            if environment.is_secret(field)
        }

        assert set(re.findall(r"\bSERVICE_[A-Z_]*[A-Z]\b", page.read_text())) <= known

    @each_page
    def test_the_make_targets_it_names_exist(self, page: Path) -> None:
        named = re.findall(r"(?:`|^ *|&& )make ([a-z0-9-]+)(?![\w./])", page.read_text(), re.MULTILINE)

        assert set(named) <= make_targets()

    @each_page
    def test_the_problems_it_names_exist(self, page: Path) -> None:
        named = re.findall(r"/problems/([a-z-]+)", page.read_text())

        assert set(named) <= {kind.slug for kind in TABLE.values()}

    def test_each_is_in_the_index(self) -> None:
        index = ROOT / "docs" / "README.md"
        linked = {(index.parent / path).resolve() for path in re.findall(r"\]\((.+?)\)", index.read_text())}

        assert linked == {page for page in PAGES if page.parent.parent == index.parent}


def test_the_picture_is_what_its_script_draws() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "architecture.py"))["picture"]()

    assert (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8") == drawn
