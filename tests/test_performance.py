"""How forecasts went: joined with what happened, summed by day, told beside what was promised."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from rossmann import evaluation, features, journal, models, monitoring
from rossmann.data import Plan
from rossmann.journal import Entry
from rossmann.models import Forecast
from rossmann.monitoring import performance

NOW = datetime(2015, 2, 10, 12, tzinfo=UTC)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/journal.db"


def entry(request: str, source: str, origin: np.datetime64, plan: Plan, sales: np.ndarray, version: int = 1) -> Entry:
    bounds = Forecast(sales, sales * 0.9, sales * 1.1)
    return Entry(request, NOW, source, version, "f" * 16, origin, 2.5, plan, bounds)


def a_week(history, origin: np.datetime64, error: float) -> tuple[Plan, np.ndarray]:
    """The week after `origin` as planned, and what happened, off by `error`."""
    return history.plan(origin, 7), history.outcomes(origin, 7).sales * (1 + error)


@pytest.fixture
def week(noisy, url):
    """A batch of the last week, 10 % too high; read back from the journal and judged."""
    origin = noisy.origin - 7
    journal.record(url, entry("batch-1", "batch", origin, *a_week(noisy, origin, 0.1)))
    given = journal.given(url, (origin + 1).item(), noisy.origin.item())
    return monitoring.judge(given, noisy)


def test_every_planned_day_that_came_is_judged_by_what_happened(noisy, week):
    outcomes = noisy.outcomes(noisy.origin - 7, 7).sales
    assert len(week) == len(outcomes)
    np.testing.assert_allclose(np.sort(week.sales), np.sort(outcomes))
    np.testing.assert_allclose(week.forecast, week.sales * 1.1)
    assert set(week.lead_days) == set(range(1, 8))


def test_days_that_have_not_come_and_days_without_a_row_are_not_judged(noisy, url):
    plan = noisy.plan(noisy.origin - 3, 10)
    journal.record(url, entry("batch-1", "batch", noisy.origin - 3, plan, np.full(len(plan), 5000.0)))
    judged = monitoring.judge(journal.given(url, date(2013, 1, 1), date(2016, 1, 1)), noisy)
    assert judged.date.max() == pd.Timestamp(noisy.origin.item())
    closed = replace(noisy, sales=np.where(np.arange(len(noisy.dates)) >= 498, np.nan, noisy.sales))
    assert monitoring.judge(journal.given(url, date(2013, 1, 1), date(2016, 1, 1)), closed).date.nunique() == 1


def test_a_question_over_http_is_judged_once_and_only_if_it_came_as_asked(noisy, url):
    origin = noisy.origin - 7
    plan, made = a_week(noisy, origin, 0.0)
    for request in ("a", "b"):
        journal.record(url, entry(request, "http", origin, plan, made))
    what_if = replace(plan, promo=(1 - plan.promo).astype(np.int8))
    journal.record(url, entry("c", "http", origin, what_if, made * 9))
    journal.record(url, entry("d", "batch", origin, what_if, made * 9))
    judged = monitoring.judge(journal.given(url, (origin + 1).item(), noisy.origin.item()), noisy)
    assert judged.source.value_counts().to_dict() == {"http": len(plan), "batch": len(plan)}
    asked = judged[judged.source == "http"]
    np.testing.assert_allclose(asked.forecast, asked.sales)


def test_daily_sums_add_up_to_the_scores_of_all_rows(noisy):
    """The oracle is `evaluation.scores` on the rows themselves."""
    rows = performance.baseline(noisy, noisy.origin - 20)
    rows = rows.assign(lower=rows.forecast * 0.9, upper=rows.forecast * 1.1)
    sums = monitoring.sums(rows)
    told = performance.scores(sums, "slice", "value")
    for name, of in (("promo", 1), ("store_type", "b"), ("lead_week", 2), ("store", noisy.stores.number[3])):
        expected = evaluation.scores(rows[rows[name] == of])
        for score in ("rmspe", "mae", "bias", "coverage", "rows"):
            assert told[score][name, str(of)] == pytest.approx(expected[score])
    assert told.rmspe["all", ""] == pytest.approx(evaluation.scores(rows).rmspe)


def test_what_was_told_of_a_day_stays_what_was_told(week, url):
    sums = monitoring.sums(week)
    journal.keep(url, journal.accuracy, sums)
    journal.keep(url, journal.accuracy, sums.assign(squared=0.0))
    kept = journal.kept(url, journal.accuracy, date(2013, 1, 1))
    pd.testing.assert_series_equal(
        kept.squared.sort_values(ignore_index=True), sums.squared.sort_values(ignore_index=True)
    )
    assert performance.scores(kept, "slice").rmspe["all"] == pytest.approx(0.1)


def test_the_baseline_forecasts_from_the_evening_before(noisy):
    since = noisy.origin - 6
    rows = performance.baseline(noisy, since)
    (median,) = (c for c in models.candidates(()) if c.name == evaluation.BASELINE)
    made = models.fit(median, (), since - 1, 0)
    state = features.summarise(noisy.until(since - 1))
    np.testing.assert_allclose(rows.forecast, made.predict(state, noisy.plan(since - 1, 7)).sales)


@pytest.fixture
def promised(noisy):
    """A backtest of one fold that is 10 % off, half of the rows above and half below."""
    window = evaluation.fold(noisy, noisy.origin - 97, 48)
    off = np.where(np.arange(len(window.plan)) % 2, 1.1, 0.9)
    return monitoring.promise(evaluation.tabulate("x", window, window.outcomes.sales * off), 1)


def told_weeks(noisy, errors: list[float]) -> pd.DataFrame:
    """An accuracy table of weeks up to the origin, each off by its error; the baseline is 50 % off."""
    tables = []
    for back, error in enumerate(reversed(errors)):
        window = evaluation.fold(noisy, noisy.origin - 7 * (back + 1), 7)
        for source, version, off in (("batch", 1, error), ("baseline", 0, 0.5)):
            rows = evaluation.tabulate("x", window, window.outcomes.sales * (1 + off))
            tables.append(monitoring.sums(rows.assign(source=source, model_version=version)))
    table = pd.concat(tables, ignore_index=True)
    return table.astype({"date": "datetime64[s]"})


@pytest.mark.parametrize(
    ("errors", "beyond", "degraded"),
    [([0.1] * 5, 0, False), ([0.1, 0.1, 0.1, 0.1, 0.3], 1, False), ([0.1, 0.1, 0.1, 0.3, 0.3], 2, True),
     ([0.1, 0.3, 0.1, 0.1, 0.1], 0, False), ([0.1, 0.1, 0.1, 0.1, 0.6], 1, True)],
)  # fmt: skip
def test_a_model_has_degraded_when_it_persistently_breaks_its_promise_or_loses_to_the_median(
    noisy, promised, errors, beyond, degraded
):
    seen = monitoring.perform(told_weeks(noisy, errors), promised, noisy.origin, 1)
    assert seen.wape == pytest.approx(errors[-1])
    assert seen.rmspe == pytest.approx(errors[-1])
    assert seen.promised == pytest.approx(0.1, rel=0.02)
    assert seen.baseline == pytest.approx(0.5)
    assert (seen.beyond, seen.degraded) == (beyond, degraded)
    assert seen.first == noisy.origin - 6


def test_a_version_without_forecasts_of_the_week_is_not_judged(noisy, promised):
    assert monitoring.perform(told_weeks(noisy, [0.1]), promised, noisy.origin, 2) is None


def test_traffic_is_counted_by_day_and_source(noisy, url):
    origin = noisy.origin - 7
    plan, made = a_week(noisy, origin, 0.0)
    for k, source in enumerate(["http", "http", "batch"]):
        journal.record(url, replace(entry(f"r{k}", source, origin, plan, made), latency_ms=float(k)))
    seen = journal.asked_between(url, NOW.date(), NOW.date()).set_index("source")
    assert seen.requests.to_dict() == {"batch": 1, "http": 2}
    assert seen.rows.http == 2 * len(plan)
    assert seen.p50_ms.http == 0.5
