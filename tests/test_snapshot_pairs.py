"""Monitoring and the decision to retrain end on any pair of snapshots, of the champion and of other stores or days."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from rossmann import evaluation, features, models, monitoring
from rossmann.data import Calendar, SalesHistory
from rossmann.models import Forecaster
from rossmann.monitoring import detect_drift, report
from rossmann.schema import CALENDAR_COLUMNS, DAY

SEEDS = range(25)


def part_of(history: SalesHistory, stores: np.ndarray, first: int, last: int) -> SalesHistory:
    """The stores at some positions, and the days first … last of the past with the plan after them."""
    calendar = history.calendar
    days = slice(first, min(last + 1 + 48, len(calendar.dates)))
    panels = {name: getattr(calendar, name)[stores, days] for name in CALENDAR_COLUMNS}
    return replace(
        history,
        stores=history.stores.at(stores),
        calendar=Calendar(calendar.dates[days], **panels),
        sales=history.sales[stores, first : last + 1],
        traffic=history.traffic[stores, first : last + 1],
    )


@dataclass(frozen=True)
class Champion:
    """A model, its backtest, and its forecasts in the journal, all of one snapshot."""

    history: SalesHistory
    forecaster: Forecaster
    backtest: pd.DataFrame
    journal: pd.DataFrame  # as `journal.read_forecasts` returns it


def champion_of(history: SalesHistory) -> Champion:
    ridge = models.default_candidate("ridge")
    forecaster = models.fit(ridge, (), history.origin, 0)
    fold = evaluation.cut_fold(history, history.origin - 48, 48)
    backtest = evaluation.backtest_rows("x", fold, forecaster.predict(features.fit_state(fold.past), fold.plan).sales)
    batches = [journal_rows(history, forecaster, history.origin - back) for back in (21, 7, 0)]
    return Champion(history, forecaster, backtest, pd.concat(batches, ignore_index=True))


def journal_rows(history: SalesHistory, forecaster: Forecaster, origin: np.datetime64) -> pd.DataFrame:
    """A batch of the coming three weeks after `origin`."""
    plan = history.plan(origin, 21)
    forecast = forecaster.predict(features.fit_state(history.until(origin)), plan)
    return pd.DataFrame(
        {
            "request_id": f"batch-{origin}", "source": "batch", "model_version": 1,
            "origin": pd.Timestamp(origin.item()).as_unit("s"), "store": plan.store,
            "date": plan.date.astype("datetime64[s]"), "lead_days": (plan.date - origin).astype(int),
            "forecast": forecast.sales, "lower": forecast.lower, "upper": forecast.upper,
            "open": plan.open.astype(bool), "promotion": plan.promotion.astype(bool),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def champion(noisy) -> Champion:
    """Of a snapshot with three of four stores, that ends ten weeks before the whole history."""
    stores = np.flatnonzero(np.arange(len(noisy.stores.number)) % 4 > 0)
    return champion_of(part_of(noisy, stores, 30, len(noisy.dates) - 71))


def other_snapshot(noisy: SalesHistory, seed: int) -> SalesHistory:
    """Some of the stores, and the days between two random ones."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, len(noisy.stores.number) + 1))
    stores = np.sort(random.choice(len(noisy.stores.number), count, replace=False))
    first = int(random.integers(0, 200))
    days = int(random.choice([3, 9, 20, 60, 200, 280]))
    shift = int(random.integers(0, 100))
    return part_of(noisy, stores, first + shift, first + shift + days)


@pytest.mark.parametrize("seed", SEEDS)
def test_monitoring_ends_on_any_snapshot_after_the_champions(noisy, champion, seed):
    history = other_snapshot(noisy, seed)
    check(champion, history)


@pytest.mark.parametrize("stores", [slice(0, 1), slice(0, 6), slice(6, 12), slice(None)])
@pytest.mark.parametrize("days", [(0, 499), (0, 425), (0, 300), (450, 499), (494, 499), (430, 435)])
def test_monitoring_ends_without_half_of_the_stores_and_with_fewer_days(noisy, champion, stores, days):
    check(champion, part_of(noisy, np.arange(12)[stores], *days))


@pytest.mark.parametrize(("stores", "days"), [((0, 12), (494, 499)), ((0, 1), (0, 300)), ((6, 12), (0, 499))])
def test_the_report_is_rendered_on_any_snapshot(noisy, champion, stores, days):
    history = part_of(noisy, np.arange(*stores), *days)
    forecasts = monitoring.join_actuals(champion.journal, history)
    drift = detect_drift(history, forecasts, champion.backtest)
    page = report.render(history, forecasts, drift)[report.PAGE].decode()
    assert f"{drift.first_day} to {history.origin}" in page


def check(champion: Champion, history: SalesHistory) -> None:
    """Everything that the monitor and a retraining compute, with the champion of another snapshot."""
    recent = champion.journal[champion.journal.date >= pd.Timestamp((history.origin - 46 * DAY).item())]
    forecasts = monitoring.join_actuals(recent, history)
    assert set(forecasts.store) <= set(history.stores.number)
    drift = detect_drift(history, forecasts, champion.backtest)
    rows = report.select_rows(history, forecasts, drift)
    assert len(rows.current) <= len(history.stores.number) * 7
    reference = monitoring.backtest_reference(champion.backtest, 1)
    if len(forecasts):
        since = forecasts.date.min().to_datetime64().astype("datetime64[D]")
        baseline = monitoring.baseline_forecasts(history, since)
        assert set(baseline.store) <= set(history.stores.number)
        sums = pd.concat([monitoring.daily_sums(forecasts), monitoring.daily_sums(baseline)])
        sums = sums.astype({"date": "datetime64[s]"})
        performance = monitoring.weekly_performance(sums, reference, history.origin, 1)
        assert performance is None or performance.last_day <= history.origin
    decision = monitoring.decide_retraining(champion.forecaster, history, reference, drift, 0.05)
    assert decision.reason
