"""Accuracy of forecasts: joined with their actuals, summed by day, and compared with the backtest and the baseline."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from rossmann import evaluation, features, journal, models, monitoring
from rossmann.data import Plan
from rossmann.journal import JournalEntry
from rossmann.models import Forecast
from rossmann.monitoring import performance

NOW = datetime(2015, 2, 10, 12, tzinfo=UTC)
ALL_TIME = date(2013, 1, 1), date(2016, 1, 1)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/journal.db"


def journal_entry(
    request_id: str, source: str, origin: np.datetime64, plan: Plan, sales: np.ndarray, version: int = 1
) -> JournalEntry:
    forecast = Forecast(sales, sales * 0.9, sales * 1.1)
    return JournalEntry(request_id, NOW, source, version, "f" * 16, origin, 2.5, plan, forecast)


def week_after(history, origin: np.datetime64, error: float) -> tuple[Plan, np.ndarray]:
    """The plan of the week after `origin`, and forecasts that differ from its sales by the relative `error`."""
    return history.plan(origin, 7), history.actuals(origin, 7).sales * (1 + error)


@pytest.fixture
def week(noisy, url):
    """A batch of the last week, 10 % too high; read back from the journal and joined with its actuals."""
    origin = noisy.origin - 7
    journal.write_entry(url, journal_entry("batch-1", "batch", origin, *week_after(noisy, origin, 0.1)))
    forecasts = journal.read_forecasts(url, (origin + 1).item(), noisy.origin.item())
    return monitoring.join_actuals(forecasts, noisy)


def test_every_forecast_of_a_past_day_has_its_actuals(noisy, week):
    actuals = noisy.actuals(noisy.origin - 7, 7).sales
    assert len(week) == len(actuals)
    np.testing.assert_allclose(np.sort(week.sales), np.sort(actuals))
    np.testing.assert_allclose(week.forecast, week.sales * 1.1)
    assert set(week.lead_days) == set(range(1, 8))


def test_future_days_and_days_without_a_row_have_no_actuals(noisy, url):
    plan = noisy.plan(noisy.origin - 3, 10)
    journal.write_entry(url, journal_entry("batch-1", "batch", noisy.origin - 3, plan, np.full(len(plan), 5000.0)))
    forecasts = journal.read_forecasts(url, *ALL_TIME)
    assert monitoring.join_actuals(forecasts, noisy).date.max() == pd.Timestamp(noisy.origin.item())
    without_rows = replace(noisy, sales=np.where(np.arange(len(noisy.dates)) >= 498, np.nan, noisy.sales))
    assert monitoring.join_actuals(forecasts, without_rows).date.nunique() == 1


def test_forecasts_of_an_unknown_store_have_no_actuals(noisy, url):
    origin = noisy.origin - 7
    plan, sales = week_after(noisy, origin, 0.0)
    unknown = int(np.setdiff1d(np.arange(1, 100), noisy.stores.number)[0])
    renamed = replace(plan, store=np.where(plan.store == plan.store[0], unknown, plan.store).astype(np.int32))
    journal.write_entry(url, journal_entry("batch-1", "batch", origin, renamed, sales))
    rows = monitoring.join_actuals(journal.read_forecasts(url, *ALL_TIME), noisy)
    assert set(rows.store) == set(noisy.stores.number) - {plan.store[0]}


def test_a_forecast_over_http_counts_once_and_only_with_the_plan_that_came(noisy, url):
    origin = noisy.origin - 7
    plan, sales = week_after(noisy, origin, 0.0)
    for request_id in ("a", "b"):
        journal.write_entry(url, journal_entry(request_id, "http", origin, plan, sales))
    what_if = replace(plan, promo=(1 - plan.promo).astype(np.int8))
    journal.write_entry(url, journal_entry("c", "http", origin, what_if, sales * 9))
    journal.write_entry(url, journal_entry("d", "batch", origin, what_if, sales * 9))
    rows = monitoring.join_actuals(journal.read_forecasts(url, (origin + 1).item(), noisy.origin.item()), noisy)
    assert rows.source.value_counts().to_dict() == {"http": len(plan), "batch": len(plan)}
    http = rows[rows.source == "http"]
    np.testing.assert_allclose(http.forecast, http.sales)


def test_daily_sums_add_up_to_the_scores_of_all_rows(noisy):
    """Compared with `evaluation.scores` of the rows themselves."""
    rows = performance.baseline_forecasts(noisy, noisy.origin - 20)
    rows = rows.assign(lower=rows.forecast * 0.9, upper=rows.forecast * 1.1)
    scores = performance.scores_of_sums(monitoring.daily_sums(rows), "slice", "value")
    for name, value in (("promo", 1), ("store_type", "b"), ("lead_week", 2), ("store", noisy.stores.number[3])):
        expected = evaluation.scores(rows[rows[name] == value])
        for score in ("rmspe", "mae", "bias", "coverage", "rows"):
            assert scores[score][name, str(value)] == pytest.approx(expected[score])
    assert scores.rmspe["all", ""] == pytest.approx(evaluation.scores(rows).rmspe)


def test_the_accuracy_of_a_day_is_never_overwritten(week, url):
    sums = monitoring.daily_sums(week)
    journal.append_rows(url, journal.accuracy, sums)
    journal.append_rows(url, journal.accuracy, sums.assign(squared_relative_error=0.0))
    stored = journal.read_rows(url, journal.accuracy, date(2013, 1, 1))
    pd.testing.assert_series_equal(
        stored.squared_relative_error.sort_values(ignore_index=True),
        sums.squared_relative_error.sort_values(ignore_index=True),
    )
    assert performance.scores_of_sums(stored, "slice").rmspe["all"] == pytest.approx(0.1)


def test_the_baseline_forecasts_from_the_day_before(noisy):
    since = noisy.origin - 6
    rows = performance.baseline_forecasts(noisy, since)
    median = models.default_candidate(evaluation.BASELINE)
    forecaster = models.fit(median, (), since - 1, 0)
    state = features.fit_state(noisy.until(since - 1))
    np.testing.assert_allclose(rows.forecast, forecaster.predict(state, noisy.plan(since - 1, 7)).sales)


@pytest.fixture
def reference(noisy):
    """A backtest of one fold that is 10 % off, half of the rows above and half below."""
    fold = evaluation.cut_fold(noisy, noisy.origin - 97, 48)
    factor = np.where(np.arange(len(fold.plan)) % 2, 1.1, 0.9)
    return monitoring.backtest_reference(evaluation.backtest_rows("x", fold, fold.actuals.sales * factor), 1)


def accuracy_of_weeks(noisy, errors: list[float]) -> pd.DataFrame:
    """An accuracy table of weeks up to the origin, each with its relative error; the baseline is 50 % off."""
    tables = []
    for weeks_back, week_error in enumerate(reversed(errors)):
        fold = evaluation.cut_fold(noisy, noisy.origin - 7 * (weeks_back + 1), 7)
        for source, version, error in (("batch", 1, week_error), ("baseline", 0, 0.5)):
            rows = evaluation.backtest_rows("x", fold, fold.actuals.sales * (1 + error))
            tables.append(monitoring.daily_sums(rows.assign(source=source, model_version=version)))
    table = pd.concat(tables, ignore_index=True)
    return table.astype({"date": "datetime64[s]"})


@pytest.mark.parametrize(
    ("errors", "weeks_beyond_limit", "degraded"),
    [([0.1] * 5, 0, False), ([0.1, 0.1, 0.1, 0.1, 0.3], 1, False), ([0.1, 0.1, 0.1, 0.3, 0.3], 2, True),
     ([0.1, 0.3, 0.1, 0.1, 0.1], 0, False), ([0.1, 0.1, 0.1, 0.1, 0.6], 1, True)],
)  # fmt: skip
def test_a_model_has_degraded_if_it_is_persistently_beyond_its_limit_or_worse_than_the_median(
    noisy, reference, errors, weeks_beyond_limit, degraded
):
    week = monitoring.weekly_performance(accuracy_of_weeks(noisy, errors), reference, noisy.origin, 1)
    assert week.wape == pytest.approx(errors[-1])
    assert week.rmspe == pytest.approx(errors[-1])
    assert week.expected_wape == pytest.approx(0.1, rel=0.02)
    assert week.slices.expected_rmspe["all", ""] == week.expected_rmspe == pytest.approx(0.1)
    assert week.baseline_wape == pytest.approx(0.5)
    assert (week.weeks_beyond_limit, week.degraded) == (weeks_beyond_limit, degraded)
    assert week.first == noisy.origin - 6
    assert f"WAPE is {errors[-1]:.3f}" in week.reason


def test_a_version_without_forecasts_of_the_week_has_no_performance(noisy, reference):
    assert monitoring.weekly_performance(accuracy_of_weeks(noisy, [0.1]), reference, noisy.origin, 2) is None


def test_traffic_is_counted_by_day_and_source(noisy, url):
    origin = noisy.origin - 7
    plan, sales = week_after(noisy, origin, 0.0)
    for k, source in enumerate(["http", "http", "batch"]):
        entry = journal_entry(f"r{k}", source, origin, plan, sales)
        journal.write_entry(url, replace(entry, latency_ms=float(k)))
    traffic = journal.daily_traffic(url, NOW.date(), NOW.date()).set_index("source")
    assert traffic.requests.to_dict() == {"batch": 1, "http": 2}
    assert traffic.rows.http == 2 * len(plan)
    assert traffic.p50_ms.http == 0.5
