"""Forecasts are the same for one row, one store, any order, the whole batch, a loaded model, and over HTTP."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import xgboost
from threadpoolctl import threadpool_limits

from rossmann import features, models, registry, training
from rossmann.data import Plan, SalesHistory, read_history, save_snapshot
from rossmann.models.flat_trees import FlatTrees
from rossmann.models.learners import SEARCHABLE
from rossmann.schema import HOLIDAY_KINDS
from rossmann.serving import deployment
from rossmann.serving.target import ServingTarget
from rossmann.simulation import write_sample
from rossmann.storage import Storage
from tests.support import endpoint as at
from tests.support.chains import write_rich_chain
from tests.support.endpoint import RunningEndpoint

CANDIDATES = {candidate.name: candidate for candidate in models.candidates(models.CANDIDATE_NAMES)}
SPEC = features.FeatureSpec()
FORECAST_PARTS = ("sales", "lower", "upper", "standard_deviation")


def training_windows(history: SalesHistory) -> list[models.TrainingWindow]:
    origins = models.window_origins(history.dates[0], history.origin)
    windows = [models.training_window(history, origin) for origin in origins]
    return [*windows, models.past_window(history, history.origin)]


def rows_of(plan: Plan, which: np.ndarray) -> Plan:
    """The rows of a plan at these positions."""
    return Plan(**{name: values[which] for name, values in vars(plan).items()})


@pytest.fixture(scope="module")
def state(noisy):
    return features.fit_state(noisy)


@pytest.fixture(scope="module")
def plan(noisy):
    return noisy.plan(noisy.origin, 48)


@pytest.fixture(scope="module")
def forecasters(noisy):
    windows = training_windows(noisy)
    return {name: models.fit(each, windows, noisy.origin, seed=7) for name, each in CANDIDATES.items()}


def test_one_row_alone_has_the_features_of_the_batch(state, plan):
    batch = features.build(state, plan, SPEC)
    for row in range(0, len(plan), 7):
        alone = features.build(state, rows_of(plan, np.array([row])), SPEC)
        assert alone.tobytes() == batch[row : row + 1].tobytes()


def test_one_store_alone_has_the_features_of_the_batch(state, plan):
    batch = features.build(state, plan, SPEC)
    for store in np.unique(plan.store):
        rows = np.flatnonzero(plan.store == store)
        assert features.build(state, rows_of(plan, rows), SPEC).tobytes() == batch[rows].tobytes()


def test_xgboosts_trees_for_one_row_have_the_bits_of_the_library(noisy, state, plan):
    """Trees of other depths and sizes, with values that are missing anywhere and values that equal a condition."""
    windows, random = training_windows(noisy), np.random.default_rng(4)
    matrix = features.build(state, plan, SPEC)
    others = ({"max_depth": 4, "min_child_weight": 20.0}, {"max_depth": 9, "colsample_bynode": 0.8})
    trials = [models.trial_candidate("xgboost", n, params) for n, params in enumerate(others)]
    for candidate in [models.default_candidate("xgboost"), *trials]:
        trees = models.fit(candidate, windows, noisy.origin, seed=7).model
        flat = FlatTrees.of(trees.booster.save_raw("json"))
        rows = matrix[random.permutation(len(matrix))[:300]].copy()
        rows[::2] = np.where(random.random(rows[::2].shape) < 0.2, np.nan, rows[::2])
        for row in rows[1::2]:
            node = random.integers(len(flat.feature), size=20)
            row[flat.feature[node]] = flat.condition[node]
        expected = trees.booster.predict(xgboost.DMatrix(rows), validate_features=False)
        assert np.array([flat.sum(row) for row in rows]).tobytes() == expected.tobytes()


def test_the_order_of_rows_does_not_matter(state, plan):
    shuffled = np.random.default_rng(5).permutation(len(plan))
    batch = features.build(state, plan, SPEC)
    assert features.build(state, rows_of(plan, shuffled), SPEC).tobytes() == batch[shuffled].tobytes()


def test_a_backtest_has_the_features_that_the_files_of_that_day_give(tmp_path):
    """From the raw files on: rows and a competitor of later days are in them, and must not be used."""
    raw = str(write_sample(tmp_path, stores=20, days=500, seed=6))
    whole = read_history(raw).history
    origin = whole.origin - 72
    assert (whole.stores.kaggle.competition_since > origin.astype("datetime64[M]")).any()
    plan = whole.plan(origin, 48)
    backtest = features.build(features.fit_state(whole.until(origin)), plan, SPEC)
    then = features.build(features.fit_state(read_history(raw, origin.item()).history), plan, SPEC)
    assert then.tobytes() == backtest.tobytes()


@pytest.fixture(scope="module", params=[True, False], ids=["with open", "without open"])
def chain_files(request, tmp_path_factory) -> str:
    """Files of a chain with a flag, a number, a category, named holidays and attributes."""
    return write_rich_chain(tmp_path_factory.mktemp("raw"), has_open=request.param)


def test_a_backtest_of_a_chain_has_the_features_that_its_files_of_that_day_give(chain_files):
    """The training's, too. The plan ends the day before Good Friday 2015, whose eve it has."""
    whole = read_history(chain_files).history
    origin = np.datetime64("2015-04-02") - whole.horizon_days
    plan = whole.plan(origin, whole.horizon_days)
    then = features.fit_state(read_history(chain_files, origin.item()).history)
    batch = features.build(then, plan, SPEC)
    assert features.build(features.fit_state(whole.until(origin)), plan, SPEC).tobytes() == batch.tobytes()
    sold = (plan.open == 1) & (whole.actuals(origin, whole.horizon_days).sales > 0)
    window = models.training_window(whole, origin)
    assert window.matrix.tobytes() == batch[sold].tobytes()
    assert window.columns == features.column_names(then, SPEC)
    eve = window.matrix[window.date == np.datetime64("2015-04-02"), window.columns.index("holiday_until")]
    assert (eve == 1).all()


def test_one_row_of_a_chain_has_the_features_of_the_batch_and_a_snapshot_keeps_them(chain_files, tmp_path):
    history = read_history(chain_files).history
    plan = history.plan(history.origin, history.horizon_days)
    batch = features.build(features.fit_state(history), plan, SPEC)
    loaded = features.load_state(str(tmp_path), save_snapshot(history, str(tmp_path), datetime.now(UTC), "test"))
    for state in (loaded, features.load_state(str(tmp_path), history.fingerprint)):
        for row in range(0, len(plan), 13):
            alone = features.build(state, rows_of(plan, np.array([row])), SPEC)
            assert alone.tobytes() == batch[row : row + 1].tobytes()


def test_the_number_of_threads_does_not_matter(noisy, state):
    for threads in (1, 2):
        with threadpool_limits(threads):
            again = features.fit_state(noisy)
        for name, values in vars(state.ridge).items():
            assert getattr(again.ridge, name).tobytes() == values.tobytes(), f"{name} with {threads} threads"


@pytest.mark.parametrize("name", CANDIDATES)
def test_forecasts_are_the_same_alone_and_together(state, plan, forecasters, name):
    batch = forecasters[name].predict(state, plan).sales
    shuffled = np.random.default_rng(5).permutation(len(plan))
    np.testing.assert_allclose(
        forecasters[name].predict(state, rows_of(plan, shuffled)).sales, batch[shuffled], rtol=1e-9
    )
    for row in range(0, len(plan), 11):
        alone = forecasters[name].predict(state, rows_of(plan, np.array([row]))).sales
        np.testing.assert_allclose(alone, batch[row : row + 1], rtol=1e-9)


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_loaded_forecaster_forecasts_to_the_last_bit_as_before(state, plan, forecasters, name, tmp_path):
    quantiles = models.calibrate(np.ones(3), np.array([1.5, -2.0, 0.5]), coverage=0.9)
    forecaster = forecasters[name].with_quantiles(quantiles)
    forecaster.save(tmp_path / "model")
    loaded = models.load(tmp_path / "model")
    assert loaded.candidate == forecaster.candidate
    assert loaded.importance() == forecaster.importance()
    assert loaded.quantiles == quantiles
    before, after = forecaster.predict(state, plan), loaded.predict(state, plan)
    for part in FORECAST_PARTS:
        assert getattr(before, part).tobytes() == getattr(after, part).tobytes()


def test_the_same_seed_fits_the_same_model(noisy, forecasters, tmp_path):
    models.fit(CANDIDATES["blend"], training_windows(noisy), noisy.origin, seed=7).save(tmp_path / "again")
    forecasters["blend"].save(tmp_path / "first")
    files = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("model.*"))
    assert len(files) == 3
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


@pytest.mark.parametrize("name", [*SEARCHABLE, "lightgbm_calendar"])
def test_a_booster_is_the_same_for_the_same_seed(noisy, state, plan, forecasters, name):
    """LightGBM's quantized gradients depend on the number of threads; a fit has one wherever forecasts come from."""
    windows = training_windows(noisy)
    for threads in (1,) if name.startswith("lightgbm") else (1, 2):
        again = models.fit(CANDIDATES[name], windows, noisy.origin, seed=7, threads=threads)
        assert again.importance() == forecasters[name].importance()
        assert again.predict(state, plan).sales.tobytes() == forecasters[name].predict(state, plan).sales.tobytes()
    assert models.fit(CANDIDATES[name], windows, noisy.origin, seed=8).importance() != forecasters[name].importance()


@pytest.fixture(scope="module")
def backtest(endpoint: RunningEndpoint, local_ray, tmp_path_factory):
    """A fold backtested on Ray, and the endpoint on the fold's origin, with a model fitted to the days up to it."""
    history = endpoint.history
    origin = history.origin - 48
    candidate = CANDIDATES["blend"]
    run = training.run_backtests(
        history,
        [training.BacktestEntry("blend", candidate)],
        (origin, origin - 48),
        horizon_days=48,
        coverage=0.9,
        seed=7,
        ray_address=None,
        storage=Storage(str(tmp_path_factory.mktemp("backtests"))),
        progress=lambda *_: None,
    )
    cut = history.until(origin)
    snapshot = save_snapshot(cut, f"{endpoint.workspace}/snapshots", datetime.now(UTC), "test")
    origins = [each for each in models.window_origins(history.dates[0], history.origin) if each < origin]
    windows = [*(models.training_window(cut, each) for each in origins), models.past_window(cut, origin)]
    forecaster = models.fit(candidate, windows, origin, 7)
    quantiles = training.backtest_quantiles(run.backtest, "blend", 0.9)
    version = at.register(endpoint.registry, forecaster.with_quantiles(quantiles), cut, snapshot, "fold")
    current = models.follow_outcomes(quantiles, np.random.default_rng(1).normal(0.5, 2, (30, 50)))
    models.AdaptiveQuantiles(quantiles, current, origin.item()).save(f"{endpoint.workspace}/snapshots", snapshot)
    target = ServingTarget(version, snapshot)
    deployment.deploy(endpoint.serve, target)
    deployment.wait_until_ready(endpoint.serve, target, 120)
    rows = run.backtest.rows
    return rows[rows.origin == origin].set_index(["store", "date"]).sort_index(), target


@pytest.fixture(scope="module")
def batch(endpoint: RunningEndpoint, backtest):
    """The fold's plan, and its forecast by the registered model, loaded as `rossmann forecast` loads it."""
    origin = endpoint.history.origin - 48
    plan = endpoint.history.plan(origin, 48)
    state = features.fit_state(endpoint.history.until(origin))
    return plan, load_registered(endpoint, backtest[1].model_version).predict(state, plan)


def load_registered(endpoint: RunningEndpoint, version: int) -> models.Forecaster:
    """A model of the fold's snapshot, with the quantiles that this has for it."""
    (registered,) = (each for each in registry.list_models(endpoint.registry) if each.version == version)
    forecaster = registry.load_forecaster(endpoint.registry, registered)
    snapshots = f"{endpoint.workspace}/snapshots"
    snapshot = endpoint.history.until(endpoint.history.origin - 48).fingerprint
    adaptive = models.adapt(forecaster, snapshots, snapshot)
    assert adaptive.quantiles != forecaster.quantiles
    return adaptive


def request_rows(plan: Plan, rows: np.ndarray) -> list[dict]:
    return [
        {"store": int(plan.store[k]), "date": str(plan.date[k]), "open": bool(plan.open[k]),
         "promo": bool(plan.promotion[k]), "state_holiday": HOLIDAY_KINDS[plan.holiday_kind[k]],
         "school_holiday": bool(plan.school_break[k])}
        for k in rows
    ]  # fmt: skip


def served(endpoint: RunningEndpoint, body: dict) -> list[list[float]]:
    """Forecasts, bounds and quantiles of the rows of a body."""
    rows = deployment.request_forecast(endpoint.serve, body | {"quantiles": True})["forecasts"]
    return [
        *([row[name] for row in rows] for name in ("forecast", "lower", "upper")),
        *([row["quantiles"][name] for row in rows] for name in rows[0]["quantiles"]),
    ]


@pytest.mark.slow
def test_the_endpoint_returns_the_forecasts_of_the_backtest(endpoint, backtest, batch):
    """Every store: all at once, a store at a time, a row at a time, over HTTP; the batch; the fold on Ray."""
    plan, forecast = batch
    quantiles = load_registered(endpoint, backtest[1].model_version).quantiles
    values = quantiles.around(forecast.standard_deviation, forecast.sales)
    expected = [forecast.sales, forecast.lower, forecast.upper, *values.T]
    fold = backtest[0].loc[zip(plan.store, plan.date, strict=True)].forecast.to_numpy()
    np.testing.assert_allclose(forecast.sales, fold, rtol=1e-9)
    together = served(endpoint, {"plan": request_rows(plan, np.arange(len(plan)))})
    np.testing.assert_allclose(together, expected, rtol=1e-9)
    for store in np.unique(plan.store):
        store_rows = np.flatnonzero(plan.store == store)
        together = served(endpoint, {"plan": request_rows(plan, store_rows)})
        np.testing.assert_allclose(together, [part[store_rows] for part in expected], rtol=1e-9)
        alone = [served(endpoint, request_rows(plan, [k])[0]) for k in store_rows[::12]]
        np.testing.assert_allclose(np.hstack(alone), [part[store_rows[::12]] for part in expected], rtol=1e-9)


@pytest.mark.slow
def test_a_plan_that_differs_from_the_published_one_is_forecast_as_in_the_batch(endpoint, batch, backtest):
    """Every second store has the opposite promotions; the others are as published, in the same request."""
    plan, published = batch
    differs = np.isin(plan.store, np.unique(plan.store)[::2])
    other = replace(plan, promotion=np.where(differs, 1 - plan.promotion, plan.promotion).astype(np.int8))
    state = features.fit_state(endpoint.history.until(endpoint.history.origin - 48))
    expected = load_registered(endpoint, backtest[1].model_version).predict(state, other).sales
    sales, *_ = served(endpoint, {"plan": request_rows(other, np.arange(len(other)))})
    np.testing.assert_allclose(sales, expected, rtol=1e-9)
    assert (np.abs(np.array(sales)[differs] / published.sales[differs].clip(1) - 1) > 1e-6).any()
