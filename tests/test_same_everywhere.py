"""One row, one store, any order, the whole batch, a fresh process of thought: the same numbers."""

from dataclasses import replace
from datetime import UTC, datetime

import live as at
import numpy as np
import pytest
from live import Live
from threadpoolctl import threadpool_limits

from rossmann import features, models, registry, training
from rossmann.data import STATE_HOLIDAYS, Plan, save_snapshot
from rossmann.serving import deploying
from rossmann.serving.desk import Wanted
from rossmann.storage import Storage

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


@pytest.fixture(scope="module")
def backtest(endpoint: Live, tmp_path_factory):
    """A fold of a race on Ray, and the endpoint where the fold stood: on its origin, with a model learnt until it."""
    history = endpoint.history
    origin = history.origin - 48
    (recipe,) = (c for c in RACING if c.name == "blend")
    race = training.race(
        history, [training.Entrant("blend", recipe)], (origin, origin - 48), horizon_days=48, coverage=0.9, seed=7,
        ray_address=None, kept=Storage(str(tmp_path_factory.mktemp("race"))), progress=lambda *_: None,
    )  # fmt: skip
    cut = history.until(origin)
    snapshot = save_snapshot(cut, f"{endpoint.world}/snapshots", datetime.now(UTC), "test")
    origins = [each for each in models.lesson_origins(history.dates[0], history.origin) if each < origin]
    forecaster = models.fit(recipe, [models.lesson(cut, each) for each in origins], origin, 7)
    bounds = training.intervals(race.backtest, "blend", 0.9)
    made = at.register(endpoint.known, forecaster.with_intervals(bounds), cut, snapshot, "fold")
    wanted = Wanted(made, snapshot)
    deploying.deploy(endpoint.serve, wanted)
    deploying.settle(endpoint.serve, wanted, 120)
    rows = race.backtest.rows
    return rows[rows.origin == origin].set_index(["store", "date"]).sort_index(), wanted


@pytest.fixture(scope="module")
def batch(endpoint: Live, backtest):
    """What the registered model says of the fold's plan when it is loaded as `rossmann forecast` loads it."""
    history, (_, wanted) = endpoint.history, backtest
    origin = history.origin - 48
    (version,) = (v for v in registry.versions(endpoint.known) if v.version == wanted.model)
    plan = history.plan(origin, 48)
    return plan, registry.load(endpoint.known, version).predict(features.summarise(history.until(origin)), plan)


def asked(plan: Plan, rows: np.ndarray) -> list[dict]:
    return [
        {"store": int(plan.store[k]), "date": str(plan.date[k]), "open": bool(plan.open[k]),
         "promo": bool(plan.promo[k]), "state_holiday": STATE_HOLIDAYS[plan.state_holiday[k]],
         "school_holiday": bool(plan.school_holiday[k])}
        for k in rows
    ]  # fmt: skip


def told(endpoint: Live, body: dict, parts: tuple[str, ...] = ("forecast", "lower", "upper")) -> list[list[float]]:
    rows = deploying.ask(endpoint.serve, body)["forecasts"]
    return [[row[part] for row in rows] for part in parts]


@pytest.mark.slow
def test_what_the_backtest_said_is_what_the_endpoint_delivers(endpoint, backtest, batch):
    """Every store: all at once, a store at a time, a row at a time, over HTTP; the batch; the fold on Ray."""
    plan, made = batch
    expected = [made.sales, made.lower, made.upper]
    rows, _ = backtest
    fold = rows.loc[zip(plan.store, plan.date, strict=True)].forecast.to_numpy()
    np.testing.assert_allclose(made.sales, fold, rtol=1e-9)
    np.testing.assert_allclose(told(endpoint, {"plan": asked(plan, np.arange(len(plan)))}), expected, rtol=1e-9)
    for store in np.unique(plan.store):
        own = np.flatnonzero(plan.store == store)
        together = told(endpoint, {"plan": asked(plan, own)})
        np.testing.assert_allclose(together, [part[own] for part in expected], rtol=1e-9)
        alone = [told(endpoint, asked(plan, [k])[0]) for k in own[::12]]
        np.testing.assert_allclose(np.hstack(alone), [part[own[::12]] for part in expected], rtol=1e-9)


@pytest.mark.slow
def test_what_is_asked_differently_is_forecast_as_the_batch_would(endpoint, batch, backtest):
    """Promotions turned round on the rows of every second store: the others are as published, in the same request."""
    plan, _ = batch
    _, wanted = backtest
    turned = np.isin(plan.store, np.unique(plan.store)[::2])
    other = replace(plan, promo=np.where(turned, 1 - plan.promo, plan.promo).astype(np.int8))
    (version,) = (v for v in registry.versions(endpoint.known) if v.version == wanted.model)
    state = features.summarise(endpoint.history.until(endpoint.history.origin - 48))
    expected = registry.load(endpoint.known, version).predict(state, other)
    (served,) = told(endpoint, {"plan": asked(other, np.arange(len(other)))}, ("forecast",))
    np.testing.assert_allclose(served, expected.sales, rtol=1e-9)
    assert (np.abs(np.array(served)[turned] / batch[1].sales[turned].clip(1) - 1) > 1e-6).any()
