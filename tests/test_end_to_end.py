"""Small CSVs through all flows, as the command line runs them: real Prefect, real Ray, real MLflow."""

import base64
import json
import logging
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from datetime import date, timedelta
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prefect import flow
from prefect.artifacts import Artifact

from flows import artifacts, links
from flows.adaptation import adapt_quantiles, update_quantiles
from flows.alarms import publish
from flows.cli.main import main
from flows.forecast import forecast
from flows.ingest import ingest
from flows.release import release
from flows.retrain import retrain
from flows.train import train
from rossmann import evaluation, features, models, registry, training
from rossmann.alarms import QuantilesNotUpdated, list_alarms
from rossmann.data import current_snapshot, list_snapshots, load_snapshot
from rossmann.registry import Registry
from rossmann.schema import DAY
from rossmann.settings import Settings
from rossmann.simulation import write_sample
from rossmann.storage import Storage
from rossmann.validation import DataError, ValidationError
from tests.support.commands import imported_packages

pytestmark = pytest.mark.slow

STORES, DAYS = 12, 520
QUANTILES = ("q05", "q10", "q20", "q30", "q40", "q50", "q60", "q70", "q80", "q90", "q95")
LAST_DAY = date(2013, 1, 1) + timedelta(days=DAYS - 1)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, prefect_server, local_ray, new_mlflow_database):
    """A workspace with raw files."""
    home = tmp_path_factory.mktemp("workspace")
    write_sample(home / "raw", STORES, DAYS, seed=3)
    new_mlflow_database(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROSSMANN_DATA_DIR", str(home))
        patch.setenv("ROSSMANN_FOLDS", "2")
        patch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
        yield home


@pytest.fixture(scope="module")
def first_run(workspace):
    """The first retraining, with the raw files as they were 30 days before their last day."""
    return retrain(as_of=LAST_DAY - timedelta(days=30))


@pytest.fixture
def run_log() -> Iterator[list[str]]:
    """The messages that flow runs log during the test."""
    handler, messages, logger = logging.Handler(), [], logging.getLogger("prefect.flow_runs")
    handler.emit = lambda record: messages.append(record.getMessage())
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture
def snapshots(workspace):
    return str(workspace / "snapshots")


def model_registry() -> Registry:
    settings = Settings()
    return Registry(settings.mlflow_address, settings.workspace.models)


def test_one_run_leads_from_raw_files_to_forecasts(workspace, first_run, snapshots):
    assert first_run.verdict.promote, first_run.verdict.reasons
    assert current_snapshot(snapshots) == first_run.snapshot
    champion = registry.champion(model_registry())
    assert champion.version == first_run.training.challenger == first_run.forecast.model_version
    assert champion.card.snapshot == first_run.snapshot
    table = pd.read_csv(first_run.forecast.file, parse_dates=["date"])
    assert list(table.columns) == ["store", "date", "forecast", "lower", "upper", *QUANTILES]
    history = load_snapshot(snapshots)
    plan = history.plan(history.origin, 48)
    np.testing.assert_array_equal(table.store, plan.store)
    assert ((table.forecast == 0) == (plan.open == 0)).all()
    assert ((table.lower <= table.forecast) & (table.forecast <= table.upper)).all()
    assert Path(first_run.forecast.plot).read_bytes().startswith(b"\x89PNG")


def test_the_report_of_the_training_has_the_verdict_and_is_among_the_files_of_its_mlflow_run(first_run, tmp_path):
    page = Path(first_run.training.report).read_text()
    assert "Promoted to champion" in page
    assert all(escape(reason, quote=False) in page for reason in first_run.verdict.reasons)
    run_id = first_run.training.run_id
    logged = model_registry().client.download_artifacts(run_id, registry.REPORT_FILE, str(tmp_path))
    assert Path(logged).read_text() == page


def test_the_artifact_of_a_forecast_has_its_picture_and_no_change_against_a_year_that_is_not_there(first_run):
    artifact = Artifact.get("forecast")
    picture = re.search(r"data:image/png;base64,([^)]+)\)", artifact.data)[1]
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    assert len(picture) < 200_000
    summary = replace(first_run.forecast.summary, year_over_year=float("nan"))
    text = artifacts.forecast(replace(first_run.forecast, summary=summary), None, "")
    assert "nan" not in text
    assert "year before" not in text


def test_artifacts_name_the_next_pages_that_are_configured(workspace, first_run, monkeypatch):
    run_id = first_run.training.run_id
    assert links.training(Settings(), run_id) == ""
    monkeypatch.setenv("ROSSMANN_MLFLOW_URL", "http://127.0.0.1:5000")
    monkeypatch.setenv("ROSSMANN_DASHBOARD_URL", "http://127.0.0.1:8501")
    text = links.training(Settings(), run_id)
    titles, addresses = zip(*re.findall(r"\[(.*?)\]\((.*?)\)", text), strict=True)
    assert titles == ("report", "MLflow run", "all trainings", "dashboard")
    assert all(address.startswith("http://127.0.0.1:5000/#/experiments/") for address in addresses[:3])
    assert addresses[3] == "http://127.0.0.1:8501"


@pytest.mark.parametrize("key", ["validation", "leaderboard", "training", "verdict", "forecast"])
def test_the_ui_shows_the_result_of_each_step(first_run, key):
    assert Artifact.get(key).data
    assert Artifact.get(key).description, "the list of artifacts says what each is"


def test_the_same_run_again_fits_nothing_and_its_log_ends_with_the_result(
    workspace, first_run, without_ray, run_log, monkeypatch
):
    monkeypatch.setenv("ROSSMANN_RAY_ADDRESS", without_ray)
    report = Path(first_run.training.report)
    page = report.read_bytes()
    report.unlink()  # as if the first run had been killed before it was written
    again = retrain(as_of=LAST_DAY - timedelta(days=30))
    assert again.snapshot == first_run.snapshot
    assert again.training == first_run.training
    assert report.read_bytes() == page
    assert not again.verdict.promote
    assert "champion already" in again.verdict.reasons[0]
    assert len(registry.list_models(model_registry())) == 1
    assert again.summary == "version 1 is not promoted: version 1 is champion already"
    assert again.summary in run_log[-2:], "Prefect's own last line is the state"
    assert first_run.summary.startswith("version 1 is promoted: beats median")


def test_a_report_that_cannot_be_written_does_not_end_the_training(
    workspace, first_run, without_ray, run_log, monkeypatch
):
    monkeypatch.setenv("ROSSMANN_RAY_ADDRESS", without_ray)
    folder = Path(first_run.training.report).parent
    folder.rename(folder.with_name("moved"))
    folder.write_text("a file where the folder should be")
    trained = train(snapshot=first_run.snapshot)
    assert trained == replace(first_run.training, report=None)
    assert any("version 1 is registered, but its report could not be written" in line for line in run_log)
    folder.unlink()
    folder.with_name("moved").rename(folder)


def test_a_backtest_forecasts_what_the_candidate_forecasts_in_operation(workspace, first_run, snapshots):
    """A candidate that is fitted here, without Ray, forecasts the rows of the backtest's last fold."""
    history = load_snapshot(snapshots, first_run.snapshot)
    run = training.load_backtest_run(Storage(str(workspace / "backtests")), first_run.training.backtest_run)
    rows = run.backtest.of("xgboost")
    origin = rows.origin.max().to_datetime64().astype("datetime64[D]")
    candidate = models.default_candidate("xgboost")
    starts = [start for start in models.window_origins(history.dates[0], history.origin) if start < origin]
    forecaster = models.fit(candidate, [models.training_window(history, start) for start in starts], origin, 7)
    past, plan = history.until(origin), history.plan(origin, 48)
    forecast = forecaster.predict(features.fit_state(past), plan)
    np.testing.assert_allclose(rows[rows.origin == rows.origin.max()].forecast, forecast.sales, rtol=1e-9)


def test_the_rows_of_a_plan_are_forecast_in_its_order_with_its_ids(workspace, first_run, tmp_path):
    whole = pd.read_csv(first_run.forecast.file)
    plan = whole[["store", "date"]].sample(40, random_state=1).assign(id=range(900, 940))
    plan.to_csv(tmp_path / "plan.csv", index=False)
    delivered = forecast(plan=str(tmp_path / "plan.csv"), out=str(tmp_path / "out.csv"))
    table = pd.read_csv(delivered.file)
    assert list(table.columns) == ["id", "store", "date", "forecast", "lower", "upper", *QUANTILES]
    assert table.id.tolist() == plan.id.tolist()
    same = plan.merge(whole, on=["store", "date"], how="left")
    np.testing.assert_array_equal(table.forecast, same.forecast)
    kaggle = pd.read_csv(forecast(plan=str(tmp_path / "plan.csv"), out=str(tmp_path / "k.csv"), kaggle=True).file)
    assert list(kaggle.columns) == ["Id", "Sales"]


def test_refused_raw_files_leave_the_snapshot_and_the_error_names_the_failing_rows(
    workspace, first_run, snapshots, tmp_path
):
    raw = tmp_path / "raw"
    write_sample(raw, STORES, DAYS, seed=3)
    days = pd.read_csv(raw / "train.csv", dtype=str)
    days.loc[[5, 9], "Promo"] = "7"
    days.to_csv(raw / "train.csv", index=False)
    with pytest.raises(ValidationError, match="2 rows: Promo is neither 0 nor 1") as error:
        ingest(str(raw))
    assert current_snapshot(snapshots) == first_run.snapshot
    assert len(list_snapshots(snapshots)) == 1
    file = error.value.__notes__[0].splitlines()[0].removeprefix("All failing rows: ")
    assert len(pd.read_csv(file)) == 2


def test_too_many_folds_are_refused(workspace, first_run):
    with pytest.raises(DataError, match="history too short for 9 folds"):
        train(folds=9)


def test_the_quantiles_of_the_champion_follow_the_outcomes_of_new_days(workspace, first_run, snapshots, tmp_path):
    """The days since the first forecast, one by one, from its own rows beside the sales that are known now."""
    champion = registry.champion(model_registry())
    forecaster = registry.load_forecaster(model_registry(), champion)
    model, intervals = forecaster.require_quantiles(), forecaster.require_interval_quantiles()
    publish(Settings(), QuantilesNotUpdated(reason="of the days before"))
    snapshot = ingest()
    assert list_alarms(Settings().workspace.alarms)[0].is_over, "these quantiles follow"
    before, history = load_snapshot(snapshots, first_run.snapshot), load_snapshot(snapshots, snapshot)
    plan = before.plan(before.origin, 30)
    forecast_rows = pd.read_parquet(first_run.forecast.file.removesuffix("csv") + "parquet").set_index(
        ["store", "date"]
    )
    forecasts = forecast_rows.loc[zip(plan.store, plan.date, strict=True)].forecast.to_numpy()
    deviation = features.join_plan(features.fit_state(before), plan).standard_deviation
    sales = history.take("sales", plan.store, plan.date)
    sold, errors = sales > 0, np.log(np.maximum(sales, 1) / np.maximum(forecasts, 1)) / deviation
    days = [errors[sold & (plan.date == day)] for day in np.unique(plan.date[sold])]
    adaptive = models.load_adaptive_quantiles(snapshots, snapshot, model)
    assert (adaptive.model, adaptive.until) == (model, history.origin.item())
    assert adaptive.current.offsets == pytest.approx(models.follow_outcomes(model, days).offsets)
    assert adaptive.current != model
    assert intervals.levels == models.interval_levels()
    assert sum(asdict(forecaster.variance_components).values()) == pytest.approx(1)
    assert adaptive.interval_quantiles.offsets == pytest.approx(models.follow_outcomes(intervals, days).offsets)
    table = pd.read_csv(forecast(out=str(tmp_path / "out.csv")).file)
    state = features.load_state(snapshots, snapshot)
    rows = features.join_plan(state, history.plan(history.origin, 48))
    expected = adaptive.current.around(rows.standard_deviation, table.forecast.to_numpy())
    np.testing.assert_allclose(table[list(QUANTILES)], expected, rtol=1e-4, atol=0.01)
    adapt_quantiles.fn(Settings(), before, None)
    of_first = models.load_adaptive_quantiles(snapshots, first_run.snapshot, model)
    assert of_first is None, "replicas may have loaded a snapshot that is there"


def test_quantiles_that_cannot_follow_the_outcomes_are_an_alarm(workspace, first_run, snapshots, monkeypatch):
    monkeypatch.setenv("ROSSMANN_JOURNAL_URL", "postgresql+psycopg://nobody@127.0.0.1:1/nowhere")
    history = load_snapshot(snapshots, current_snapshot(snapshots))
    flow(update_quantiles)(Settings(), history.until(history.origin - DAY), None)
    alarm = max((record.alarm for record in list_alarms(Settings().workspace.alarms)), key=lambda alarm: alarm.at)
    assert isinstance(alarm, QuantilesNotUpdated)
    assert "do not follow the outcomes: OperationalError" in alarm.reason


def test_new_days_are_searched_and_the_challenger_is_compared_with_champion_and_median(workspace, first_run, snapshots):
    ingest()
    newer = next(s for s in list_snapshots(snapshots) if s.current)
    assert newer.origin == str(LAST_DAY)
    assert newer.parent == first_run.snapshot
    trained = train(search=1)
    assert trained.challenger == 2
    leaderboard = training.load_backtest_run(Storage(str(workspace / "backtests")), trained.backtest_run).leaderboard()
    assert {"lightgbm", "lightgbm-s1", "xgboost", "xgboost-s1"} <= set(leaderboard.index)
    trials = json.loads(Artifact.get("trials").data)
    assert [trial["candidate"] for trial in trials] == ["lightgbm", "lightgbm-s1", "xgboost", "xgboost-s1"]
    assert trials[1]["score"] == round(leaderboard.rmspe_capped["lightgbm-s1"], 4)
    verdict = release()
    assert any("champion v1" in reason for reason in verdict.reasons)
    assert any("median" in reason for reason in verdict.reasons)
    expected = 2 if verdict.promote else 1
    assert registry.champion(model_registry()).version == expected
    assert registry.ledger(model_registry())[0].action == ("promote" if verdict.promote else "refuse")


def test_an_error_that_the_caller_can_correct_is_a_message_with_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "argv", ["rossmann", "snapshots", "restore", "abc"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    message = capsys.readouterr().err
    assert "no snapshot abc" in message
    assert "Traceback" not in message


def test_folds_and_their_step_are_those_of_the_settings(workspace, first_run):
    run = training.load_backtest_run(Storage(str(workspace / "backtests")), first_run.training.backtest_run)
    history = load_snapshot(str(workspace / "snapshots"), first_run.snapshot)
    origins = evaluation.fold_origins(history, 2, 48, 48)
    assert set(run.backtest.rows.origin.to_numpy().astype("datetime64[D]")) == set(origins)


def test_the_command_without_a_prefect_server_forecasts_what_the_flow_does_and_records_it(
    workspace, first_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    plan, by_flow, by_command = (tmp_path / name for name in ("plan.csv", "flow.csv", "command.csv"))
    pd.read_csv(first_run.forecast.file)[["store", "date"]].tail(2).to_csv(plan, index=False)
    forecast(plan=str(plan), out=str(by_flow))
    before = journal_rows()
    document = json.loads(run_command(monkeypatch, capsys, "forecast", "--plan", plan, "--out", by_command, "--json"))
    assert by_command.read_bytes() == by_flow.read_bytes()
    assert journal_rows() == before + 2
    assert (document["rows"], document["file"]) == (2, str(by_command))


def test_a_forecast_of_two_rows_waits_for_no_import_that_it_does_not_need(workspace, first_run, tmp_path):
    """MLflow takes two seconds, Prefect one."""
    plan = tmp_path / "plan.csv"
    pd.read_csv(first_run.forecast.file)[["store", "date"]].tail(2).to_csv(plan, index=False)
    imported = imported_packages(workspace, "forecast", "--plan", str(plan), "--out", str(tmp_path / "out.csv"))
    assert imported & {"mlflow", "prefect", "ray", "evidently", "matplotlib"} == set()


def test_listings_in_a_pipe_are_columns_between_tabs(workspace, first_run, snapshots, monkeypatch, capsys):
    lines = run_command(monkeypatch, capsys, "snapshots").splitlines()
    assert lines[0] == f"workspace: {workspace}"
    assert lines[1].split("\t")[1] == "snapshot"
    assert [line.split("\t")[1] for line in lines[2:]] == [each.fingerprint for each in list_snapshots(snapshots)[::-1]]
    assert {line.split("\t")[-1] for line in lines[2:]} == {"raw"}, "paths in the workspace are relative to it"
    versions = registry.list_models(model_registry())
    lines = run_command(monkeypatch, capsys, "models").splitlines()
    assert [line.split("\t")[1] for line in lines[1 : len(versions) + 1]] == [str(each.version) for each in versions]


def test_listings_as_json_have_the_same_facts(workspace, first_run, snapshots, monkeypatch, capsys):
    listed = json.loads(run_command(monkeypatch, capsys, "snapshots", "--json"))
    assert [each["fingerprint"] for each in listed] == [each.fingerprint for each in list_snapshots(snapshots)[::-1]]
    document = json.loads(run_command(monkeypatch, capsys, "models", "--json"))
    versions = registry.list_models(model_registry())
    assert [each["version"] for each in document["models"]] == [each.version for each in versions]
    assert [each["rmspe_by_fold"] for each in document["models"]] == [each.card.rmspe for each in versions]
    assert [each["version"] for each in document["ledger"]] == [
        each.version for each in registry.ledger(model_registry())
    ]


def journal_rows() -> int:
    """How many forecasts the journal stores."""
    with closing(sqlite3.connect(Settings().journal_address.removeprefix("sqlite:///"))) as database:
        return database.execute("select count(*) from forecasts").fetchone()[0]


def run_command(monkeypatch, capsys, *arguments: object) -> str:
    """What `rossmann` prints to stdout."""
    monkeypatch.setattr(sys, "argv", ["rossmann", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    return capsys.readouterr().out
