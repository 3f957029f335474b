"""Stores with few days or none: their level is that of stores like them, and their intervals are honest about it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from rossmann import features, models
from rossmann.data import SalesHistory, load_snapshot, save_snapshot
from rossmann.features import new_stores
from rossmann.schema import HORIZON_DAYS
from rossmann.serving.target import ServingTarget
from tests.test_serving import Client, json_rows, loaded_model, running_host

NEW = 4  # position of a store that is open on Sundays


def with_days(history: SalesHistory, days: int) -> SalesHistory:
    """The history in which the store NEW has sales on its last `days` days only."""
    sales, customers = history.sales.copy(), history.traffic.copy()
    for values in (sales, customers):
        values[NEW, : values.shape[1] - days] = np.nan
    return replace(history, sales=sales, traffic=customers)


@pytest.fixture(scope="module")
def without_days(noisy) -> SalesHistory:
    return with_days(noisy, 0)


def test_the_level_of_similar_stores_by_hand(noisy):
    """Three stores of type 0, of assortments 0, 0 and 1, one of type 1; a new one of type 0, assortment 0."""
    stores = noisy.stores.at(np.arange(5))
    stores = replace(stores, attribute_codes=np.array([[0, 0], [0, 0], [0, 1], [1, 0], [0, 0]]))
    level, is_new = np.array([9.0, 9.2, 8.6, 8.0, np.nan]), np.array([False] * 4 + [True])
    mean, variance = new_stores.level_of_similar_stores(np.nan_to_num(level), is_new, stores)
    chain = (9.0 + 9.2 + 8.6 + 8.0) / 4
    of_type = (0.3 + 0.5 - 0.1) / (3 + 5)
    of_group = (0.3 + 0.5 - 2 * of_type) / (2 + 5)
    assert mean[4] == pytest.approx(chain + of_type + of_group)
    assert mean[0] == mean[1] == mean[4]
    square = np.square(level[:4] - mean[:4])
    of_chain = (square.sum() + 5 * 0.1) / (4 + 5)
    assert variance[4] == pytest.approx((square[0] + square[1] + 5 * of_chain) / (2 + 5))


def test_days_replace_stores_like_it_as_they_arrive(noisy):
    """From the mean of its type to its own level; the standard deviation falls to that of an established store."""
    states = {days: features.fit_state(with_days(noisy, days)) for days in (0, 14, 56, len(noisy.dates))}
    deviations = [state.ridge.standard_deviation[NEW].mean() for state in states.values()]
    assert deviations == sorted(deviations, reverse=True)
    assert deviations[0] > 2 * deviations[-1]
    levels = np.array([state.ridge.level[NEW] for state in states.values()])
    established = np.delete(states[0].ridge.level, NEW)
    assert established.min() < levels[0] < established.max()
    assert (np.abs(levels[1:] - levels[-1]) < 0.15).all()
    assert abs(levels[0] - levels[-1]) > 0.15


def test_a_snapshot_has_the_stores_without_a_row(without_days, tmp_path):
    fingerprint = save_snapshot(without_days, str(tmp_path), datetime(2015, 1, 1, tzinfo=UTC), "test")
    loaded = load_snapshot(str(tmp_path), fingerprint)
    assert loaded.stores.number.tolist() == without_days.stores.number.tolist()
    assert loaded.fingerprint == without_days.fingerprint == fingerprint


def test_established_stores_and_a_history_of_few_days_have_no_new_stores(noisy):
    assert not new_stores.is_new_store(np.full(12, 30)).any()
    assert not new_stores.is_new_store(np.zeros(12)).any()
    assert new_stores.is_new_store(np.array([0, 30, 700, 700])).tolist() == [True, True, False, False]


def test_what_a_new_store_sells_later_is_not_in_its_forecast(noisy, without_days):
    """Its first sales are after the origin; the State of the origin must not have a trace of them."""
    origin = noisy.origin - HORIZON_DAYS
    later = with_days(noisy, HORIZON_DAYS)
    states = [features.fit_state(history.until(origin)) for history in (later, without_days)]
    plan = features.published_plan(states[0])
    matrices = [features.build(state, plan, features.FeatureSpec()) for state in states]
    assert (plan.store == noisy.stores.number[NEW]).sum() == HORIZON_DAYS
    assert matrices[0].tobytes() == matrices[1].tobytes()
    for name, values in vars(states[0].ridge).items():
        assert values.tobytes() == getattr(states[1].ridge, name).tobytes()


def test_one_established_store_does_not_tell_how_much_stores_differ(noisy):
    is_new = np.arange(len(noisy.stores.number)) > 0
    level = np.where(is_new, 0, 8.5)
    mean, variance = new_stores.level_of_similar_stores(level, is_new, noisy.stores)
    assert mean == pytest.approx(8.5)
    assert (variance > 0.05).all()


@pytest.mark.parametrize("name", ["ridge", "blend"])
def test_a_new_store_is_forecast_alike_by_batch_and_endpoint(without_days, tmp_path, name):
    """Its days as published, and with the opposite promotions."""
    history, candidate = without_days, models.default_candidate(name)
    model = loaded_model(history)
    windows = [models.training_window(history, history.origin - days) for days in (96, 48)]
    windows.append(models.past_window(history, history.origin))
    forecaster = models.fit(candidate, windows, history.origin, 7).with_quantiles(model.forecaster.quantiles)
    forecast = forecaster.predict(model.state, model.plan)
    model = replace(model, forecaster=forecaster, plan_forecast=forecast)
    new_store_rows = np.flatnonzero(model.plan.store == history.stores.number[NEW])
    assert (forecast.sales[new_store_rows][model.plan.open[new_store_rows] == 1] > 0).all()
    opposite = replace(model.plan, promotion=1 - model.plan.promotion)
    with running_host(lambda target: model, tmp_path) as host:
        asyncio.run(host.switch_to(ServingTarget()))
        for plan in (model.plan, opposite):
            batch = forecaster.predict(model.state, plan)
            rows = Client(host).predict({"plan": json_rows(plan, new_store_rows)}).json()["forecasts"]
            for part, expected in (("forecast", batch.sales), ("lower", batch.lower), ("upper", batch.upper)):
                np.testing.assert_allclose([row[part] for row in rows], expected[new_store_rows], rtol=1e-9)
