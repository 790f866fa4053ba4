"""``deploy/kubernetes``: fields that Kubernetes knows, settings that exist, times that fit, few rights."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service import environment
from service.jobs.runner import LAST_CHANCE
from service.serve import MARGIN
from service.settings import Settings
from tests.unit.pages import REFERENCE, ROOT, rows

FOLDER = ROOT / "deploy" / "kubernetes"
GUIDE = ROOT / "docs" / "how-to" / "deploy-on-kubernetes.md"
KUBERNETES = "1.34"

#: For kustomize, and for the Helm chart of another project.
NOT_OF_KUBERNETES = {"kustomization.yaml", "prometheus-adapter.yaml"}

DOCUMENTS: list[tuple[str, dict[str, Any]]] = [
    (file.name, document)
    for file in sorted(FOLDER.glob("*.yaml"))
    if file.name not in NOT_OF_KUBERNETES
    for document in yaml.safe_load_all(file.read_text())
]
IDS = [f"{name}-{document['kind']}-{document['metadata']['name']}" for name, document in DOCUMENTS]
DEPLOYMENTS = {
    document["metadata"]["name"]: document["spec"]["template"]
    for _, document in DOCUMENTS
    if document["kind"] == "Deployment"
}
GIVEN = dict(line.split("=", 1) for line in (FOLDER / "settings.env").read_text().splitlines())

each_deployment = pytest.mark.parametrize("name", DEPLOYMENTS)


def container(name: str) -> dict[str, Any]:
    (found,) = DEPLOYMENTS[name]["spec"]["containers"]
    return dict(found)


def variables(name: str) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(name)["env"]}


def known_variables() -> set[str]:
    fields = Settings.model_fields.items()
    files = {
        f"{environment.variable_of(name)}_FILE" for name, field in fields if environment.is_secret(field)
    }
    return files | {environment.variable_of(name) for name, _ in fields}


def metrics() -> set[str]:
    """Return every metric's name; another test sees to it that the page has those of the code."""
    return {row[0] for row in rows(REFERENCE / "metrics.md") if row[0].startswith("everycore_")}


def settings(**more: Any) -> Settings:
    fields = {name.removeprefix(environment.PREFIX).lower(): value for name, value in GIVEN.items()}
    return Settings(_env_file=None, **{**fields, **more})


def of_image(variable: str) -> str:
    """Return what the image sets a variable to."""
    found = re.search(rf"{variable}=(\S+)", (ROOT / "Dockerfile").read_text())
    assert found
    return found[1]


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("document", [document for _, document in DOCUMENTS], ids=IDS)
def test_kubernetes_knows_every_field(document):
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_a_field_that_there_is_not_is_found():
    document = next(document for _, document in DOCUMENTS if document["kind"] == "Service")

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**document, "spek": {}}, KUBERNETES, strict=True)


def test_every_file_is_applied_or_named_as_a_choice():
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    files = {file.name for file in FOLDER.iterdir()}

    applied = {*kustomization["resources"], *kustomization["configMapGenerator"][0]["envs"]}

    assert files - applied == {"kustomization.yaml", "prometheus-adapter.yaml", "scaling-by-queue.yaml"}
    assert applied < files
    # Otherwise both would be there, and quarrel.
    names = lambda file: [d["metadata"]["name"] for name, d in DOCUMENTS if name == file]  # noqa: E731
    assert names("scaling.yaml") == names("scaling-by-queue.yaml")


def test_every_setting_that_is_named_exists():
    named = set(GIVEN)
    for name in DEPLOYMENTS:
        named |= set(variables(name))
    for page in (*FOLDER.iterdir(), GUIDE):
        named |= set(re.findall(r"\bSERVICE_[A-Z_]+[A-Z]\b", page.read_text()))

    assert named <= known_variables()
    assert settings().log_format == "json"


def test_every_metric_that_is_named_exists():
    adapter = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]
    made = {rule["name"]["as"] for rule in adapter["external"]}
    queries = [rule["seriesQuery"] for kind in ("custom", "external") for rule in adapter[kind]]
    custom = {query.partition("{")[0] for query in queries[: len(adapter["custom"])]}

    assert {query.partition("{")[0] for query in queries} <= metrics()
    asked = re.findall(r"metric: \{name: (\w+)\}", (FOLDER / "scaling-by-queue.yaml").read_text())
    assert set(asked) == custom | made


@each_deployment
def test_each_may_do_no_more_than_it_needs(name):
    pod, security = DEPLOYMENTS[name]["spec"], container(name)["securityContext"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    # The user that the image is made for owns what is mounted.
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user
    assert [pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")] == [
        int(user[1]),
        int(user[2]),
        int(user[2]),
    ]


@each_deployment
def test_each_is_given_its_secrets_as_files(name):
    mounts = {mount["name"]: mount["mountPath"] for mount in container(name)["volumeMounts"]}
    secrets = {key: value for key, value in variables(name).items() if key.endswith("_FILE")}

    assert set(secrets) == {"SERVICE_DATABASE_URL_FILE", "SERVICE_API_KEYS_FILE"}
    assert all(path.startswith(f"{mounts['secrets']}/") for path in secrets.values())
    # The guide tells how to make each.
    assert all(f"--from-file={path.rpartition('/')[2]}=" in GUIDE.read_text() for path in secrets.values())
    assert variables(name)["SERVICE_DATABASE_URL"] == ""
    assert of_image("SERVICE_RUNTIME_DIR") == mounts["run"]


@each_deployment
def test_its_cpus_and_memory_are_limited(name):
    # Without a limit it would count all CPUs of the machine as its own.
    assert {"cpu", "memory"} == set(container(name)["resources"]["limits"])


def test_a_runner_uses_all_of_its_cpus():
    assert variables("runner")["SERVICE_JOB_SLOTS"] == "all"


def test_requests_can_end_before_the_pod_is_killed():
    pod = DEPLOYMENTS["web"]["spec"]
    pause = container("web")["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pod["terminationGracePeriodSeconds"] >= pause + settings().graceful_timeout + MARGIN


def test_jobs_can_be_given_back_before_the_pod_is_killed():
    pod = DEPLOYMENTS["runner"]["spec"]

    assert pod["terminationGracePeriodSeconds"] >= settings().job_grace + LAST_CHANCE + MARGIN


@each_deployment
def test_probes_ask_for_what_is_there(name, monkeypatch):
    found = container(name)
    (port,) = found["ports"]
    paths = {kind: found[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}

    assert all(found[f"{kind}Probe"]["httpGet"]["port"] == port["name"] for kind in paths)
    assert port["containerPort"] == int(DEPLOYMENTS[name]["metadata"]["annotations"]["prometheus.io/port"])
    if name == "web":
        assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
        bind = of_image("SERVICE_BIND")
    else:
        assert set(paths.values()) == {"/healthz"}
        bind = variables(name)["SERVICE_RUNNER_BIND"]
    assert bind == f"0.0.0.0:{port['containerPort']}"


def test_the_guide_names_the_files():
    linked = set(re.findall(r"deploy/kubernetes/([\w.-]+)", GUIDE.read_text()))

    assert linked >= {file.name for file in FOLDER.iterdir()} - {"namespace.yaml"}
