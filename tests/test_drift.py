"""Drift on a sample chain: faults are found within a week and named, clean weeks are silent, the past decides."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.detection import found, late, on_promo, seen, week, with_outcomes
from rossmann import data, models, monitoring
from rossmann.monitoring import FAULTS, examine, inject, statistics
from rossmann.monitoring.panels import earlier_mean, panels
from rossmann.sample import write_world
from rossmann.storage import Storage
from rossmann.validation import DataError

START = np.datetime64("2015-06-08", "D")  # a Monday
WEEKS = 20


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    raw = write_world(tmp_path_factory.mktemp("drift"), stores=60, days=942, seed=7)
    return data.read_history(str(raw)).history.until(START + 20)


@pytest.fixture(scope="module")
def judged(history):
    """A week's forecasts after every origin, as `benchmarks.detection` makes them."""
    origins = [history.origin - 7 * k for k in range(WEEKS, 0, -1)]
    return pd.concat([week(history, origin, origin) for origin in origins], ignore_index=True)


@pytest.mark.parametrize("last", [START - 1, START + 6, START + 13])
def test_a_week_in_which_nothing_happened_alarms_nobody(history, judged, last):
    assert seen(history, judged, last).alarms == ()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_within_a_week_and_named(history, judged, name):
    start = on_promo(history, START) if name == "promo_uplift_gone" else START
    size = 0.5 if name == "concept_shift" else FAULTS[name].sizes[0]  # of few stores a tenth is hard to see
    days, _ = found(history, judged, name, size, start, FAULTS[name].diagnosis)
    assert days is not None, name


def test_a_plan_unlike_any_before_is_told_before_its_days_come(history, judged):
    known = history.until(START)
    coming = np.arange(len(known.dates) + 2, len(known.dates) + 26)
    weekday = (known.calendar.dates.astype(int) + 3) % 7
    promoted, anew = (known.calendar.promo.copy() for _ in range(2))
    promoted[:, coming[weekday[coming] < 5]] = 1  # promotions on end
    anew[:, coming[weekday[coming] == 5][0]] = 1  # a Saturday with one
    for promo, name in ((promoted, "promos_more_than_ever"), (anew, "unseen_combinations")):
        changed = replace(known, calendar=replace(known.calendar, promo=promo))
        last = examine(changed, judged[judged.date <= pd.Timestamp(START.item())])
        assert name in {each.name for each in last.alarms}, name


def test_stale_forecasts_are_found_and_named(history, judged):
    rows = late(history, judged, START, 21)
    alarms = seen(history, rows, START + 6).alarms
    assert [each.name for each in alarms] == ["stale_forecasts"]


def test_the_cause_is_the_alarm_and_what_follows_from_it_says_so(history, judged):
    changed = inject(history, "other_unit", START)
    told = seen(changed, with_outcomes(judged, changed), START + 6)
    assert {each.name for each in told.alarms} == {"other_unit"}
    assert any("explained by other_unit" in each.story for each in told.findings)
    assert all(each.broken for each in told.alarms)


def test_nothing_after_the_last_evening_is_seen(history, judged):
    last = START - 1
    rewritten = replace(history, sales=history.sales.copy())
    rewritten.sales[:, len(history.dates) - 21 :] *= 3
    assert examine(history.until(last), judged).findings == examine(rewritten.until(last), judged).findings


def test_the_limit_comes_from_the_statistics_own_past():
    random = np.random.default_rng(3)
    calm = statistics.Statistic("target", "x", "y", random.normal(0, 1, 300), 0.0, 4, "r", "{effect}")
    wild = replace(calm, values=calm.values * 5)
    distances = np.abs(calm.values[:-7] - np.median(calm.values[:-7]))
    assert calm.limit == pytest.approx(1.25 * np.quantile(distances, 0.99))
    assert wild.limit == pytest.approx(5 * calm.limit)
    jump = np.r_[calm.values[:-4], np.full(4, 9.0)]
    assert replace(calm, values=jump).persistent
    assert not replace(calm, values=np.r_[calm.values[:-3], np.full(3, 9.0)]).persistent
    assert not replace(wild, values=np.r_[wild.values[:-4], np.full(4, 9.0)]).persistent
    assert not replace(calm, values=jump[-20:]).persistent, "too little of the past to say what is usual"


def test_what_is_usual_is_the_mean_of_the_days_before(history):
    """The oracle is a loop over pandas."""
    values = np.where(history.sales[:5] > 0, history.sales[:5], np.nan)
    fast = earlier_mean(values, 8, 63)
    for store in range(5):
        for day in (0, 8, 40, 200, 500):
            before = pd.Series(values[store, max(day - 63, 0) : max(day - 7, 0)]).dropna()
            assert fast[store, day] == pytest.approx(before.mean() if len(before) else np.nan, nan_ok=True)


def test_sales_are_compared_with_the_same_weekdays_and_promotions(history):
    """The oracle is a loop over days."""
    p, weekday = panels(history), (history.dates.astype(int) + 3) % 7
    store, day = 3, len(history.dates) - 4
    alike = [d for d in range(day - 18 * 7, day - 13) if weekday[d] == weekday[day]
             and p.promo[store, d] == p.promo[store, day] and not p.holiday[store, d] and p.sold[store, d]]  # fmt: skip
    expected = p.log_sales[store, day] - p.log_sales[store, alike].mean()
    assert p.on_recent[store, day] == pytest.approx(expected)


def test_a_report_is_there_for_the_date_and_as_the_latest_and_needs_no_network(history, judged, tmp_path):
    last = START + 6
    known, rows = history.until(last), judged[judged.date <= pd.Timestamp(last.item())]
    address = monitoring.write_report(known, rows, examine(known, rows), Storage(str(tmp_path)))
    page = (tmp_path / "latest/report.html").read_text()
    assert address == f"{tmp_path}/{last}/report.html"
    assert page == (tmp_path / f"{last}/report.html").read_text()
    assert "promo_uplift_gone" in page
    assert "same season a year before" in page
    for outside in ('src="http', "src='http", '<link rel="stylesheet" href="http'):
        assert outside not in page
    assert (tmp_path / "latest/findings.json").exists()


def test_a_fault_that_cannot_be_is_refused(history):
    with pytest.raises(DataError, match='no fault "flood"'):
        inject(history, "flood", START)
    with pytest.raises(DataError, match="outside the history"):
        inject(history, "other_unit", history.origin + 1)


@pytest.mark.parametrize(
    ("change", "train", "says"),
    [
        (None, False, "a retraining promises"),
        ("other_unit", False, "mend them first: other_unit"),
        ("promise", True, "less error"),
    ],
)
def test_a_retraining_must_pay(history, judged, change, train, says):
    """`promise`: a backtest that was far better than what the champion does with a fresh State."""
    (recipe,) = (c for c in models.candidates(("ridge",)) if c.name == "ridge")
    forecaster = models.fit(recipe, (), history.origin, 0)
    known = inject(history, "other_unit", history.origin - 6) if change == "other_unit" else history
    promised = judged.assign(forecast=judged.sales * 1.01) if change == "promise" else judged
    decision = monitoring.worth(
        forecaster, known, monitoring.promise(promised, 1), examine(known, with_outcomes(judged, known)), 0.2
    )
    assert (decision.train, says in decision.reason) == (train, True), decision
