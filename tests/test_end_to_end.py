"""Small CSVs through all flows, as the command line runs them: real Prefect, real Ray, real MLflow."""

import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prefect.artifacts import Artifact
from prefect.testing.utilities import prefect_test_harness

from flows.__main__ import main
from flows.forecast import forecast
from flows.ingest import ingest
from flows.release import release
from flows.retrain import retrain
from flows.train import train
from rossmann import evaluation, features, models, registry, training
from rossmann.data import current_snapshot, list_snapshots, load_snapshot
from rossmann.registry import Registry
from rossmann.sample import write_world
from rossmann.settings import Settings
from rossmann.storage import Storage
from rossmann.validation import DataError, ValidationError

pytestmark = pytest.mark.slow

STORES, DAYS = 12, 520
LAST_DAY = date(2013, 1, 1) + timedelta(days=DAYS - 1)
NOWHERE = "127.0.0.1:1"  # no Ray is there: whoever needs one fails


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world of its own with raw files, and a Prefect server of the test's."""
    home = tmp_path_factory.mktemp("world")
    write_world(home / "raw", STORES, DAYS, seed=3)
    with pytest.MonkeyPatch.context() as patch, prefect_test_harness(server_startup_timeout=120):
        patch.setenv("ROSSMANN_DATA_DIR", str(home))
        patch.setenv("ROSSMANN_FOLDS", "2")
        yield home


@pytest.fixture(scope="module")
def earlier(world):
    """The first run: the world as it was 30 days before its last day."""
    return retrain(as_of=LAST_DAY - timedelta(days=30))


@pytest.fixture
def snapshots(world):
    return str(world / "snapshots")


def known(world) -> Registry:
    settings = Settings()
    return Registry(settings.tracking_uri, settings.place("models"))


def test_one_run_leads_from_raw_files_to_forecasts(world, earlier, snapshots):
    assert earlier.verdict.promote, earlier.verdict.reasons
    assert current_snapshot(snapshots) == earlier.snapshot
    champion = registry.champion(known(world))
    assert champion.version == earlier.trained.challenger == earlier.delivered.champion
    assert champion.card.snapshot == earlier.snapshot
    table = pd.read_csv(earlier.delivered.file, parse_dates=["Date"])
    assert list(table.columns) == ["Store", "Date", "Sales", "Lower", "Upper"]
    history = load_snapshot(snapshots)
    plan = history.plan(history.origin, 48)
    np.testing.assert_array_equal(table.Store, plan.store)
    assert ((table.Sales == 0) == (plan.open == 0)).all()
    assert ((table.Lower <= table.Sales) & (table.Sales <= table.Upper)).all()
    assert Path(earlier.delivered.picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("key", ["validation", "leaderboard", "verdict", "forecast"])
def test_the_ui_shows_what_each_step_came_to(earlier, key):
    assert Artifact.get(key).data


def test_the_same_again_reuses_everything(world, earlier, monkeypatch):
    monkeypatch.setenv("ROSSMANN_RAY_ADDRESS", NOWHERE)
    again = retrain(as_of=LAST_DAY - timedelta(days=30))
    assert again.snapshot == earlier.snapshot
    assert again.trained == earlier.trained
    assert not again.verdict.promote
    assert "champion already" in again.verdict.reasons[0]
    assert len(registry.versions(known(world))) == 1


def test_the_forecast_is_what_the_backtest_said(world, earlier, snapshots):
    """A recipe fitted here, without Ray, and asked as the champion is asked, says what the fold's rows say."""
    history = load_snapshot(snapshots, earlier.snapshot)
    race = training.load_race(Storage(str(world / "backtests")), earlier.trained.race)
    rows = race.backtest.of("xgboost")
    origin = rows.origin.max().to_datetime64().astype("datetime64[D]")
    (recipe,) = (c for c in models.candidates(("xgboost",)) if c.name == "xgboost")
    starts = [start for start in models.lesson_origins(history.dates[0], history.origin) if start < origin]
    forecaster = models.fit(recipe, [models.lesson(history, start) for start in starts], origin, 7)
    past, plan = history.until(origin), history.plan(origin, 48)
    made = forecaster.predict(features.summarise(past), plan)
    np.testing.assert_allclose(rows[rows.origin == rows.origin.max()].forecast, made.sales, rtol=1e-9)


def test_the_rows_of_a_plan_are_forecast_in_its_order_with_its_ids(world, earlier, tmp_path):
    whole = pd.read_csv(earlier.delivered.file)
    asked = whole[["Store", "Date"]].sample(40, random_state=1).assign(Id=range(900, 940))
    asked.to_csv(tmp_path / "plan.csv", index=False)
    made = forecast(plan=str(tmp_path / "plan.csv"), out=str(tmp_path / "out.csv"))
    table = pd.read_csv(made.file)
    assert list(table.columns) == ["Id", "Store", "Date", "Sales", "Lower", "Upper"]
    assert table.Id.tolist() == asked.Id.tolist()
    same = asked.merge(whole, on=["Store", "Date"], how="left")
    np.testing.assert_array_equal(table.Sales, same.Sales)
    kaggle = pd.read_csv(forecast(plan=str(tmp_path / "plan.csv"), out=str(tmp_path / "k.csv"), kaggle=True).file)
    assert list(kaggle.columns) == ["Id", "Sales"]


def test_a_failing_input_leaves_the_snapshot_and_says_where_its_rows_are(world, earlier, snapshots, tmp_path):
    raw = tmp_path / "raw"
    write_world(raw, STORES, DAYS, seed=3)
    days = pd.read_csv(raw / "train.csv", dtype=str)
    days.loc[[5, 9], "Sales"] = "-1"
    days.to_csv(raw / "train.csv", index=False)
    with pytest.raises(ValidationError, match="2 rows: Sales is negative") as refused:
        ingest(str(raw))
    assert current_snapshot(snapshots) == earlier.snapshot
    assert len(list_snapshots(snapshots)) == 1
    where = refused.value.__notes__[0].splitlines()[0].removeprefix("All failing rows: ")
    assert len(pd.read_csv(where)) == 2


def test_too_many_folds_say_how_many_days_it_takes(world, earlier):
    with pytest.raises(DataError, match="history too short for 9 folds"):
        train(folds=9)


def test_new_days_make_a_new_snapshot_and_a_fair_fight(world, earlier, snapshots):
    """The champion is judged as stale as it is: 30 days behind, with its own recipe."""
    ingest()
    newer = next(s for s in list_snapshots(snapshots) if s.current)
    assert newer.origin == str(LAST_DAY)
    assert newer.parent == earlier.snapshot
    trained = train()
    assert trained.challenger == 2
    decided = release()
    assert any("champion v1" in reason for reason in decided.reasons)
    assert any("median" in reason for reason in decided.reasons)
    expected = 2 if decided.promote else 1
    assert registry.champion(known(world)).version == expected
    assert registry.ledger(known(world))[0].action == ("promote" if decided.promote else "refuse")


def test_the_command_answers_a_mistake_on_one_screen_with_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr(sys, "argv", ["rossmann", "snapshots", "restore", "abc"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert "no snapshot abc" in told
    assert "Traceback" not in told


def test_folds_are_the_settings(world, earlier):
    race = training.load_race(Storage(str(world / "backtests")), earlier.trained.race)
    history = load_snapshot(str(world / "snapshots"), earlier.snapshot)
    origins = evaluation.fold_origins(history, 2, 48, 48)
    assert set(race.backtest.rows.origin.to_numpy().astype("datetime64[D]")) == set(origins)
