"""The horizon of a snapshot is that of all made from it: State, training windows, backtests, forecasts, endpoint."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.forecast import forecast
from flows.retrain import retrain
from rossmann import features, models, registry, training
from rossmann.data import SalesHistory, load_snapshot, read_history, save_snapshot
from rossmann.features.columns import SCHOOL_CAP
from rossmann.schema import DAY, MAX_HORIZON_DAYS, WEEK_DAYS
from rossmann.serving.server.cores import Cores
from rossmann.serving.server.errors import ApiError
from rossmann.serving.server.loaded_model import load_model
from rossmann.serving.server.requests import PlanRow, RequestRows, to_plan
from rossmann.serving.target import ServingTarget
from rossmann.settings import Settings
from rossmann.simulation import write_sample
from rossmann.storage import Storage
from tests.support import endpoint as at
from tests.support.chains import write_rich_chain

STORES, DAYS = 6, 520
HORIZONS = (1, 60, MAX_HORIZON_DAYS)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> str:
    """Raw files whose plan is as long as any horizon."""
    return str(write_sample(tmp_path_factory.mktemp("raw"), STORES, DAYS, seed=3, horizon_days=MAX_HORIZON_DAYS))


@pytest.fixture(scope="module", params=HORIZONS)
def history(raw, request) -> SalesHistory:
    return read_history(raw, None, request.param).history


def test_a_history_has_the_plan_of_its_horizon(raw, history):
    assert len(history.plan(history.origin, 200)) == STORES * history.horizon_days
    as_of = (history.origin - 30).item()
    past = read_history(raw, as_of, history.horizon_days).history
    assert past.origin == history.origin - 30
    assert past.horizon_days == history.horizon_days
    days_of_both = slice(len(past.dates), len(past.dates) + min(history.horizon_days, 30))
    np.testing.assert_array_equal(past.calendar.promotion[:, days_of_both], history.calendar.promotion[:, days_of_both])


def test_the_features_of_the_first_days_do_not_depend_on_the_horizon(raw, history):
    """Those of the last days do: the next school holidays may be beyond it."""
    longest = read_history(raw, None, MAX_HORIZON_DAYS).history
    plan = history.plan(history.origin, max(0, history.horizon_days - SCHOOL_CAP))
    one, other = (features.build(features.fit_state(each), plan, features.FeatureSpec()) for each in (history, longest))
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("horizon_days", [1, 7, 39, 90, MAX_HORIZON_DAYS])
@pytest.mark.parametrize("has_chain_file", [False, True])
def test_files_become_a_forecast_of_every_day_of_the_horizon(raw, has_chain_file, horizon_days, tmp_path):
    """Of a chain with covariates of every kind, too; its plan has 39 days. The State that is read is the fitted one."""
    if has_chain_file:
        raw = write_rich_chain(tmp_path / "raw", horizon_days=horizon_days)
    history = read_history(raw, None, horizon_days).history
    snapshots = str(tmp_path / "snapshots")
    fingerprint = save_snapshot(history, snapshots, datetime.now(UTC), "test")
    fitted, loaded = (features.load_state(snapshots, fingerprint) for _ in range(2))
    plan, spec = history.plan(history.origin, horizon_days), features.FeatureSpec()
    assert len(plan) == STORES * horizon_days
    matrix = features.build(fitted, plan, spec)
    assert matrix.tobytes() == features.build(loaded, plan, spec).tobytes()
    assert np.isfinite(matrix[:, [name.startswith("year_ago") for name in features.column_names(fitted, spec)]]).all()
    assert np.isfinite(features.join_plan(loaded, plan).ridge).all()


def test_boosters_learn_from_windows_as_long_as_the_horizon(history):
    monday = history.origin - 240 - (history.origin - 240 - np.datetime64("2014-01-06")) % (WEEK_DAYS * DAY)
    window = models.training_window(history, monday)
    lead_days = (window.date - monday).astype(int)
    assert lead_days.min() == 1
    assert history.horizon_days - 3 <= lead_days.max() <= history.horizon_days  # the last days may be holidays


def test_a_day_beyond_the_horizon_is_refused_by_name(history):
    state = features.fit_state(history)
    last = history.origin + history.horizon_days * DAY
    row = PlanRow(store=int(state.store_numbers[0]), date=str(last))
    assert len(to_plan(RequestRows.of([row]), state)) == 1
    late = PlanRow(store=int(state.store_numbers[0]), date=str(last + 1))
    with pytest.raises(ApiError) as error:
        to_plan(RequestRows.of([late]), state)
    assert f"more than {history.horizon_days} days after {history.origin}" in error.value.problems[0].message
    assert f"the last day is {last}" in error.value.problems[0].message


@pytest.mark.slow
def test_a_replica_serves_the_whole_horizon(history, tmp_path, new_mlflow_database):
    new_mlflow_database(tmp_path)
    fingerprint = save_snapshot(history, f"{tmp_path}/snapshots", datetime.now(UTC), "test")
    store = at.registry_of(tmp_path)
    forecaster = at.fit_on_whole_history(history, "xgboost", 7)
    version = at.register(store, forecaster, history, fingerprint, "run")
    model = load_model(store, f"{tmp_path}/snapshots", Cores(tmp_path / "cores"), ServingTarget(version, fingerprint))
    batch = forecaster.predict(features.fit_state(history), history.plan(history.origin, history.horizon_days))
    np.testing.assert_array_equal(model.plan_forecast.sales, batch.sales)
    answer = model.store_answer(int(history.stores.number[2]))
    plan = answer.plan
    assert len(plan) == len(answer.forecast.sales) == history.horizon_days
    other = replace(
        model.plan,
        promotion=np.where(model.plan.store == plan.store[0], 1 - model.plan.promotion, model.plan.promotion),
    )
    np.testing.assert_allclose(
        model.answer(other).forecast.sales, forecaster.predict(model.state, other).sales, rtol=1e-9
    )


@pytest.mark.slow
def test_a_retraining_honours_the_setting_in_every_stage(
    raw, tmp_path, monkeypatch, prefect_server, local_ray, new_mlflow_database
):
    new_mlflow_database(tmp_path)
    monkeypatch.delenv("ROSSMANN_SERVE_ADDRESS", raising=False)
    for name, value in {"DATA_DIR": tmp_path, "HORIZON_DAYS": 100, "FOLDS": 2, "CANDIDATES": "ridge"}.items():
        monkeypatch.setenv(f"ROSSMANN_{name}", str(value))
    run = retrain(raw=raw)
    at.promote(at.registry_of(tmp_path), run.training.challenger)  # whatever the verdict on so small a chain
    delivered = forecast()
    history = load_snapshot(f"{tmp_path}/snapshots", run.snapshot)
    assert history.horizon_days == 100
    rows = training.load_backtest_run(Storage(f"{tmp_path}/backtests"), run.training.backtest_run).backtest.rows
    assert rows.lead_days.max() == 100
    champion = registry.champion(at.registry_of(tmp_path))
    assert max(champion.card.folds) == history.origin - 100
    table = pd.read_csv(Path(delivered.file), parse_dates=["date"])
    assert len(table) == STORES * 100
    assert table.date.max() == pd.Timestamp((history.origin + 100).item())


def test_a_longer_horizon_than_the_longest_is_refused(monkeypatch):
    monkeypatch.setenv("ROSSMANN_HORIZON_DAYS", "121")
    with pytest.raises(ValueError, match="less than or equal to 120"):
        Settings()
