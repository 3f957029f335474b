"""Candidates, learners, training windows, forecasters, blends and quantiles."""

import ast
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from benchmarks import freshness
from rossmann import features, models, provenance, settings
from rossmann.chain import KAGGLE_CHAIN
from rossmann.models import LEARNERS, day_corrections, past_windows, sklearn_trees
from rossmann.models.learner import TrainingInput
from rossmann.models.learners import SEARCHABLE
from rossmann.models.training_windows import MIN_SHORT_HISTORY_DAYS, linear_base, train_set
from rossmann.schema import DAY, SUNDAY, WEEKS_YEAR_DAYS, weekday
from tests.conftest import toy_sales

CANDIDATES = models.candidates(models.CANDIDATE_NAMES)
BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}


def windows_of(history, train_end=None) -> list[models.TrainingWindow]:
    """All training windows, and the past window of `train_end`, by default the last known day."""
    origins = models.window_origins(history.dates[0], history.origin)
    past = models.past_window(history, train_end or history.origin)
    return [*(models.training_window(history, origin) for origin in origins), past]


def past_sales(past) -> np.ndarray:
    """The sales of a window's rows."""
    return np.round(np.exp(past.log_sales))


@pytest.fixture(scope="module")
def training_windows(noisy):
    return windows_of(noisy)


@pytest.fixture(scope="module")
def forecasters(noisy, training_windows):
    return {c.name: models.fit(c, training_windows, noisy.origin, seed=7) for c in CANDIDATES}


def test_the_baselines_are_always_candidates():
    assert [c.name for c in models.candidates(["ridge"])] == ["last_week", "median", "ridge"]
    assert [c.name for c in models.candidates([])] == ["last_week", "median"]


def test_an_unknown_candidate_is_refused_with_the_names_to_choose_from():
    with pytest.raises(ValueError, match="unknown candidate prophet; choose from last_week, median, ridge, lightgbm"):
        models.candidates(["ridge", "prophet"])


def test_a_trial_has_its_parameters_beside_the_defaults():
    trial = models.trial_candidate("xgboost", 3, {"max_depth": 5, "lambda": 12.3456})
    assert trial.name == "xgboost-s3"
    assert dict(trial.params) == LEARNERS["xgboost"].defaults | {"max_depth": 5, "lambda": 12.3}


def test_a_candidate_says_which_of_its_parameters_are_no_defaults():
    trial = models.trial_candidate("xgboost", 3, {"max_depth": 5, "lambda": 12.3456, "learning_rate": 0.08})
    assert trial.param_changes == "lambda=12.3, max_depth=5"
    assert models.replace_members(BY_NAME["blend"], {"xgboost": trial}).param_changes == "with xgboost-s3"
    assert {candidate.param_changes for candidate in BY_NAME.values()} == {""}


def test_a_blend_takes_the_members_of_a_search_by_their_learner():
    trial = models.trial_candidate("xgboost", 3, {"max_depth": 5})
    blend = models.replace_members(BY_NAME["blend"], {"xgboost": trial})
    assert (blend.name, blend.members) == ("blend-s", (BY_NAME["lightgbm_calendar"], BY_NAME["lightgbm"], trial))
    assert models.replace_members(BY_NAME["blend"], {"xgboost": BY_NAME["xgboost"]}) == BY_NAME["blend"]


def test_the_members_of_the_production_blend():
    assert [member.name for member in BY_NAME["blend"].members] == ["lightgbm_calendar", "lightgbm", "xgboost"]


def test_a_further_learner_is_a_candidate_and_no_member_of_the_blend(monkeypatch):
    monkeypatch.setitem(LEARNERS, "another", replace(LEARNERS["xgboost"], name="another"))
    monkeypatch.setattr(models.candidate, "CANDIDATE_NAMES", (*models.CANDIDATE_NAMES, "another"))
    *_, blend, another = models.candidates(["another", "blend"])
    assert another.learner == "another"
    assert blend == BY_NAME["blend"]


def test_the_optional_booster_is_no_default_candidate():
    assert "hist_gradient_boosting" in models.CANDIDATE_NAMES
    assert "hist_gradient_boosting" not in settings.Settings.model_fields["candidates"].default


def test_the_default_candidates_are_in_the_table():
    assert set(settings.Settings.model_fields["candidates"].default) <= set(models.CANDIDATE_NAMES)


def test_the_libraries_of_all_learners_are_in_the_code_version():
    files = Path(models.__file__).parent.glob("*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    no_arithmetic = {"skops", "threadpoolctl"}  # they save a model, and set its number of threads
    libraries = {name.partition(".")[0] for name in modules} - no_arithmetic - {"rossmann"}
    installed = packages_distributions()
    assert {name for library in libraries for name in installed.get(library, ())} <= provenance.NUMERIC_DISTRIBUTIONS


def test_every_searched_parameter_has_a_default_within_its_range():
    for learner in LEARNERS.values():
        for param, (low, high) in learner.ranges.items():
            assert low <= learner.defaults[param] <= high


@pytest.mark.parametrize("name", SEARCHABLE)
def test_a_booster_with_leaves_as_small_as_a_search_tries_is_fitted(noisy, training_windows, name):
    lowest = {parameter: low for parameter, (low, _) in LEARNERS[name].ranges.items()}
    trial = models.trial_candidate(name, 1, lowest)
    assert models.fit(trial, training_windows, noisy.origin, seed=7).importance()


def test_boosters_are_imported_only_when_one_is_fitted_or_loaded():
    code = (
        "import sys, rossmann.models, rossmann.evaluation; "
        "print(*sorted({'lightgbm', 'xgboost', 'sklearn', 'skops'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
def test_a_candidate_is_the_same_after_writing_and_reading(candidate):
    assert models.Candidate.parse(candidate.key()) == candidate
    assert hash(models.Candidate.parse(candidate.key())) == hash(candidate)


def test_last_week_repeats_the_last_day_with_the_same_weekday_and_promo(toy):
    plan = toy.plan(toy.origin, 48)
    forecast = models.fit(BY_NAME["last_week"], [], toy.origin, seed=7).predict(features.fit_state(toy), plan)
    np.testing.assert_allclose(forecast.sales, toy_sales(plan.store, weekday(plan.date), plan.promotion))


def test_the_median_is_the_median_of_a_year(noisy):
    plan = noisy.plan(noisy.origin, 48)
    forecast = models.fit(BY_NAME["median"], [], noisy.origin, seed=7).predict(features.fit_state(noisy), plan)
    year = slice(len(noisy.dates) - WEEKS_YEAR_DAYS, len(noisy.dates))
    for row in range(0, len(plan), 5):
        s = np.searchsorted(noisy.stores.number, plan.store[row])
        same_weekday = weekday(noisy.dates[year]) == weekday(plan.date[[row]])
        same_promo = noisy.calendar.promotion[s, year] == plan.promotion[row]
        sales = noisy.sales[s, year][same_weekday & same_promo]
        sales = sales[sales > 0]
        if plan.open[row] and len(sales):
            assert forecast.sales[row] == pytest.approx(np.median(sales))


@pytest.mark.parametrize("name", BY_NAME)
def test_closed_days_are_forecast_as_zero_and_open_ones_above(noisy, forecasters, name):
    plan = noisy.plan(noisy.origin, 48)
    sales = forecasters[name].predict(features.fit_state(noisy), plan).sales
    assert (plan.open == 0).any()
    assert (sales[plan.open == 0] == 0).all()
    assert (sales[plan.open == 1] > 0).all()
    assert np.isfinite(sales).all()


@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in ("last_week", "median")])
def test_a_fitted_model_is_better_than_the_last_week(noisy, name):
    origin = noisy.origin - 48 * DAY
    state, plan = features.fit_state(noisy.until(origin)), noisy.plan(origin, 48)
    sales = noisy.actuals(origin, 48).sales
    sold = sales > 0
    windows = windows_of(noisy, origin)

    def error(candidate: str) -> float:
        forecast = models.fit(BY_NAME[candidate], windows, origin, seed=7).predict(state, plan).sales
        return float(np.sqrt(np.mean((forecast[sold] / sales[sold] - 1) ** 2)))

    assert error(name) < 0.9 * error("last_week")


def test_bounds_are_nan_without_quantiles(noisy, forecasters):
    state, plan = features.fit_state(noisy), noisy.plan(noisy.origin, 48)
    without = forecasters["ridge"].predict(state, plan)
    assert np.isnan(without.lower).all()
    quantiles = models.calibrate(np.ones(50), np.random.default_rng(1).normal(size=50), coverage=0.8)
    forecast = forecasters["ridge"].with_quantiles(quantiles).predict(state, plan)
    np.testing.assert_array_equal(forecast.sales, without.sales)
    assert (forecast.lower <= forecast.sales).all()
    assert (forecast.sales <= forecast.upper).all()
    assert (forecast.upper[plan.open == 0] == 0).all()


def test_a_blend_is_the_geometric_mean_of_its_members(noisy, forecasters):
    state, plan = features.fit_state(noisy), noisy.plan(noisy.origin, 48)
    members = BY_NAME["blend"].members
    forecasts = [forecasters[member.name].predict(state, plan).sales for member in members]
    mean = np.prod(forecasts, axis=0) ** (1 / len(members))
    sales = forecasters["blend"].predict(state, plan).sales
    np.testing.assert_allclose(sales, mean)
    other_order = models.blend(BY_NAME["blend"], [forecasters[member.name] for member in reversed(members)])
    np.testing.assert_array_equal(other_order.predict(state, plan).sales, sales)


def test_a_blend_without_a_member_is_refused(forecasters):
    with pytest.raises(ValueError, match="blend lacks its member xgboost; fit it first"):
        models.blend(BY_NAME["blend"], [forecasters["lightgbm"], forecasters["lightgbm_calendar"]])


def test_importance_shares_add_up_and_name_columns(forecasters):
    for name in (*SEARCHABLE, "blend"):
        importance = forecasters[name].importance()
        assert {column for column, _ in importance} <= set(
            features.FeatureSpec().columns(KAGGLE_CHAIN.attribute_columns)
        )
        assert sum(share for _, share in importance) == pytest.approx(1)
        assert all(a >= b for (_, a), (_, b) in pairwise(importance))
    assert forecasters["ridge"].importance() == ()


def test_origins_of_training_windows_are_counted_back_from_the_end():
    first, last = np.datetime64("2013-01-01", "D"), np.datetime64("2015-06-13", "D")
    origins = models.window_origins(first, last)
    assert origins == sorted(origins)
    assert set((last - np.array(origins)).astype(int) % 24) == {0}
    assert origins[-1] == last - 24 * DAY
    assert all(origin - first >= 399 * DAY for origin in origins)
    assert {last - 48 * DAY, last - 96 * DAY, last - 144 * DAY} <= set(origins)


@pytest.mark.parametrize("days", [324, 400, 500, 700, 942])
def test_three_folds_have_training_windows(days):
    first = np.datetime64("2013-01-01", "D")
    last = first + (days - 1) * DAY
    origins = models.window_origins(first, last)
    assert min(origins) < last - 144 * DAY
    assert min(origins) - first >= (MIN_SHORT_HISTORY_DAYS - 1) * DAY


def test_a_training_window_has_open_days_with_sales_only(noisy):
    origin = noisy.dates[80]
    training_window = models.training_window(noisy, origin)
    plan, actuals = noisy.plan(origin, 48), noisy.actuals(origin, 48)
    sold = (plan.open == 1) & (actuals.sales > 0)
    np.testing.assert_allclose(np.exp(training_window.log_sales), actuals.sales[sold])
    np.testing.assert_array_equal(training_window.date, plan.date[sold])
    expected = features.build(features.fit_state(noisy.until(origin)), plan, features.FeatureSpec())[sold]
    np.testing.assert_array_equal(training_window.matrix, expected)


def test_yesterdays_error_corrects_tomorrow_more_than_later_weeks_and_no_other_store(toy):
    """Store 1 sells 20 % more than expected on the last day; nobody else does."""
    sales = toy.sales.copy()
    sales[0, -1] *= 1.2
    plan = features.published_plan(features.fit_state(toy))
    states = [features.fit_state(history) for history in (toy, replace(toy, sales=sales))]
    before, after = (linear_base(features.join_plan(state, plan)) for state in states)
    change = np.where(plan.open == 1, after - before, np.nan).reshape(3, -1)
    lead_1, lead_15, lead_47 = change[:, 0], change[:, 14], change[:, 46]
    assert 0.02 < lead_1[0] < 0.1
    assert lead_47[0] < lead_15[0] < 0.7 * lead_1[0]
    assert np.nanmax(np.abs(change[1:])) < 0.1 * lead_1[0]


def test_the_measurement_of_freshness_scores_the_candidate_ridge(noisy):
    """By hand: the errors of the forecasts of the candidate on the last of two origins."""
    origins = freshness.origins_of(noisy)[-2:]
    (rows,) = freshness.rows_of_origins(noisy, origins)
    plan, sales = noisy.plan(origins[1], 48), noisy.actuals(origins[1], 48).sales
    ridge = models.fit(models.default_candidate("ridge"), (), origins[1], 7)
    forecast = ridge.predict(features.fit_state(noisy.until(origins[1], 56)), plan).sales
    sold = (plan.open == 1) & (sales > 0)
    np.testing.assert_allclose(rows.corrected, np.log(sales[sold] / forecast[sold]), atol=1e-5)
    capped = np.minimum(np.abs(forecast[sold] / sales[sold] - 1), 1) ** 2
    tomorrow = (plan.date - origins[1]).astype(int)[sold] == 1
    assert freshness.scores(rows).corrected["1"] == pytest.approx(capped[tomorrow].mean() ** 0.5, abs=1e-5)
    assert freshness.weights(rows).index.tolist() == ["1", "2 to 7", "8 to 14", "15 and later"]


def test_a_past_window_has_the_features_that_a_day_had_when_it_was_ahead(noisy):
    """But for competitors, which are unknown before they open. Rows are found again by date and sales."""
    past, origin = models.past_window(noisy, noisy.origin), noisy.origin - 80
    plan, sales = noisy.plan(origin, 14), noisy.actuals(origin, 14).sales
    matrix = features.build(features.fit_state(noisy.until(origin)), plan, features.CALENDAR_SPEC)
    sold = np.flatnonzero((plan.open == 1) & (sales > 0))
    row_of = {(date, amount): row for row, (date, amount) in enumerate(zip(past.date, past_sales(past), strict=True))}
    columns = [
        k
        for k, name in enumerate(features.CALENDAR_SPEC.columns(KAGGLE_CHAIN.attribute_columns))
        if not name.startswith("competition")
    ]
    for row in sold:
        of_past = past.matrix[row_of[plan.date[row], sales[row]]]
        np.testing.assert_array_equal(of_past[columns], matrix[row][columns])


def test_the_base_of_a_past_window_is_the_linear_model_of_its_origin(noisy):
    """The State of the origin, whose calendar has the last days only, gives the same for the days before it."""
    past, state = models.past_window(noisy, noisy.origin), features.fit_state(noisy)
    rows = features.past_rows(state, slice(None))
    days = slice(len(noisy.dates) - len(state.calendar.dates) + state.horizon_days, None)
    keys = zip(rows.calendar.dates[rows.row_day], noisy.sales[:, days].ravel(), strict=True)
    ridge = dict(zip(keys, rows.ridge, strict=True))
    recent = np.flatnonzero(past.date > noisy.origin - 28)
    assert len(recent) > 100
    for row in recent:
        assert past.base[row] == pytest.approx(ridge[past.date[row], past_sales(past)[row]], abs=1e-6)


def test_of_many_past_days_a_sample_with_more_of_the_later_ones_is_drawn(noisy, monkeypatch):
    monkeypatch.setattr(past_windows, "HALF_LIFE_DAYS", 100)
    everything = models.past_window(noisy, noisy.origin)
    monkeypatch.setattr(past_windows, "MEAN_ROWS", len(everything.date) // 4)
    sample = models.past_window(noisy, noisy.origin)
    assert len(sample.date) == pytest.approx(len(everything.date) / 4, rel=0.2)
    age = [(noisy.origin - window.date).astype(int).mean() for window in (everything, sample)]
    assert age[1] < 0.8 * age[0]


def test_a_booster_of_past_days_is_fitted_to_those_of_its_own_origin(noisy):
    """The linear model of a later origin has seen sales of the days that are forecast."""
    origin = noisy.origin - 48
    with pytest.raises(ValueError, match=f"no past days up to {origin}"):
        models.fit(BY_NAME["lightgbm_calendar"], [models.past_window(noisy, noisy.origin)], origin, seed=7)


def test_a_training_window_near_the_end_stops_with_the_history(noisy):
    training_window = models.training_window(noisy, noisy.origin - 10 * DAY)
    assert training_window.date.max() == noisy.origin - ((weekday(noisy.origin[None])[0] == SUNDAY) * DAY)
    assert training_window.date.min() > noisy.origin - 10 * DAY


def test_boosters_learn_what_a_store_differs_by_and_not_what_the_day_has_in_common(training_windows):
    """Sales that are 10 % higher in all stores on one day change no target; ten times the sales count as e^0.35."""
    window = training_windows[-1]
    higher = np.where(window.date == window.date[0], 0.1, 0.0)
    common = replace(window, log_sales=window.base + higher, day_difference=higher)
    np.testing.assert_allclose(TrainingInput(common, {}, 10, 7, 1).target, 0, atol=1e-12)
    accident = replace(window, log_sales=window.base + np.where(np.arange(len(higher)) == 5, np.log(10), 0))
    np.testing.assert_allclose(accident.difference, np.where(np.arange(len(higher)) == 5, 0.35, 0), atol=1e-12)


def test_the_common_difference_of_a_day_is_its_mean_over_the_stores_and_ten_without_any(training_windows):
    for window in training_windows[:-1]:
        by_day = pd.Series(np.clip(window.log_sales - window.base, -0.35, 0.35)).groupby(window.date)
        expected = by_day.transform("sum") / (by_day.transform("count") + 10)
        np.testing.assert_allclose(window.day_difference, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "lightgbm_calendar"])
def test_what_boosters_add_to_the_chain_on_a_day_is_clipped(noisy, forecasters, name, monkeypatch):
    """Their forecast beside the linear model's, in log space, and a slow version with pandas."""
    monkeypatch.setattr(day_corrections, "MAX_CORRECTION", 0.002)
    state = features.fit_state(noisy)
    plan = features.published_plan(state)
    boosted, linear = (forecasters[each].predict(state, plan).sales for each in (name, "ridge"))
    is_open = plan.open == 1
    matrix = features.build(state, plan, BY_NAME[name].spec)
    by_day = pd.Series(forecasters[name].model.correction(matrix)[is_open]).groupby(plan.date[is_open])
    mean = by_day.transform("sum") / (by_day.transform("count") + 10)
    assert (mean.abs() > 0.002).any()
    excess = mean - mean.clip(-0.002, 0.002)
    np.testing.assert_allclose(np.log(boosted[is_open] / linear[is_open]), by_day.obj - excess, atol=1e-9)


def test_fitting_never_writes_to_training_windows(noisy, training_windows, forecasters):
    read_only = []
    for training_window in training_windows:
        copies = {name: getattr(training_window, name).copy() for name in ("matrix", "date", "log_sales", "base")}
        for array in copies.values():
            array.flags.writeable = False
        read_only.append(replace(training_window, **copies))
    for name in ("blend", *SEARCHABLE):
        forecaster = models.fit(BY_NAME[name], read_only, noisy.origin, seed=7)  # a write would raise
        assert forecaster.importance() == forecasters[name].importance()


def test_a_fit_without_training_rows_is_refused(training_windows):
    with pytest.raises(ValueError, match="no training rows before 2013-06-30"):
        models.fit(BY_NAME["xgboost"], training_windows, np.datetime64("2013-06-30", "D"), seed=7)


def test_training_windows_with_other_features_are_refused(noisy):
    spec = features.FeatureSpec(ridge=False)
    other = [models.training_window(noisy, noisy.origin - 48 * DAY, spec)]
    with pytest.raises(ValueError, match="lightgbm needs training windows with FeatureSpec"):
        models.fit(BY_NAME["lightgbm"], other, noisy.origin, seed=7)


def test_of_too_many_rows_a_sample_is_drawn_by_the_seed(noisy, training_windows):
    everything = train_set(training_windows, noisy.origin, 10**9, seed=1)
    some, again, other = (train_set(training_windows, noisy.origin, 500, seed) for seed in (1, 1, 2))
    assert len(some.date) == len(some.matrix) == len(some.base) == 500
    np.testing.assert_array_equal(some.log_sales, again.log_sales)
    assert not np.array_equal(some.log_sales, other.log_sales)
    pairs = set(zip(everything.matrix[:, 0], everything.log_sales, strict=True))
    assert set(zip(some.matrix[:, 0], some.log_sales, strict=True)) <= pairs


def test_a_stored_booster_with_any_other_type_in_it_is_not_loaded(tmp_path):
    skops.io.dump(Counter("rain"), tmp_path / sklearn_trees.FILE)
    with pytest.raises(UntrustedTypesFoundException, match="Counter"):
        sklearn_trees.load(tmp_path)


def test_quantiles_have_their_nominal_coverage_on_quiet_and_on_noisy_days():
    random = np.random.default_rng(3)
    deviation = np.repeat(random.uniform(0.03, 0.3, 40), 300)
    noise, new_noise = (deviation * random.standard_t(5, len(deviation)) for _ in range(2))
    quantiles = models.calibrate(deviation, noise, coverage=0.9)
    sales, values = 100 * np.exp(new_noise), quantiles.around(deviation, np.full(len(deviation), 100.0))
    below = sales[:, None] <= values
    np.testing.assert_allclose(below.mean(axis=0), quantiles.levels, atol=0.01)
    lower, upper = quantiles.bounds(deviation, np.full(len(deviation), 100.0))
    inside = ((lower <= sales) & (sales <= upper)).reshape(40, 300)
    assert inside.mean(axis=1).min() > 0.8


@pytest.mark.parametrize("coverage", [0.9, 0.95, 0.02])
def test_quantiles_ascend_and_the_bounds_are_two_of_them_around_the_forecast(coverage):
    """Also where the forecast is biased, so that its middle quantiles are all above it."""
    random = np.random.default_rng(4)
    quantiles = models.calibrate(np.ones(500), random.normal(0.3, 0.1, 500), coverage)
    deviation, forecast = random.uniform(0.05, 0.3, 50), random.uniform(0, 9000, 50) * (np.arange(50) > 3)
    values = quantiles.around(deviation, forecast)
    assert (np.diff(values) >= 0).all()
    assert (values[forecast == 0] == 0).all()
    lower, upper = quantiles.bounds(deviation, forecast)
    assert (lower == values[:, quantiles.levels.index(round((1 - coverage) / 2, 6))]).all()
    assert (upper == values[:, quantiles.levels.index(round((1 + coverage) / 2, 6))]).all()
    assert ((lower <= forecast) & (forecast <= upper)).all()


def test_the_levels_of_the_bounds_are_added_and_every_level_has_a_name():
    quantiles = models.calibrate(np.ones(9), np.arange(9.0), coverage=0.95, levels=(0.05, 0.5, 0.9))
    assert quantiles.levels == (0.025, 0.05, 0.5, 0.9, 0.975)
    assert quantiles.columns == ("q02.5", "q05", "q50", "q90", "q97.5")
    assert quantiles.bands == ((0.95, "q02.5", "q97.5"),)


def test_the_conformal_rank_uses_n_plus_1():
    """Of 9 residuals the largest exceeds the next with probability 9/10: 0.8 in the middle needs both extremes."""
    residual = np.arange(-4, 5) / 10
    quantiles = models.calibrate(np.full(9, 2.0), residual, coverage=0.8, levels=(0.2, 0.5))
    assert quantiles.levels == (0.1, 0.2, 0.5, 0.9)
    assert quantiles.offsets == pytest.approx((-0.2, -0.15, 0, 0.2))


def test_quantiles_are_as_far_from_the_forecast_as_the_standard_deviation_of_the_row():
    quantiles = models.calibrate(np.ones(4), np.array([0.1, -0.1, 0.3, -0.3]), coverage=0.5)
    lower, upper = quantiles.bounds(np.array([1.0, 2.0]), np.array([100.0, 100.0]))
    np.testing.assert_allclose(upper, 100 * np.exp([0.3, 0.6]))
    np.testing.assert_allclose(lower, 100 * np.exp([-0.3, -0.6]))


def test_calibration_without_rows_is_refused():
    with pytest.raises(ValueError, match="no backtest rows with sales"):
        models.calibrate(np.array([]), np.array([]), coverage=0.9)
