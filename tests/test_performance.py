"""Accuracy of forecasts: joined with their actuals, summed by day, and compared with the backtest and the baseline."""

import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from flows import workspace
from flows.monitor import score_days
from rossmann import evaluation, features, journal, models, monitoring
from rossmann.data import Plan, SalesHistory, save_snapshot
from rossmann.journal import OPERATIONAL, QUESTION, SMOKE, BatchRows, ForecastRows, JournalEntry
from rossmann.models import Forecast
from rossmann.monitoring import performance, store_series
from rossmann.schema import HORIZON_DAYS
from rossmann.settings import Settings

ROW = np.zeros(1, np.int32)
NOW = datetime(2015, 2, 10, 12, tzinfo=UTC)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/journal.db"


def journal_entry(
    request_id: str, source: str, origin: np.datetime64, plan: Plan, sales: np.ndarray, purpose: str = OPERATIONAL
) -> JournalEntry:
    rows = ForecastRows(plan, Forecast(sales, sales * 0.9, sales * 1.1, sales * 0), None)
    return JournalEntry(request_id, NOW, source, purpose, 1, "f" * 16, origin, 2.5, rows)


def week_after(history, origin: np.datetime64, error: float) -> tuple[Plan, np.ndarray]:
    """The plan of the week after `origin`, and forecasts that differ from its sales by the relative `error`."""
    return history.plan(origin, 7), history.actuals(origin, 7).sales * (1 + error)


@pytest.fixture
def week(noisy, url):
    """A batch of the last week, 10 % too high; read back from the journal and joined with its actuals."""
    origin = noisy.origin - 7
    journal.write_entries(url, [journal_entry("batch-1", "batch", origin, *week_after(noisy, origin, 0.1))])
    return monitoring.join_actuals(forecasts_of(url, noisy), noisy)


def forecasts_of(url: str, history: SalesHistory) -> pd.DataFrame:
    """The operational forecasts of all days from twenty before the origin to ten after it."""
    first, last = (history.origin - 20).item(), (history.origin + 10).item()
    return pd.concat(journal.read_forecasts(url, first, last), ignore_index=True)


def test_every_forecast_of_a_past_day_has_its_actuals(noisy, week):
    actuals = noisy.actuals(noisy.origin - 7, 7).sales
    assert len(week) == len(actuals)
    np.testing.assert_allclose(np.sort(week.sales), np.sort(actuals))
    np.testing.assert_allclose(week.forecast, week.sales * 1.1)
    assert set(week.lead_days) == set(range(1, 8))


def test_future_days_and_days_without_a_row_have_no_actuals(noisy, url):
    plan = noisy.plan(noisy.origin - 3, 10)
    journal.write_entries(url, [journal_entry("batch-1", "batch", noisy.origin - 3, plan, np.full(len(plan), 5000.0))])
    forecasts = forecasts_of(url, noisy)
    assert monitoring.join_actuals(forecasts, noisy).date.max() == pd.Timestamp(noisy.origin.item())
    without_rows = replace(noisy, sales=np.where(np.arange(len(noisy.dates)) >= 498, np.nan, noisy.sales))
    assert monitoring.join_actuals(forecasts, without_rows).date.nunique() == 1


def test_forecasts_of_an_unknown_store_have_no_actuals(noisy, url):
    origin = noisy.origin - 7
    plan, sales = week_after(noisy, origin, 0.0)
    unknown = int(np.setdiff1d(np.arange(1, 100), noisy.stores.number)[0])
    renamed = replace(plan, store=np.where(plan.store == plan.store[0], unknown, plan.store).astype(np.int32))
    journal.write_entries(url, [journal_entry("batch-1", "batch", origin, renamed, sales)])
    rows = monitoring.join_actuals(forecasts_of(url, noisy), noisy)
    assert set(rows.store) == set(noisy.stores.number) - {plan.store[0]}


def test_only_operational_forecasts_are_scored_each_once(noisy, url):
    """A question with the very plan that came, too, was a question; so was the comparison after a deployment."""
    origin = noisy.origin - 7
    plan, sales = week_after(noisy, origin, 0.0)
    for request_id, factor, purpose in (
        ("a", 1, OPERATIONAL), ("b", 1, OPERATIONAL), ("c", 9, QUESTION), ("d", 9, SMOKE),
    ):  # fmt: skip
        journal.write_entries(url, [journal_entry(request_id, "batch", origin, plan, sales * factor, purpose)])
    rows = monitoring.join_actuals(forecasts_of(url, noisy), noisy)
    assert len(rows) == len(plan)
    np.testing.assert_allclose(rows.forecast, rows.sales)
    newest = journal.read_newest_forecasts(url, (origin + 1).item(), noisy.origin.item())
    assert len(newest) == len(plan)
    assert set(newest.request_id) <= {"a", "b"}


def test_the_newest_forecasts_are_those_that_drift_takes_from_all(noisy, url):
    """Three origins; the slow way reads everything and keeps each store and day's latest origin."""
    for number, days_back in enumerate((13, 10, 7)):
        plan, sales = week_after(noisy, noisy.origin - days_back, 0.1 * number)
        journal.write_entries(url, [journal_entry(f"r{number}", "batch", noisy.origin - days_back, plan, sales)])
    first, last = (noisy.origin - 20).item(), noisy.origin.item()
    newest = monitoring.join_actuals(journal.read_newest_forecasts(url, first, last), noisy)
    every = monitoring.join_actuals(forecasts_of(url, noisy), noisy)
    assert len(newest) < len(every)
    for fast, slow in zip(
        store_series.forecast_residuals(newest, noisy), store_series.forecast_residuals(every, noisy), strict=True
    ):
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.proof
def test_scoring_needs_the_memory_of_one_day(noisy, url):
    """Forecasts of 20 origins, 11,000 rows: their sums, a day after the other, against holding all of them."""
    entries = []
    for days_back in range(48, 68):
        plan = noisy.plan(noisy.origin - days_back, HORIZON_DAYS)
        sales = np.full(len(plan), 5000.0)
        entries.append(journal_entry(f"r{days_back}", "batch", noisy.origin - days_back, plan, sales))
    journal.write_entries(url, entries)
    settings = SimpleNamespace(journal_address=url)
    first, last = (noisy.origin - 67).item(), noisy.origin.item()

    def peak_bytes(consume: Callable[[Iterator[pd.DataFrame]], object]) -> int:
        tracemalloc.start()
        consume(workspace.daily_forecasts(settings, noisy, first, last))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(list)  # what is imported and compiled at the first call
    one_by_one = peak_bytes(lambda days: deque(map(monitoring.daily_sums, days), maxlen=1))
    assert one_by_one < peak_bytes(list) / 2
    sums = map(monitoring.daily_sums, workspace.daily_forecasts(settings, noisy, first, last))
    everything = monitoring.daily_sums(pd.concat(workspace.daily_forecasts(settings, noisy, first, last)))
    keys = ["date", "source", "model_version", "slice", "value"]
    pd.testing.assert_frame_equal(
        pd.concat(sums).sort_values(keys, ignore_index=True), everything.sort_values(keys, ignore_index=True)
    )


def test_daily_sums_add_up_to_the_scores_of_all_rows(noisy):
    """Compared with `evaluation.scores` of the rows themselves."""
    rows = performance.baseline_forecasts(noisy, noisy.origin - 20)
    rows = rows.assign(lower=rows.forecast * 0.9, upper=rows.forecast * 1.1)
    scores = performance.scores_of_sums(monitoring.daily_sums(rows), "slice", "value")
    for name, value in (("promotion", 1), ("attribute", "b"), ("lead_week", 2), ("store", noisy.stores.number[3])):
        expected = evaluation.scores(rows[rows[name] == value])
        for score in ("rmspe", "mae", "bias", "coverage", "rows"):
            assert scores[score][name, str(value)] == pytest.approx(expected[score])
    assert scores.rmspe["all", ""] == pytest.approx(evaluation.scores(rows).rmspe)


def test_the_error_by_days_ahead_is_over_all_rows_of_all_days(week):
    """10 % on the seven days ahead; 30 % on as many rows 20 days ahead, in another table."""
    later = week.assign(lead_days=20, forecast=week.sales * 1.3)
    both = week.assign(lead_days=20)
    scores = performance.rmspe_by_lead([week, later, both])
    assert scores.index.tolist() == ["1", "2 to 7", "8 to 14", "15 and later"]
    expected = [0.1, 0.1, np.nan, np.sqrt((0.1**2 + 0.3**2) / 2)]
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_daily_sums_are_stored_as_they_are(week, url):
    sums = monitoring.daily_sums(week)
    for _ in range(2):
        journal.append_rows(url, journal.accuracy, sums)
    stored = journal.read_rows(url, journal.accuracy, date(2013, 1, 1))
    pd.testing.assert_series_equal(
        stored.squared_relative_error.sort_values(ignore_index=True),
        sums.squared_relative_error.sort_values(ignore_index=True),
    )
    assert performance.scores_of_sums(stored, "slice").rmspe["all"] == pytest.approx(0.1)


def test_the_rows_of_a_day_are_replaced_and_no_others(week, url):
    sums = monitoring.daily_sums(week)
    journal.append_rows(url, journal.accuracy, sums)
    day = week.date.max()
    mended = sums[(sums.date == day) & (sums.slice == "all")].assign(absolute_error=0.0)
    journal.replace_days(url, journal.accuracy, [day.date()], mended)
    stored = journal.read_rows(url, journal.accuracy, date(2013, 1, 1))
    assert stored[stored.date == day].absolute_error.tolist() == [0.0]
    assert len(stored[stored.date < day]) == len(sums[sums.date < day])


@pytest.fixture
def scored(noisy, week):
    """The accuracy table after the last week was scored."""
    return monitoring.with_baseline(monitoring.daily_sums(week), noisy)


def change_sales(history):
    sales = history.sales.copy()
    sales[4, -3] += 1
    return replace(history, sales=sales)


def change_promo(history):
    promo = history.calendar.promotion.copy()
    promo[4, len(history.dates) - 3] ^= 1
    return replace(history, calendar=replace(history.calendar, promotion=promo))


def remove_row(history):
    sales = history.sales.copy()
    sales[4, -3] = np.nan
    return replace(history, sales=sales)


def test_a_day_is_scored_once_and_again_only_if_its_actuals_change(noisy, scored, url):
    empty = journal.read_rows(url, journal.accuracy, date(2013, 1, 1))
    journal.append_rows(url, journal.accuracy, scored)
    scored = journal.read_rows(url, journal.accuracy, date(2013, 1, 1))
    first = noisy.origin - 6
    assert monitoring.outdated_days(scored, noisy, first) == []
    days_with_sales = [day for day in noisy.dates[-7:] if (noisy.sales[:, noisy.dates == day] > 0).any()]
    assert monitoring.outdated_days(empty, noisy, first) == days_with_sales
    assert monitoring.outdated_days(scored, noisy, first - 2)[-1] == first - 1, "earlier days were not scored"
    for change in (change_sales, change_promo, remove_row):
        assert monitoring.outdated_days(scored, change(noisy), first) == [noisy.origin - 2], change


def test_a_day_that_only_an_earlier_snapshot_had_is_left_as_it_is(noisy, scored):
    assert monitoring.outdated_days(scored, noisy.until(noisy.origin - 3), noisy.origin - 6) == []


def test_a_day_is_scored_again_when_more_forecasts_of_it_came(noisy, url, tmp_path, monkeypatch):
    """They came with a log that a killed replica left; a repeated forecast changes nothing."""
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    snapshot = save_snapshot(noisy, Settings().workspace.snapshots, NOW, "raw")
    first, last = (noisy.origin - 6).item(), noisy.origin.item()

    def late_days() -> list[np.datetime64]:
        counts = journal.count_forecasts(url, first, last)
        return monitoring.days_with_late_forecasts(journal.read_rows(url, journal.accuracy, first), counts, noisy)

    def write(request_id: str, origin: np.datetime64, plan: Plan) -> None:
        journal.write_entries(url, [journal_entry(request_id, "batch", origin, plan, np.full(len(plan), 5000.0))])

    def scored_rows() -> int:
        score_days.fn(snapshot)
        table = journal.read_rows(url, journal.accuracy, first)
        return int(table[(table.source == "batch") & (table.slice == "all")]["rows"].sum())

    assert late_days() == []
    origin, week = noisy.origin - 7, noisy.plan(noisy.origin - 7, 7)
    half = Plan(**{name: values[: len(week) // 2] for name, values in vars(week).items()})
    write("a", origin, half)
    assert late_days() == [day for day in noisy.dates[-7:] if (noisy.sales[:, noisy.dates == day] > 0).any()]
    before = scored_rows()
    write("a again", origin, half)
    assert late_days() == []
    write("b", noisy.origin - 3, noisy.plan(noisy.origin - 3, 1))
    assert late_days() == [noisy.origin - 2]
    assert scored_rows() == before + int((noisy.sales[:, -3] > 0).sum())
    assert late_days() == []


def test_days_are_split_where_one_is_missing():
    days = [np.datetime64("2015-01-01") + day for day in (0, 1, 4, 6, 7)]
    assert [len(run) for run in monitoring.consecutive_runs(days)] == [2, 1, 2]
    assert monitoring.consecutive_runs([]) == []


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
    assert week.first_day == noisy.origin - 6
    assert f"WAPE is {errors[-1]:.3f}" in week.reason


def test_a_version_without_forecasts_of_the_week_has_no_performance(noisy, reference):
    assert monitoring.weekly_performance(accuracy_of_weeks(noisy, [0.1]), reference, noisy.origin, 2) is None


def test_days_after_the_history_which_an_earlier_snapshot_had_are_not_scored(noisy, reference):
    accuracy = accuracy_of_weeks(noisy, [0.1, 0.1, 0.1, 0.9, 0.9])
    shorter = monitoring.weekly_performance(accuracy, reference, noisy.origin - 14, 1)
    assert shorter.wape == pytest.approx(0.1)
    assert shorter.weeks_beyond_limit == 0


@pytest.mark.parametrize("horizon_days", [1, 2, 7])
def test_the_champion_is_tried_on_a_whole_week_with_any_horizon(noisy, reference, horizon_days):
    """The last day has no sales: with a horizon of one day it alone would say nothing."""
    sales = noisy.sales.copy()
    sales[:, -1] = 0.0
    history = replace(noisy, sales=sales).until(noisy.origin, horizon_days)
    median = models.fit(models.default_candidate(evaluation.BASELINE), (), history.origin, 0)
    drift = monitoring.DriftReport(history.origin, history.origin, ())
    decision = monitoring.decide_retraining(median, history, reference, drift, 0.2)
    rows = [
        evaluation.backtest_rows("x", fold, median.predict(features.fit_state(fold.past), fold.plan).sales)
        for fold in (
            evaluation.cut_fold(history, history.origin - back, min(horizon_days, back))
            for back in range(7, 0, -horizon_days)
        )
    ]
    rows = pd.concat(rows).query("sales > 0")
    assert rows.date.nunique() == 6
    wape = (rows.forecast - rows.sales).abs().sum() / rows.sales.sum()
    assert f"WAPE {wape:.3f} on the last week" in decision.reason


@pytest.mark.parametrize("horizon_days", [1, 3])
def test_a_week_of_forecasts_for_the_next_days_is_scored_as_a_week(noisy, horizon_days):
    """A forecast every day, of a model whose backtest has folds of so many days."""
    origins = [noisy.origin - 7 * number - horizon_days for number in range(2, 8)]
    folds = [evaluation.cut_fold(noisy, origin, horizon_days) for origin in origins]
    backtest = pd.concat([evaluation.backtest_rows("x", fold, fold.actuals.sales * 1.1) for fold in folds])
    reference = monitoring.backtest_reference(backtest, 1)
    assert reference.first_week_wape == pytest.approx(0.1)
    daily = [evaluation.cut_fold(noisy, noisy.origin - back, 1) for back in range(1, 8)]
    rows = pd.concat([evaluation.backtest_rows("x", fold, fold.actuals.sales * 1.3) for fold in daily])
    accuracy = monitoring.daily_sums(rows.assign(source="batch", model_version=1)).astype({"date": "datetime64[s]"})
    week = monitoring.weekly_performance(accuracy, reference, noisy.origin, 1)
    assert (week.first_day, week.last_day) == (noisy.origin - 6, noisy.origin)
    assert week.wape == pytest.approx(0.3)
    assert week.wape_limit == pytest.approx(0.11)


def test_traffic_is_counted_by_day_and_source(noisy, url):
    origin = noisy.origin - 7
    plan, sales = week_after(noisy, origin, 0.0)
    for k, source in enumerate(["http", "http", "batch"]):
        entry = journal_entry(f"r{k}", source, origin, plan, sales)
        journal.write_entries(url, [replace(entry, latency_ms=float(k))])
    traffic = journal.daily_traffic(url, NOW.date(), NOW.date()).set_index("source")
    assert traffic.requests.to_dict() == {"batch": 1, "http": 2}
    assert traffic.rows.http == 2 * len(plan)
    assert traffic.p50_ms.http == 0.5
    journal.append_rows(url, journal.traffic, traffic.reset_index())
    assert journal.daily_traffic(url, NOW.date(), NOW.date()).empty, "a day is counted once"


def test_the_traffic_of_many_requests_is_that_of_a_slow_count(noisy, url):
    """Latencies by pandas; a stored batch is no request."""
    plan, sales = week_after(noisy, noisy.origin - 7, 0.0)
    random, day = np.random.default_rng(3), datetime(2015, 2, 1, tzinfo=UTC)
    template = journal_entry("", "http", noisy.origin - 7, plan, sales)
    ats = [day + timedelta(minutes=int(minute)) for minute in random.integers(0, 3 * 24 * 60, 300)]
    entries = [
        replace(template, request_id=f"r{k}", at=at, latency_ms=latency, source=source, answer=BatchRows("x", ROW))
        for k, (at, latency, source) in enumerate(
            zip(ats, random.exponential(3, 300), random.choice(["http", "batch"], 300), strict=True)
        )
    ]
    batch = journal.published_batch(1, "f" * 16, noisy.origin - 7, template.answer, day)
    journal.write_entries(url, [*entries, batch])
    slow = pd.DataFrame([vars(entry) for entry in entries]).assign(date=[at.date() for at in ats])
    slow = slow.groupby(["date", "source"]).latency_ms.quantile([0.5, 0.99]).unstack()
    fast = journal.daily_traffic(url, day.date(), day.date() + timedelta(days=2)).set_index(["date", "source"])
    np.testing.assert_allclose(fast[["p50_ms", "p99_ms"]].sort_index(), slow.sort_index(), rtol=1e-9)
    assert fast.requests.sum() == fast.rows.sum() == 300
