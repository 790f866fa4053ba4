"""Settings: where they come from, what is allowed, and how a mistake is worded."""

import re
from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from service import environment
from service.errors import ConfigurationError
from service.jobs import checks
from service.settings import MIB, Settings, load

KEY = f"alice:{'ab' * 32}"
EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def given(monkeypatch):
    """Set variables of the environment."""

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"SERVICE_{name}", value)

    return set_variables


def problem() -> str:
    with pytest.raises(ConfigurationError) as caught:
        load()
    return str(caught.value)


class TestDefaults:
    def test_they_serve_this_machine_only(self):
        settings = load()

        assert settings.bind == "127.0.0.1:8000"
        assert not settings.insecure

    def test_they_fit_together(self):
        settings = load()

        assert 1 <= settings.web_workers <= 4
        assert settings.pool_processes >= 8
        assert settings.request_timeout <= settings.request_timeout_max <= settings.graceful_timeout - 2

    def test_a_shorter_maximum_takes_the_other_times_along(self, given):
        given(REQUEST_TIMEOUT_MAX="5")

        settings = load()

        assert (settings.request_timeout, settings.graceful_timeout) == (5, 10)

    @pytest.mark.parametrize(("slots", "for_jobs"), [("1", 1), ("2", 1), ("8", 7)])
    def test_a_slot_is_kept_for_requests_where_there_are_several(self, given, slots, for_jobs):
        given(CPU_SLOTS=slots)

        assert load().job_slots == for_jobs

    @pytest.mark.parametrize("slots", ["1", "2", "8"])
    def test_all_of_them_can_be_for_jobs(self, given, slots):
        given(CPU_SLOTS=slots, JOB_SLOTS="all")

        assert load().job_slots == int(slots)

    def test_all_of_a_wrong_number_is_no_mistake_of_its_own(self, given):
        given(CPU_SLOTS="none", JOB_SLOTS="all")

        with pytest.raises(ConfigurationError) as raised:
            load()
        assert str(raised.value).count("SERVICE_") == 1

    @pytest.mark.parametrize("url", ["collector:4318", "ftp://collector/v1/traces", "/v1/traces", "http://"])
    def test_spans_are_sent_to_a_url(self, given, url):
        given(TRACES_ENDPOINT=url)

        with pytest.raises(ConfigurationError, match="such as http://collector:4318/v1/traces"):
            load()

    def test_a_key_of_the_receiver_is_no_part_of_its_url(self, given):
        given(TRACES_ENDPOINT="http://me:sesame@collector:4318/v1/traces")

        with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_HEADERS"):
            load()

    def test_settings_are_frozen(self):
        with pytest.raises(ValidationError):
            load().web_threads = 2  # type: ignore[misc]


class TestSources:
    def test_the_environment_goes_before_the_file(self, given, tmp_path):
        (tmp_path / ".env").write_text("SERVICE_WEB_THREADS=3\nSERVICE_QUEUE_LIMIT=4\nOTHER=5\n")
        given(WEB_THREADS="7")

        settings = load()

        assert (settings.web_threads, settings.queue_limit) == (7, 4)
        assert environment.origin("web_threads") == "environment"
        assert environment.origin("queue_limit") == ".env"
        assert environment.origin("bind") == "default"

    def test_an_empty_variable_is_an_unset_one(self, given):
        given(WEB_THREADS="")

        assert load().web_threads == 64
        assert environment.origin("web_threads") == "default"

    @pytest.mark.parametrize(("text", "size"), [("1024", 1024), ("32MiB", 32 * MIB), ("2MB", 2_000_000)])
    def test_sizes_have_units(self, given, text, size):
        given(MAX_BODY=text)

        assert load().max_body == size

    def test_task_modules_are_separated_by_commas(self, given):
        given(TASK_MODULES="mytasks, package.tasks,")

        assert load().task_modules == ("mytasks", "package.tasks")

    @pytest.mark.parametrize(
        "bind", ["localhost:80", "127.1.2.3:0", "[::1]:8000", "unix:/run/everycore.sock"]
    )
    def test_addresses_of_this_machine_need_nothing_else(self, given, bind):
        given(BIND=bind)

        assert load().bind == bind

    def test_other_addresses_must_be_meant(self, given):
        given(BIND="0.0.0.0:8000", INSECURE="1")

        assert load().bind == "0.0.0.0:8000"

    @pytest.mark.parametrize("bind", ["localhost:80", "127.1.2.3:0", "[::1]:9000"])
    def test_a_runner_s_address_may_be_of_this_machine(self, given, bind):
        given(RUNNER_BIND=bind)

        assert load().runner_bind == bind

    @pytest.mark.parametrize("meant", [{"INSECURE": "1"}, {"API_KEYS": KEY}])
    def test_another_one_must_be_meant(self, given, meant):
        given(RUNNER_BIND="0.0.0.0:9000")
        assert "SERVICE_RUNNER_BIND='0.0.0.0:9000': other machines could reach that address" in problem()

        given(**meant)

        assert load().runner_bind == "0.0.0.0:9000"

    @pytest.mark.parametrize("bind", ["9000", "unix:/run/runner.sock", "localhost:", "localhost:65536"])
    def test_a_runner_s_address_is_a_host_and_a_port(self, given, bind):
        given(RUNNER_BIND=bind)

        assert f"SERVICE_RUNNER_BIND={bind!r}: it must be host:port" in problem()

    def test_a_runner_has_no_address_by_default(self):
        assert load().runner_bind is None

    def test_keys_are_meant_too(self, given):
        given(BIND="0.0.0.0:8000", API_KEYS=KEY)

        assert [key.name for key in load().known_keys()] == ["alice"]

    def test_without_keys_there_are_none(self):
        assert load().known_keys() == ()

    def test_keys_may_stand_in_a_file(self, given, tmp_path):
        (tmp_path / "keys").write_text(f"# who may\n{KEY}:per-minute=5\n")
        given(API_KEYS_FILE=str(tmp_path / "keys"), BIND="[::]:8000")

        (key,) = load().known_keys()

        assert (key.name, key.per_minute) == ("alice", 5)

    def test_a_file_without_keys_opens_nothing(self, given, tmp_path):
        (tmp_path / "keys").write_text("\n")
        given(API_KEYS_FILE=str(tmp_path / "keys"), BIND="0.0.0.0:8000")

        assert "there is no key in it" in problem()

    def test_keys_that_can_not_be_read_are_told_once_and_not_shown(self, given):
        given(API_KEYS=f"{KEY}:per-hour=5", BIND="0.0.0.0:8000")

        message = problem()

        assert "SERVICE_API_KEYS=(hidden): 'alice' takes concurrency=N" in message
        assert KEY not in message
        assert "SERVICE_BIND" not in message


class TestMistakes:
    @pytest.mark.parametrize(
        ("name", "value", "allowed"),
        [
            ("WEB_THREADS", "many", "valid integer"),
            ("WEB_THREADS", "0", "greater than or equal to 1"),
            ("LOG_FORMAT", "xml", "'console' or 'json'"),
            ("MAX_BODY", "12 parsecs", "byte unit"),
            ("MEMORY_LIMIT", "1MiB", "16777216"),
            ("REQUEST_TIMEOUT", "nan", "finite"),
            ("REQUEST_TIMEOUT", "301", "at most SERVICE_REQUEST_TIMEOUT_MAX, 300"),
            ("GRACEFUL_TIMEOUT", "300", "at least SERVICE_REQUEST_TIMEOUT_MAX + 2, 302"),
            ("TASK_MODULES", "my-tasks", "not the name of a module"),
            ("RUNNERS", "-1", "greater than or equal to 0"),
            ("RUNNERS", "101", "less than or equal to 100"),
            ("JOB_SLOTS", "0", "greater than or equal to 1"),
            ("JOB_TIMEOUT", "0", "greater than 0"),
            ("JOB_TIMEOUT", "2592001", "less than or equal to 2592000"),
            ("JOB_LEASE", "0.5", "greater than or equal to 1"),
            ("JOB_GRACE", "-1", "greater than or equal to 0"),
            ("JOB_TTL", "inf", "less than or equal to 3153600000"),
            ("BIND", "127.0.0.1", "host:port"),
            ("BIND", "127.0.0.1:70000", "65535"),
            ("BIND", ":8000", "SERVICE_INSECURE=1"),
            ("BIND", "example.org:8000", "SERVICE_INSECURE=1"),
        ],
    )
    def test_the_message_names_the_variable_the_value_and_what_is_allowed(self, given, name, value, allowed):
        given(**{name: value})

        message = problem()

        assert f"SERVICE_{name}='{value}'" in message
        assert allowed in message
        assert (Settings.model_fields[name.lower()].description or "?") in message

    @pytest.mark.parametrize(
        ("url", "allowed"),
        [
            ("mysql://me:open-sesame@localhost/jobs", "must begin with sqlite:/// or postgresql://"),
            ("sqlite://open-sesame.db", "must begin with sqlite:/// or postgresql://"),
            ("sqlite:///", "must name a file"),
            ("sqlite:///:memory:", "must name a file"),
        ],
    )
    def test_a_database_of_another_kind_is_not_shown(self, given, url, allowed):
        given(DATABASE_URL=url)

        message = problem()

        assert "SERVICE_DATABASE_URL=(hidden): it " in message
        assert allowed in message
        assert "sesame" not in message

    def test_jobs_have_no_more_slots_than_there_are(self, given):
        given(CPU_SLOTS="3", JOB_SLOTS="4")

        assert "SERVICE_JOB_SLOTS='4': it must be at most SERVICE_CPU_SLOTS, 3" in problem()

    def test_slots_that_are_wrong_themselves_are_told_once(self, given):
        given(CPU_SLOTS="few", JOB_SLOTS="4")

        assert "SERVICE_JOB_SLOTS" not in problem()

    def test_all_are_told_at_once(self, given):
        given(WEB_THREADS="many", CPU_SLOTS="few", WEB_WORKRES="3")

        message = problem()

        assert "SERVICE_WEB_THREADS" in message
        assert "SERVICE_CPU_SLOTS" in message
        assert "SERVICE_WEB_WORKRES (environment)" in message

    def test_a_misspelt_variable_is_told_its_nearest_name(self, given):
        given(WEB_WORKRES="3")

        assert "did you mean SERVICE_WEB_WORKERS?" in problem()

    def test_a_misspelt_variable_in_the_file_too(self, tmp_path):
        (tmp_path / ".env").write_text("SERVICE_WEB_WORKRES=3\n")

        assert "SERVICE_WEB_WORKRES (.env)" in problem()

    def test_a_file_that_is_no_text(self, tmp_path):
        (tmp_path / ".env").write_bytes(b"\xff\xfe\xff")

        assert ".env can't be read" in problem()


class WithSecret(Settings):
    """The settings of a service that has a password."""

    password: SecretStr | None = Field(default=None, min_length=4, description="A password.")


class TestSecrets:
    def test_a_secret_may_stand_in_a_file(self, given, tmp_path):
        (tmp_path / "password").write_text("open sesame\n")
        given(PASSWORD_FILE=str(tmp_path / "password"))

        settings = load(WithSecret)

        assert settings.password
        assert settings.password.get_secret_value() == "open sesame"
        assert environment.origin("password") == "environment"

    def test_only_a_secret_may(self, given):
        given(WEB_THREADS_FILE="threads")

        assert "SERVICE_WEB_THREADS_FILE" in problem()

    def test_not_in_both_places(self, given):
        given(PASSWORD_FILE="password", PASSWORD="open sesame")

        with pytest.raises(ConfigurationError, match="both set"):
            load(WithSecret)

    def test_a_file_that_is_not_there(self, given):
        given(PASSWORD_FILE="nowhere")

        with pytest.raises(ConfigurationError, match="SERVICE_PASSWORD_FILE='nowhere' can't be read"):
            load(WithSecret)

    def test_a_wrong_one_is_not_shown(self, given):
        given(PASSWORD="abc")

        with pytest.raises(ConfigurationError) as caught:
            load(WithSecret)

        assert "SERVICE_PASSWORD=(hidden)" in str(caught.value)
        assert "abc" not in str(caught.value)


class TestDocumentation:
    def test_the_example_has_every_setting_and_no_other(self):
        documented = re.findall(r"^#(SERVICE_\w+)=", EXAMPLE.read_text(), re.MULTILINE)

        assert sorted(documented) == sorted(map(environment.variable_of, Settings.model_fields))

    def test_the_example_holds_when_its_lines_are_switched_on(self, tmp_path):
        (tmp_path / ".env").write_text(
            re.sub(r"^#(SERVICE_)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
        )

        settings = load()

        checks.check(settings)
        assert settings.web_threads == 64

    @pytest.mark.parametrize("name", Settings.model_fields)
    def test_every_setting_has_a_description(self, name):
        assert Settings.model_fields[name].description
