"""Every outcome after the origin is rewritten: no feature, no forecast and no fitted model may move."""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from rossmann import features, models
from rossmann.data import Plan, SalesHistory

ORIGIN = np.datetime64("2014-08-20", "D")
RACING = models.candidates(models.candidate.NAMES)


def rewritten(history: SalesHistory, first: np.datetime64, last: np.datetime64, seed: int) -> SalesHistory:
    """Other sales and customers, some of them zero, on every day first … last; stores 1 and 5 have left the books."""
    random = np.random.default_rng(seed)
    touched = (history.dates >= first) & (history.dates <= last)

    def other(values: np.ndarray) -> np.ndarray:
        drawn = np.round(np.exp(random.normal(8, 1, values.shape))) * (random.random(values.shape) > 0.1)
        drawn[[1, 5]] = np.nan
        return np.where(touched & ~np.isnan(values), drawn, values)

    return replace(history, sales=other(history.sales), customers=other(history.customers))


def after(history: SalesHistory, origin: np.datetime64) -> SalesHistory:
    return rewritten(history, origin + 1, history.origin, seed=3)


def arrays(value: object, name: str = "") -> dict[str, np.ndarray]:
    """Every array anywhere within frozen dataclasses."""
    if is_dataclass(value):
        parts = [arrays(getattr(value, field.name), f"{name}.{field.name}") for field in fields(value)]
        return {key: array for part in parts for key, array in part.items()}
    return {name: np.asarray(value)}


def moved(one: object, other: object) -> list[str]:
    """Names of the arrays that differ in any bit."""
    before, now = arrays(one), arrays(other)
    assert before.keys() == now.keys()
    return [name for name in before if before[name].tobytes() != now[name].tobytes()]


def lessons(history: SalesHistory) -> list[models.Lesson]:
    return [models.lesson(history, origin) for origin in models.lesson_origins(history.dates[0], history.origin)]


def forecast(
    history: SalesHistory, taught: list[models.Lesson], candidate: models.Candidate, plan: Plan
) -> models.Forecast:
    """As a backtest makes it: learnt up to the origin, from the State of the origin."""
    forecaster = models.fit(candidate, taught, ORIGIN, seed=7)
    return forecaster.predict(features.summarise(history.until(ORIGIN)), plan)


@pytest.fixture(scope="module")
def taught(noisy):
    return lessons(noisy)


@pytest.fixture(scope="module")
def taught_otherwise(noisy):
    return lessons(after(noisy, ORIGIN))


def test_state_and_features_do_not_move_with_what_happens_later(noisy):
    one = features.summarise(noisy.until(ORIGIN))
    other = features.summarise(after(noisy, ORIGIN).until(ORIGIN))
    assert moved(one, other) == []
    plan = noisy.plan(ORIGIN, 48)
    spec = features.FeatureSpec()
    assert features.build(one, plan, spec).tobytes() == features.build(other, plan, spec).tobytes()


@pytest.mark.parametrize("candidate", RACING, ids=lambda c: c.name)
def test_forecasts_do_not_move_with_what_happens_later(noisy, taught, taught_otherwise, candidate):
    plan = noisy.plan(ORIGIN, 48)
    one = forecast(noisy, taught, candidate, plan)
    other = forecast(after(noisy, ORIGIN), taught_otherwise, candidate, plan)
    assert one.sales.tobytes() == other.sales.tobytes()


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_fitted_models_do_not_move_with_what_happens_later(noisy, taught, taught_otherwise, name, tmp_path):
    (candidate,) = (c for c in RACING if c.name == name)
    for folder, lessons_known in (("one", taught), ("other", taught_otherwise)):
        models.fit(candidate, lessons_known, ORIGIN, seed=7).save(tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_the_lessons_after_the_origin_were_really_rewritten(taught, taught_otherwise):
    assert any(not np.array_equal(a.log_sales, b.log_sales) for a, b in zip(taught, taught_otherwise, strict=True))


@pytest.mark.parametrize("candidate", RACING, ids=lambda c: c.name)
def test_forecasts_do_move_with_what_happened_before(noisy, taught, candidate):
    past = rewritten(noisy, ORIGIN - 30, ORIGIN, seed=3)
    plan = noisy.plan(ORIGIN, 48)
    one, other = forecast(noisy, taught, candidate, plan), forecast(past, lessons(past), candidate, plan)
    assert (one.sales != other.sales).mean() > 0.5


def test_the_origin_itself_is_known(noisy):
    one = features.summarise(noisy.until(ORIGIN))
    other = features.summarise(rewritten(noisy, ORIGIN, ORIGIN, seed=3).until(ORIGIN))
    assert ".levels.recent" in moved(one, other)
    assert ".ridge.coefficients" in moved(one, other)
