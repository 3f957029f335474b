"""All actuals after the origin are replaced: no feature, no forecast and no fitted model may change."""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from rossmann import features, models
from rossmann.data import Plan, SalesHistory
from rossmann.models.learners import SEARCHABLE

ORIGIN = np.datetime64("2014-08-20", "D")
CANDIDATES = models.candidates(models.CANDIDATE_NAMES)
BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}


def replaced(history: SalesHistory, first: np.datetime64, last: np.datetime64, seed: int) -> SalesHistory:
    """Other sales and customers, some of them zero, on every day first … last; stores 1 and 5 have no rows."""
    random = np.random.default_rng(seed)
    in_range = (history.dates >= first) & (history.dates <= last)

    def other(values: np.ndarray) -> np.ndarray:
        random_values = np.round(np.exp(random.normal(8, 1, values.shape))) * (random.random(values.shape) > 0.1)
        random_values[[1, 5]] = np.nan
        return np.where(in_range & ~np.isnan(values), random_values, values)

    return replace(history, sales=other(history.sales), customers=other(history.customers))


def with_other_future(history: SalesHistory, origin: np.datetime64) -> SalesHistory:
    """The history with other sales and customers after the origin."""
    return replaced(history, origin + 1, history.origin, seed=3)


def arrays(value: object, name: str = "") -> dict[str, np.ndarray]:
    """Every array anywhere within frozen dataclasses."""
    if is_dataclass(value):
        parts = [arrays(getattr(value, field.name), f"{name}.{field.name}") for field in fields(value)]
        return {key: array for part in parts for key, array in part.items()}
    return {name: np.asarray(value)}


def changed(one: object, other: object) -> list[str]:
    """Names of the arrays that differ in any bit."""
    first, second = arrays(one), arrays(other)
    assert first.keys() == second.keys()
    return [name for name in first if first[name].tobytes() != second[name].tobytes()]


def training_windows(history: SalesHistory) -> list[models.TrainingWindow]:
    return [
        models.training_window(history, origin) for origin in models.window_origins(history.dates[0], history.origin)
    ]


def forecast(
    history: SalesHistory, windows: list[models.TrainingWindow], candidate: models.Candidate, plan: Plan
) -> models.Forecast:
    """As in a backtest: fitted up to the origin, from the State of the origin."""
    forecaster = models.fit(candidate, windows, ORIGIN, seed=7)
    return forecaster.predict(features.fit_state(history.until(ORIGIN)), plan)


@pytest.fixture(scope="module")
def windows(noisy):
    return training_windows(noisy)


@pytest.fixture(scope="module")
def other_windows(noisy):
    return training_windows(with_other_future(noisy, ORIGIN))


def test_state_and_features_do_not_move_with_what_happens_later(noisy):
    one = features.fit_state(noisy.until(ORIGIN))
    other = features.fit_state(with_other_future(noisy, ORIGIN).until(ORIGIN))
    assert changed(one, other) == []
    plan = noisy.plan(ORIGIN, 48)
    spec = features.FeatureSpec()
    assert features.build(one, plan, spec).tobytes() == features.build(other, plan, spec).tobytes()


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
def test_forecasts_do_not_move_with_what_happens_later(noisy, windows, other_windows, candidate):
    plan = noisy.plan(ORIGIN, 48)
    one = forecast(noisy, windows, candidate, plan)
    other = forecast(with_other_future(noisy, ORIGIN), other_windows, candidate, plan)
    assert one.sales.tobytes() == other.sales.tobytes()


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_fitted_models_do_not_move_with_what_happens_later(noisy, windows, other_windows, name, tmp_path):
    for folder, usable in (("one", windows), ("other", other_windows)):
        models.fit(BY_NAME[name], usable, ORIGIN, seed=7).save(tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_the_splits_of_every_booster_do_not_move_with_what_happens_later(windows, other_windows):
    """Also of scikit-learn's, whose file has time stamps and cannot be compared byte by byte."""
    for name in SEARCHABLE:
        one, other = (models.fit(BY_NAME[name], usable, ORIGIN, seed=7) for usable in (windows, other_windows))
        assert one.importance() == other.importance()


def test_the_training_windows_after_the_origin_were_really_replaced(windows, other_windows):
    assert any(not np.array_equal(a.log_sales, b.log_sales) for a, b in zip(windows, other_windows, strict=True))


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda c: c.name)
def test_forecasts_do_move_with_what_happened_before(noisy, windows, candidate):
    past = replaced(noisy, ORIGIN - 30, ORIGIN, seed=3)
    plan = noisy.plan(ORIGIN, 48)
    one, other = forecast(noisy, windows, candidate, plan), forecast(past, training_windows(past), candidate, plan)
    assert (one.sales != other.sales).mean() > 0.5


def test_the_actuals_of_the_origin_itself_are_used(noisy):
    one = features.fit_state(noisy.until(ORIGIN))
    other = features.fit_state(replaced(noisy, ORIGIN, ORIGIN, seed=3).until(ORIGIN))
    assert ".levels.recent" in changed(one, other)
    assert ".ridge.coefficients" in changed(one, other)
