"""One row, one store, any order, the whole batch, a fresh process of thought: the same numbers."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from rossmann import features, models
from rossmann.data import Plan

RACING = models.candidates(models.candidate.NAMES)
SPEC = features.FeatureSpec()


def rows_of(plan: Plan, which: np.ndarray) -> Plan:
    return Plan(**{name: values[which] for name, values in vars(plan).items()})


@pytest.fixture(scope="module")
def state(noisy):
    return features.summarise(noisy)


@pytest.fixture(scope="module")
def plan(noisy):
    return noisy.plan(noisy.origin, 48)


@pytest.fixture(scope="module")
def forecasters(noisy):
    origins = models.lesson_origins(noisy.dates[0], noisy.origin)
    lessons = [models.lesson(noisy, origin) for origin in origins]
    return {c.name: models.fit(c, lessons, noisy.origin, seed=7) for c in RACING}


def test_one_row_alone_has_the_features_of_the_batch(state, plan):
    batch = features.build(state, plan, SPEC)
    for row in range(0, len(plan), 7):
        alone = features.build(state, rows_of(plan, np.array([row])), SPEC)
        assert alone.tobytes() == batch[row : row + 1].tobytes()


def test_one_store_alone_has_the_features_of_the_batch(state, plan):
    batch = features.build(state, plan, SPEC)
    for store in np.unique(plan.store):
        own = np.flatnonzero(plan.store == store)
        assert features.build(state, rows_of(plan, own), SPEC).tobytes() == batch[own].tobytes()


def test_the_order_of_rows_does_not_matter(state, plan):
    shuffled = np.random.default_rng(5).permutation(len(plan))
    batch = features.build(state, plan, SPEC)
    assert features.build(state, rows_of(plan, shuffled), SPEC).tobytes() == batch[shuffled].tobytes()


def test_a_backtest_sees_what_the_past_itself_would_have_shown(noisy):
    origin = np.datetime64("2014-08-20", "D")
    cut, plan = noisy.until(origin), noisy.plan(origin, 48)
    as_it_was = replace(cut, sales=cut.sales.copy(), customers=cut.customers.copy())
    backtest = features.build(features.summarise(noisy.until(origin)), plan, SPEC)
    assert features.build(features.summarise(as_it_was), plan, SPEC).tobytes() == backtest.tobytes()


def test_the_number_of_threads_does_not_matter(noisy, state):
    for threads in (1, 2):
        with threadpool_limits(threads):
            made = features.summarise(noisy)
        for name, values in vars(state.ridge).items():
            assert getattr(made.ridge, name).tobytes() == values.tobytes(), f"{name} with {threads} threads"


@pytest.mark.parametrize("name", [c.name for c in RACING])
def test_forecasts_are_the_same_alone_and_together(state, plan, forecasters, name):
    batch = forecasters[name].predict(state, plan).sales
    shuffled = np.random.default_rng(5).permutation(len(plan))
    np.testing.assert_allclose(
        forecasters[name].predict(state, rows_of(plan, shuffled)).sales, batch[shuffled], rtol=1e-9
    )
    for row in range(0, len(plan), 11):
        alone = forecasters[name].predict(state, rows_of(plan, np.array([row]))).sales
        np.testing.assert_allclose(alone, batch[row : row + 1], rtol=1e-9)


@pytest.mark.parametrize("name", [c.name for c in RACING])
def test_a_loaded_forecaster_says_the_same(state, plan, forecasters, name, tmp_path):
    bounds = models.calibrate(np.array([1, 1, 2]), np.array([0.1, -0.2, 0.05]), coverage=0.9)
    kept = forecasters[name].with_intervals(bounds)
    kept.save(tmp_path / "model")
    loaded = models.load(tmp_path / "model")
    assert loaded.candidate == kept.candidate
    before, now = kept.predict(state, plan), loaded.predict(state, plan)
    for part in ("sales", "lower", "upper"):
        assert getattr(before, part).tobytes() == getattr(now, part).tobytes()


def test_the_same_seed_fits_the_same_model(noisy, forecasters, tmp_path):
    origins = models.lesson_origins(noisy.dates[0], noisy.origin)
    lessons = [models.lesson(noisy, origin) for origin in origins]
    (candidate,) = (c for c in RACING if c.name == "blend")
    models.fit(candidate, lessons, noisy.origin, seed=7).save(tmp_path / "again")
    forecasters["blend"].save(tmp_path / "first")
    files = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("model.*"))
    assert len(files) == 2
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
