"""Rules, alerts, dashboard and run-book fit together, and name only metrics and labels that the code has."""

import re
import runpy

import click
import pytest

from service.__main__ import main
from service.app import create_app
from service.engine.fake import FakeEngine
from service.settings import Settings
from tests.observability import (
    GRAFANA,
    OPERATE,
    PROMETHEUS,
    RUN_BOOK,
    Expression,
    Families,
    alerts,
    dashboard,
    documented,
    families_of,
    kebab,
    load,
    panels,
    plotted,
    recorded,
    rules,
)
from tests.unit.pages import rows

#: Labels that Prometheus gives to whatever it reads.
OF_TARGETS = {"job", "instance"}
OF_PROMETHEUS = {"up": OF_TARGETS, "ALERTS": {"alertname", "alertstate", "severity"} | OF_TARGETS}

PAGES = sorted(RUN_BOOK.glob("everycore-*.md"))
EXPRESSIONS = [*recorded().values(), *alerts(), *plotted(), *documented()]
each_expression = pytest.mark.parametrize(
    "expression", EXPRESSIONS, ids=[f"{found.where}-{number}" for number, found in enumerate(EXPRESSIONS)]
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Families:
    """What the code defines."""
    database = tmp_path_factory.mktemp("store") / "jobs.db"
    settings = Settings(log_format="json", database_url=f"sqlite:///{database}", runtime_dir=database.parent)
    app = create_app(settings, engine=FakeEngine())
    return families_of(app.extensions["everycore.collectors"])


@pytest.fixture(scope="module")
def series(families: Families) -> dict[str, frozenset[str]]:
    """The labels of each series that Prometheus knows: of the code's, of its own and of recorded ones."""
    found = {name: frozenset(labels) for name, labels in OF_PROMETHEUS.items()}
    for name, (kind, own) in families.items():
        labels = own | OF_TARGETS
        if kind == "histogram":
            found |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            found[name] = labels
    for name, expression in recorded().items():
        found[name] = frozenset(expression.grouping - {"le"})
    return found


def groups() -> list[str]:
    """Return the names of all groups of rules, in the order in which Prometheus reads them."""
    return [
        group["name"] for file in ("rules.yml", "alerts.yml") for group in load(PROMETHEUS / file)["groups"]
    ]


class TestExpressions:
    def test_they_are_read_as_they_are_meant(self) -> None:
        text = 'sum by (task, le) (rate(a_total{job=~"x(y", status!="5"}[5m])) / ignoring (z) b:c:d > .1e3'

        read = Expression("here", text)

        assert read.metrics == {"a_total", "b:c:d"}
        assert read.selected == {("a_total", "job"), ("a_total", "status")}
        assert read.grouping == {"task", "le", "z"}

    @each_expression
    def test_its_metrics_exist(self, expression: Expression, series: dict[str, set[str]]) -> None:
        assert expression.metrics
        assert expression.metrics <= series.keys()

    @each_expression
    def test_its_labels_exist(self, expression: Expression, series: dict[str, set[str]]) -> None:
        assert not {(name, label) for name, label in expression.selected if label not in series[name]}
        assert expression.grouping <= frozenset().union(*(series[name] for name in expression.metrics))


class TestRules:
    def test_names_say_level_metric_and_operation(self) -> None:
        for name in recorded():
            assert re.fullmatch(r"[a-z]+:everycore_[a-z_]+:[a-z0-9_]+", name)

    def test_no_name_is_given_twice(self) -> None:
        assert len(recorded()) == len(rules("rules.yml"))
        assert len(groups()) == len(set(groups()))

    def test_each_is_used(self) -> None:
        used = set.union(*(found.metrics for found in (*alerts(), *plotted(), *recorded().values())))

        assert recorded().keys() <= used

    def test_each_metric_is_looked_at(self, families: Families) -> None:
        used = set.union(*(found.metrics for found in (*alerts(), *plotted(), *recorded().values())))
        used = {re.sub("_(bucket|count|sum)$", "", name) for name in used}

        assert families.keys() <= used


class TestAlerts:
    ALERTS = rules("alerts.yml")

    @pytest.mark.parametrize(
        "alert", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}"
    )
    def test_it_says_what_is_so_and_where_to_read_on(self, alert, series: dict[str, set[str]]) -> None:
        words, labels = alert["annotations"], Expression("", alert["expr"])
        known = labels.grouping | frozenset().union(*(series[name] for name in labels.metrics)) - {"le"}

        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert re.fullmatch(r"\d+m", alert["for"])
        assert set(words) == {"summary", "description", "runbook_url"}
        assert words["runbook_url"] == f"docs/run-book/{kebab(alert['alert'])}.md"
        assert set(re.findall(r"\$labels\.(\w+)", words["description"])) <= known

    def test_each_is_shown_to_fire(self) -> None:
        fired = set()
        for path in (PROMETHEUS / "tests").glob("*.yml"):
            for test in load(path)["tests"]:
                expected = test.get("alert_rule_test", ())
                fired |= {
                    (case["alertname"], alert["exp_labels"]["severity"])
                    for case in expected
                    for alert in case["exp_alerts"]
                }

        assert fired == {(alert["alert"], alert["labels"]["severity"]) for alert in self.ALERTS}

    def test_a_test_of_the_rules_reads_all_groups_in_order(self) -> None:
        for path in (PROMETHEUS / "tests").glob("*.yml"):
            order = load(path)["group_eval_order"]
            assert order == [name for name in groups() if name in order], path.name
            assert path.name == "rules.yml" or order == groups(), path.name

    def test_prometheus_reads_the_files_and_names_its_jobs_as_they_do(self) -> None:
        config = load(PROMETHEUS / "prometheus.yml")
        jobs = {job["job_name"] for job in config["scrape_configs"]}
        named = {name for found in EXPRESSIONS for name in re.findall(r'job="([^"]+)"', found.text)}

        assert config["rule_files"] == ["rules.yml", "alerts.yml"]
        assert named <= jobs
        assert {"everycore-web", "everycore-runner"} <= jobs


class TestRunBook:
    def test_each_alert_has_a_page_and_each_page_an_alert(self) -> None:
        assert {page.stem for page in PAGES} == {kebab(found.where) for found in alerts()}

    def test_the_index_has_all_of_them_with_their_severity(self) -> None:
        listed = {
            (found[1], found[2], row[1])
            for row in rows(RUN_BOOK / "README.md")
            if (found := re.fullmatch(r"\[(\w+)\]\((.+)\)", row[0]))
        }
        severities: dict[str, list[str]] = {}
        for rule in rules("alerts.yml"):
            severities.setdefault(rule["alert"], []).append(rule["labels"]["severity"])

        assert listed == {
            (name, f"{kebab(name)}.md", ", ".join(sorted(found))) for name, found in severities.items()
        }

    @each_page
    def test_it_has_what_one_needs_at_night(self, page) -> None:
        text = page.read_text("utf-8")
        name = text.partition("\n")[0].removeprefix("# ")

        assert kebab(name) == page.stem
        parts = ["**What it means.**", "**What users notice.**"]
        parts += ["## Look first", "## Likely causes", "## When to stop looking"]
        places = [text.find(part) for part in parts]
        assert -1 not in places
        assert places == sorted(places)
        assert "```promql\n" in text

    @pytest.mark.parametrize("page", [*PAGES, RUN_BOOK / "README.md", OPERATE], ids=lambda page: page.stem)
    def test_the_commands_it_names_exist(self, page) -> None:
        for line in re.findall(r"python -m service ([^`\n]+)", page.read_text("utf-8")):
            words = re.split(r"[\s|;>)]", line.partition(" | ")[0])
            command: click.Command = main
            options = {"--help"}
            while isinstance(command, click.Group) and words and re.fullmatch("[a-z]+", words[0]):
                command = command.commands[words.pop(0)]
                options |= {option for param in command.params for option in param.opts}
            assert {word for word in words if word.startswith("--")} <= options, line


class TestDashboard:
    def test_the_file_is_what_its_script_makes(self) -> None:
        made = runpy.run_path(str(GRAFANA / "dashboard.py"))["text"]()

        assert (GRAFANA / "dashboards" / "everycore.json").read_text("utf-8") == made

    @pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
    def test_its_legends_name_labels_and_its_links_pages(self, panel, series: dict[str, set[str]]) -> None:
        for target in panel["targets"]:
            known = frozenset().union(*(series[name] for name in Expression("", target["expr"]).metrics))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known
        for link in panel.get("links", ()):
            assert (RUN_BOOK / link["url"].removeprefix("${run_book}/")).is_file()

    def test_no_panel_covers_another(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in dashboard()["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24, panel["title"]
            taken |= cells

    def test_ids_and_variables_are_what_panels_refer_to(self) -> None:
        ids = [panel["id"] for panel in dashboard()["panels"]]
        known = {variable["name"] for variable in dashboard()["templating"]["list"]} | {"__rate_interval"}
        named = {name for panel in panels() for name in re.findall(r"\$\{?(\w+)", str(panel))}

        assert len(ids) == len(set(ids))
        assert named <= known

    def test_grafana_finds_source_and_dashboard(self) -> None:
        (source,) = load(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
        (provider,) = load(GRAFANA / "provisioning" / "dashboards" / "everycore.yml")["providers"]
        interval = load(PROMETHEUS / "prometheus.yml")["global"]["scrape_interval"]

        assert (source["type"], source["jsonData"]["timeInterval"]) == ("prometheus", interval)
        assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
