"""The command line: what it imports, its options, its errors, its tables, and progress in a pipe."""

from datetime import date
from inspect import signature

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import commands, console, documents
from flows.cli.commands import app, parse_fault
from flows.cli.console import Column
from flows.cli.environment import prepare_environment
from flows.cli.options import split_names
from flows.progress import LINE_INTERVAL_S, LinePrinter
from flows.replay import POLICIES
from rossmann.schema import MIN_FOLDS
from rossmann.simulation import sample
from tests.support.commands import imported_packages, run_separately
from tests.support.raw_files import raw_files

HEAVY = {"prefect", "ray", "mlflow", "lightgbm", "xgboost", "sklearn", "matplotlib", "evidently", "rich", "holidays"}


def test_help_imports_nothing_but_typer(tmp_path):
    assert imported_packages(tmp_path, "--help") & {*HEAVY, "numpy", "pandas", "pydantic"} == set()


@pytest.mark.parametrize("command", ["snapshots", "alarms", "models"])
def test_a_listing_imports_neither_prefect_nor_models(tmp_path, command):
    assert imported_packages(tmp_path, command) & HEAVY == set()


def test_the_options_have_the_defaults_and_limits_of_the_library():
    """The command line writes them again, because importing the library would make its help slow."""
    defaults = {name: parameter.default for name, parameter in signature(commands.sample).parameters.items()}
    assert (defaults["stores"], defaults["days"], defaults["seed"]) == (sample.STORES, sample.DAYS, sample.SEED)
    assert option(commands.sample, "days").min == sample.MIN_DAYS
    assert option(commands.train, "folds").min == MIN_FOLDS
    assert split_names(signature(commands.replay).parameters["policy"].default) == list(POLICIES)


def option(command, name):
    """The typer.Option of a command's parameter."""
    return signature(command).parameters[name].annotation.__metadata__[0]


def test_the_command_shows_its_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("rossmann ")


def test_help_documents_shell_completion():
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


@pytest.mark.parametrize("fault", ["promotion_inverted", "promotion_inverted@", "promotion_inverted@12.02.2015"])
def test_a_fault_without_a_date_is_refused(tmp_path, monkeypatch, fault):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["replay", "--from", "2015-01-01", "--to", "2015-02-01", "--inject", fault])
    assert f"--inject {fault}: expected FAULT@DATE" in str(result.exception)


def test_names_are_separated_by_commas():
    assert split_names("ridge, blend,") == ["ridge", "blend"]
    assert split_names(None) is None


def test_a_table_in_a_pipe_is_tabs_without_padding_and_without_truncation(capsys):
    long = "reason " * 50
    console.show_table([Column("a"), Column("b", numeric=True), Column("c")], [["x", "1", long], ["y\nz", "2", ""]])
    assert capsys.readouterr().out == f"a\tb\tc\nx\t1\t{long.rstrip()}\ny; z\t2\n"


def test_files_in_the_workspace_are_below_its_address_and_others_in_full(capsys):
    console.show_files("/work/space", forecasts="/tmp/out.csv", plot="/work/space/forecasts/a.png")
    assert capsys.readouterr().out == "forecasts: /tmp/out.csv\nfiles in /work/space:\n  plot: forecasts/a.png\n"


def test_a_number_that_does_not_exist_is_null_in_json():
    assert documents._number(np.float64("nan")) is None
    assert documents._number(np.float64(0.5)) == 0.5


def test_progress_in_a_pipe_is_the_first_and_last_line_and_at_most_one_per_interval():
    seconds, lines = iter(range(1000)), []
    show = LinePrinter("backtests", lines.append, clock=lambda: float(next(seconds)))
    for done in range(31):
        show(done, 30, f"fit {done}")
    assert lines[0] == "  backtests: 0 of 30, fit 0"
    assert lines[-1] == "  backtests: 30 of 30, fit 30"
    assert 2 < len(lines) < 30 / LINE_INTERVAL_S + 4


def test_a_fault_is_its_name_and_first_day():
    assert parse_fault("promotion_inverted@2015-02-12") == ("promotion_inverted", date(2015, 2, 12))
    assert parse_fault(None) == (None, None)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("ingest --raw {home}/mistyped", "There is no train.csv in {home}/mistyped/"),
        ("ingest --raw {home}/renamed", "train.csv has no column Promo; its first line is"),
        ("refresh --raw {home}/mistyped", "There is no train.csv in {home}/mistyped/"),
        ("refresh --raw {home}/raw", "no champion yet"),
        ("retrain --raw {home}/mistyped", "There is no train.csv in {home}/mistyped/"),
        ("retrain --raw {home}/raw --candidates rigde", "unknown candidate rigde"),
        ("train", "There is no snapshot in {home}/snapshots/ yet"),
        ("monitor", "There is no snapshot in {home}/snapshots/ yet"),
        ("release", "no challenger yet"),
        ("forecast --plan {home}/mistyped.csv", "There is no plan {home}/mistyped.csv"),
        ("replay --raw {home}/mistyped --from 2015-01-01 --to 2015-02-01", "There is no train.csv"),
    ],
)
def test_a_mistake_in_the_terminal_is_told_before_prefect_is_imported_and_is_no_alarm(tmp_path, command, message):
    raw_files().write(tmp_path / "raw")
    raw_files().write(tmp_path / "renamed")
    train = tmp_path / "renamed" / "train.csv"
    train.write_bytes(train.read_bytes().replace(b"Promo", b"Action", 1))
    code, imported, errors = run_separately(tmp_path, *command.format(home=tmp_path).split())
    assert code == 2
    assert message.format(home=tmp_path) in errors
    assert "prefect" not in imported
    assert not list(tmp_path.glob("alarms/*"))


@pytest.mark.parametrize("text", ["2015-13-01", "31.03.2015", "yesterday"])
def test_a_day_in_another_form_is_refused_with_an_example(text):
    result = CliRunner().invoke(app, ["ingest", "--as-of", text])
    assert result.exit_code == 2
    assert f"{text} is not a day of the form YYYY-MM-DD, like 2015-03-31" in result.output


def test_a_misspelled_setting_is_a_warning_with_the_nearest_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ROSSMANN_FOLD", "5")
    monkeypatch.setenv("ROSSMANN_COLOUR", "red")
    monkeypatch.setenv("ROSSMANN_HEAD", "10.0.0.1")  # of deployments/cluster.env
    prepare_environment()
    assert capsys.readouterr().err.splitlines() == [
        "warning: ROSSMANN_COLOUR is not a setting and has no effect; docs/operations.md lists the settings",
        "warning: ROSSMANN_FOLD is not a setting and has no effect: did you mean ROSSMANN_FOLDS?",
    ]
