"""``python -m service advise``: what it refuses, before anything is measured."""

import click.testing
import pytest

from service.__main__ import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **more: click.testing.CliRunner().invoke(main, ["advise", *arguments], **more)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "there is no task 'nobody'; `python -m service tasks` lists those there are"),
        (["process_queue_communication"], "'process_queue_communication' is a pipeline"),
        (["sum_of_squares"], "the arguments don't fit 'sum_of_squares': n: Field required"),
        (
            ["sum_of_squares", "--args", '{"n": -1, "m": 2}'],
            "n: Input should be greater than or equal to 0; m: ",
        ),
        (["sum_of_squares", "--args", "{n: 1}"], "the arguments of 'sum_of_squares' are no JSON: "),
    ],
)
def test_what_can_not_be_measured_is_told(run, arguments, said):
    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert said in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sum_of_squares", "--args", "{}", "--args-file", "-"], "one of them is enough"),
        (["--args", "{}"], "none is named"),
        (["--items", "5"], "none is named"),
        (["sum_of_squares", "--args-file", "nothing.json"], "nothing.json"),
        (["--seconds", "0"], "--seconds"),
        (["sum_of_squares", "--items", "0"], "--items"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, arguments, said):
    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_arguments_may_stand_in_a_file_or_come_by_standard_input(run, tmp_path):
    (tmp_path / "arguments.json").write_text('{"n": "many"}')

    for result in (
        run("sum_of_squares", "--args-file", "arguments.json"),
        run("sum_of_squares", "--args-file", "-", input='{"n": "many"}'),
    ):
        assert result.exit_code == 1
        assert "n: Input should be a valid integer" in result.stderr


def test_a_wrong_setting_is_explained(run, monkeypatch):
    monkeypatch.setenv("SERVICE_CPU_SLOTS", "many")

    result = run()

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: SERVICE_CPU_SLOTS='many'")


def test_help_says_that_a_running_service_is_left_alone(run):
    said = " ".join(run("--help").stdout.split())

    assert "a running service is not stopped" in said
    assert "shares no slots with this" in said
