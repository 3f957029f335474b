"""Drift on a sample chain: faults are found within a week and named, weeks without faults have no alarms."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.detection import (
    Case,
    days_until_named,
    drift_until,
    first_promotion_day,
    stale_forecasts,
    week_forecasts,
    with_actuals,
)
from rossmann import data, models, monitoring
from rossmann.monitoring import definitions, detect_drift
from rossmann.monitoring.covariate_drift import STATISTIC_OF_KIND
from rossmann.monitoring.definitions import DEFINITIONS, StatisticDefinition
from rossmann.monitoring.drift import explain_alarms
from rossmann.monitoring.forecast_statistics import deviating_share
from rossmann.monitoring.history_statistics import history_statistics
from rossmann.monitoring.statistics import Statistic
from rossmann.monitoring.store_series import compute_series, earlier_mean
from rossmann.schema import SATURDAY, weekday
from rossmann.simulation import FAULTS, inject_fault, write_sample
from rossmann.storage import Storage
from rossmann.validation import DataError

START = np.datetime64("2015-06-08", "D")  # a Monday
WEEKS = 20


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    raw = write_sample(tmp_path_factory.mktemp("drift"), stores=60, days=942, seed=7)
    return data.read_history(str(raw)).history.until(START + 20)


@pytest.fixture(scope="module")
def forecasts(history):
    """A week's forecasts after every origin, with actuals, as `benchmarks.detection` makes them."""
    origins = [history.origin - 7 * k for k in range(WEEKS, 0, -1)]
    return pd.concat([week_forecasts(history, origin, origin) for origin in origins], ignore_index=True)


@pytest.fixture(scope="module")
def report(history, forecasts):
    return drift_until(history, forecasts, START + 6)


@pytest.mark.parametrize(("stores", "share"), [(1, 0.0), (2, 1 / 6)])
def test_one_of_a_dozen_stores_is_no_group(stores, share):
    residual = np.random.default_rng(5).normal(0, 0.1, (12, 90))
    residual[:stores, -7:] += 1.0
    assert deviating_share(residual)[-1] == share


@pytest.mark.parametrize("last", [START - 1, START + 6, START + 13])
def test_a_week_without_a_fault_has_no_alarm(history, forecasts, last):
    assert drift_until(history, forecasts, last).alarm_findings == ()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_within_a_week_and_named(history, forecasts, name):
    start = first_promotion_day(history, START) if name == "promotion_uplift_gone" else START
    size = 0.5 if name == "concept_shift" else FAULTS[name].sizes[0]  # a tenth of few stores is hard to detect
    days, _ = days_until_named(history, forecasts, Case(name, size, ""), start)
    assert days is not None, name


def test_an_unusual_plan_is_reported_before_its_days_come(history, forecasts):
    past = history.until(START)
    coming = np.arange(len(past.dates) + 2, len(past.dates) + 26)
    weekdays = weekday(past.calendar.dates)
    constant_promo, saturday_promo = (past.calendar.promotion.copy() for _ in range(2))
    constant_promo[:, coming[weekdays[coming] < SATURDAY]] = 1
    saturday_promo[:, coming[weekdays[coming] == SATURDAY][0]] = 1
    for promo, name in ((constant_promo, "planned_promotion_share"), (saturday_promo, "unseen_combinations")):
        changed = replace(past, calendar=replace(past.calendar, promotion=promo))
        alarms = detect_drift(changed, forecasts[forecasts.date <= pd.Timestamp(START.item())]).alarm_findings
        assert name in {alarm.name for alarm in alarms}, name


def test_stale_forecasts_are_found_and_named(history, forecasts):
    rows = stale_forecasts(history, forecasts, START, 21)
    alarms = drift_until(history, rows, START + 6).alarm_findings
    assert [alarm.name for alarm in alarms] == ["stale_forecasts"]


def test_the_days_of_a_first_forecast_that_come_all_at_once_are_not_stale(history, forecasts):
    """A sample, one retraining, and its next four weeks in one ingest: there was no data for a newer forecast."""
    last = START + 6
    rows = forecasts[forecasts.date.between(pd.Timestamp((last - 27).item()), pd.Timestamp(last.item()))]
    origin = pd.Timestamp((last - 28).item())
    first_forecast = rows.assign(origin=origin, lead_days=(rows.date - origin).dt.days)
    assert first_forecast.lead_days.max() == 28
    assert drift_until(history, first_forecast, last).alarm_findings == ()


def test_the_cause_is_the_alarm_and_its_consequences_name_it(history, forecasts):
    changed = inject_fault(history, "other_unit", START)
    drift = drift_until(changed, with_actuals(forecasts, changed), START + 6)
    assert {alarm.name for alarm in drift.alarm_findings} == {"other_unit"}
    assert any("explained by other_unit" in finding.message for finding in drift.findings)
    assert all(alarm.broken_data for alarm in drift.alarm_findings)


@pytest.mark.parametrize("store_type", ["a", "c", "d"])
def test_an_alarm_about_the_chain_names_the_store_type_that_explains_it_and_its_size(history, forecasts, store_type):
    stores = history.stores.first_attribute == store_type
    drift = weaker_week(history, forecasts, stores)
    (message,) = (alarm.message for alarm in drift.alarm_findings)
    size, rest = re.search(
        rf"; store type {store_type} explains it: (-\d+\.\d)%.* stores ([+-]\d+\.\d)%", message
    ).groups()
    assert float(size) == pytest.approx(-20, abs=4)
    assert abs(float(rest)) < 5


def test_an_alarm_about_stores_of_every_kind_names_no_slice(history, forecasts):
    stores = np.zeros(len(history.stores.number), bool)
    for code in np.unique(history.stores.first_attribute):
        stores[np.flatnonzero(history.stores.first_attribute == code)[::4]] = True
    messages = [alarm.message for alarm in weaker_week(history, forecasts, stores).alarm_findings]
    assert messages
    assert not any("explains it" in message for message in messages)


def weaker_week(history, forecasts, stores: np.ndarray) -> monitoring.DriftReport:
    """The findings of a week in which some stores (bool [stores]) sell 20 % less."""
    changed = replace(history, sales=history.sales.copy(), traffic=history.traffic.copy())
    for values in (changed.sales, changed.traffic):
        values[stores, history.calendar.positions(START) :] *= 0.8
    return drift_until(changed, with_actuals(forecasts, changed), START + 6)


def test_the_statistics_of_a_day_do_not_depend_on_later_days(history):
    past = history.until(START - 1)
    days = len(past.dates)
    changed = replace(history, sales=history.sales.copy())
    changed.sales[:, days:] *= 3
    whole, cut = (list(history_statistics(each, compute_series(each))) for each in (changed, past))
    assert any(not np.array_equal(one.values[-7:], other.values[-7:]) for one, other in zip(whole, cut, strict=True))
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one.values[:days], other.values, err_msg=f"{one.definition.name} {one.subject}")


def test_forecasts_of_days_after_the_last_one_change_nothing(history, forecasts):
    last = START - 1
    is_later = forecasts.date > pd.Timestamp(last.item())
    assert is_later.any()
    changed = forecasts.assign(sales=forecasts.sales.where(~is_later, 3 * forecasts.forecast))
    findings = detect_drift(history.until(last), changed).findings
    assert findings == detect_drift(history.until(last), forecasts[~is_later]).findings


def a_definition(name: str, **changes: object) -> StatisticDefinition:
    definition = StatisticDefinition(
        name=name, kind="target", floor=0.0, required_days=4, reference="earlier days", message="{subject}: {effect}"
    )
    return replace(definition, **changes)


def test_every_definition_has_values_and_all_values_have_a_definition(report):
    of_own_covariates = set(STATISTIC_OF_KIND.values())  # Kaggle's files have none
    assert {finding.name for finding in report.findings} == set(DEFINITIONS) - of_own_covariates


def test_a_statistic_that_is_not_defined_is_refused():
    with pytest.raises(ValueError, match='"sales_lvel" is not defined'):
        definitions.find_definition("sales_lvel")


def test_an_explained_statistic_that_is_not_defined_is_refused():
    a, b = a_definition("a"), a_definition("b", explains=frozenset({"a", "c"}))
    with pytest.raises(ValueError, match='"b" explains c, which is not defined'):
        definitions.check_definitions([a, b])
    assert list(definitions.check_definitions([a, b, a_definition("c")])) == ["a", "b", "c"]


def test_a_name_that_is_defined_twice_is_refused():
    with pytest.raises(ValueError, match="defined twice"):
        definitions.check_definitions([a_definition("a"), a_definition("a")])


def test_messages_and_references_fit_the_journal(report):
    for definition in DEFINITIONS.values():
        assert definition.message.format(effect=0.1, subject="stores")
        assert "{effect:+.1%} of the stores" not in definition.message, "a share has no sign"
        assert len(definition.name) <= 32
        assert len(definition.reference) <= 64
    assert all("{" not in finding.message for finding in report.findings)


def test_causes_are_believed_in_the_order_of_the_definitions():
    """An alarm that two alarms explain names the first; one that was explained away explains nothing itself."""
    causes = [definition.name for definition in DEFINITIONS.values() if definition.explains]
    assert causes == [
        "dates_shifted", "promotion_inverted", "sundays_open", "traffic_frozen", "other_unit", "stores_missing",
        "stale_forecasts", "promotion_uplift_gone", "store_out_of_scale", "concept_shift", "residual_level",
        "sales_level",
    ]  # fmt: skip
    finding = monitoring.DriftFinding("k", "", "all stores", 1.0, 0.5, None, 7, "r", True, "m")
    names = ("concept_shift", "promotion_inverted", "dates_shifted", "stores_missing")
    explained = explain_alarms([replace(finding, name=name) for name in names])
    assert {each.name for each in explained if each.alarm} == {"dates_shifted", "stores_missing"}
    assert [each.message for each in explained[:2]] == ["m; explained by dates_shifted"] * 2


def test_data_are_broken_where_a_source_is_wrong_and_not_where_the_market_changes():
    broken = {name for name, definition in DEFINITIONS.items() if definition.broken_data}
    assert broken == {
        "dates_shifted", "promotion_inverted", "traffic_frozen", "other_unit", "stores_missing", "store_out_of_scale",
        "sundays_open", "zero_sales", "stale_forecasts",
    }  # fmt: skip


def test_the_limit_comes_from_the_earlier_values_of_the_statistic():
    random = np.random.default_rng(3)
    calm = Statistic(definition=a_definition("x"), subject="y", values=random.normal(0, 1, 300))
    spread_out = replace(calm, values=calm.values * 5)
    distances = np.abs(calm.values[:-7] - np.median(calm.values[:-7]))
    assert calm.limit == pytest.approx(1.25 * np.quantile(distances, 0.99))
    assert spread_out.limit == pytest.approx(5 * calm.limit)
    jump = np.r_[calm.values[:-4], np.full(4, 9.0)]
    assert replace(calm, values=jump).persistent
    assert not replace(calm, values=np.r_[calm.values[:-3], np.full(3, 9.0)]).persistent
    assert not replace(spread_out, values=np.r_[spread_out.values[:-4], np.full(4, 9.0)]).persistent
    assert not replace(calm, values=jump[-20:]).persistent, "too few earlier days to say what is usual"


def test_the_limit_is_never_below_the_floor():
    values = np.random.default_rng(3).normal(0, 1, 300)
    definition = a_definition("x", floor=50.0, attribute_floor=80.0)
    assert Statistic(definition=definition, subject="y", values=values).limit == 50.0
    assert Statistic(definition=definition.for_attribute(), subject="y", values=values).limit == 80.0


def test_the_usual_value_is_the_mean_of_the_days_before(history):
    """Compared with a loop over pandas."""
    values = np.where(history.sales[:5] > 0, history.sales[:5], np.nan)
    fast = earlier_mean(values, 8, 63)
    for store in range(5):
        for day in (0, 8, 40, 200, 500):
            before = pd.Series(values[store, max(day - 63, 0) : max(day - 7, 0)]).dropna()
            assert fast[store, day] == pytest.approx(before.mean() if len(before) else np.nan, nan_ok=True)


def test_sales_are_compared_with_the_same_weekdays_and_promotions(history):
    """Compared with a loop over days."""
    series, weekdays = compute_series(history), weekday(history.dates)
    store, day = 3, len(history.dates) - 4
    comparable = [
        d for d in range(day - 18 * 7, day - 13)
        if weekdays[d] == weekdays[day] and series.promotion[store, d] == series.promotion[store, day]
        and not series.holiday[store, d] and series.has_sales[store, d]
    ]  # fmt: skip
    expected = series.log_sales[store, day] - series.log_sales[store, comparable].mean()
    assert series.recent_deviation[store, day] == pytest.approx(expected)


def test_the_report_is_written_for_the_date_and_as_the_latest_and_needs_no_network(
    history, forecasts, report, tmp_path
):
    last = START + 6
    past, rows = history.until(last), forecasts[forecasts.date <= pd.Timestamp(last.item())]
    address = monitoring.write_report(past, rows, report, Storage(str(tmp_path)))
    page = (tmp_path / "latest/report.html").read_text()
    assert address == f"{tmp_path}/{last}/report.html"
    assert page == (tmp_path / f"{last}/report.html").read_text()
    assert "promotion_uplift_gone" in page
    shifted = drift_until(
        inject_fault(history, "other_unit", START), forecasts[forecasts.date <= pd.Timestamp(last.item())], last
    )
    monitoring.write_report(past, rows, shifted, Storage(str(tmp_path)))
    page = (tmp_path / "latest/report.html").read_text()
    body = page[page.index("<body>") :]
    assert -1 < body.index("sales per customer of") < body.index("<table"), "the page begins with the alarms"
    assert "<tr class=alarm>" in body
    assert "tr.alarm td { background: #fdd; color: #400 }" in page, "readable on Evidently's dark ground, too"
    assert "same season a year before" in page
    for outside in ('src="http', "src='http", '<link rel="stylesheet" href="http'):
        assert outside not in page
    assert (tmp_path / "latest/findings.json").exists()


def test_an_unknown_fault_and_a_day_outside_the_history_are_refused(history):
    with pytest.raises(DataError, match='no fault "flood"'):
        inject_fault(history, "flood", START)
    with pytest.raises(DataError, match="outside the history"):
        inject_fault(history, "other_unit", history.origin + 1)


@pytest.mark.parametrize("name", FAULTS)
def test_the_findings_of_a_fault_are_defined(name):
    assert name in DEFINITIONS


@pytest.mark.parametrize(
    ("change", "train", "sentence"),
    [
        (None, False, "a retraining is expected to save"),
        ("other_unit", False, "correct them at their source first: other_unit"),
        ("better backtest", True, "of the error"),
    ],
)
def test_a_retraining_needs_an_expected_gain_and_valid_data(history, forecasts, change, train, sentence):
    """`better backtest`: one with far less error than the champion has with a fresh State."""
    candidate = models.default_candidate("ridge")
    forecaster = models.fit(candidate, (), history.origin, 0)
    newest = inject_fault(history, "other_unit", history.origin - 6) if change == "other_unit" else history
    backtest = forecasts.assign(forecast=forecasts.sales * 1.01) if change == "better backtest" else forecasts
    decision = monitoring.decide_retraining(
        forecaster,
        newest,
        monitoring.backtest_reference(backtest, 1),
        detect_drift(newest, with_actuals(forecasts, newest)),
        0.2,
    )
    assert (decision.train, sentence in decision.reason) == (train, True), decision
