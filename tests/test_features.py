"""Features against values computed by hand and slow pandas loops."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from rossmann import features, schema
from rossmann.chain import KAGGLE_CHAIN
from rossmann.data import Plan
from rossmann.data.kaggle.derivations import promo2_phase
from rossmann.features import calendar, columns, levels
from rossmann.schema import DAY, HORIZON_DAYS, MEAN_YEAR_DAYS, WEEKS_YEAR_DAYS
from rossmann.validation import DataError
from tests.conftest import toy_sales

SPEC = features.FeatureSpec()
ATTRIBUTES = KAGGLE_CHAIN.attribute_columns
COLUMNS = SPEC.columns(ATTRIBUTES)


def column(matrix: np.ndarray, name: str, spec: features.FeatureSpec = SPEC) -> np.ndarray:
    """The feature of this name. [rows]"""
    return matrix[:, spec.columns(ATTRIBUTES).index(name)]


def one_row(history, store: int, date: str, **changes) -> Plan:
    plan = history.plan(history.origin, 48)
    which = (plan.store == store) & (plan.date == np.datetime64(date, "D"))
    assert which.sum() == 1
    row = {name: values[which] for name, values in vars(plan).items()}
    return Plan(**row | {name: np.array([value], np.int8) for name, value in changes.items()})


@pytest.fixture(scope="module")
def sold(noisy) -> pd.DataFrame:
    """The days with sales of the noisy chain, one row each."""
    store, day = np.nonzero(noisy.sales > 0)
    dates = pd.DatetimeIndex(noisy.dates[day])
    return pd.DataFrame(
        {
            "store": store,
            "date": dates,
            "age": len(noisy.dates) - 1 - day,
            "weekday": dates.weekday,
            "promotion": noisy.calendar.promotion[store, day],
            "school": noisy.calendar.school_break[store, day],
            "sales": noisy.sales[store, day],
            "log_sales": np.log(noisy.sales[store, day]),
        }
    )


@pytest.fixture(scope="module")
def state(noisy):
    return features.fit_state(noisy)


@pytest.fixture(scope="module")
def deviations(sold, state) -> pd.DataFrame:
    """The same days with their deviation from the expected level of their cell."""
    expected = [state.levels.expected[row.store, row.weekday, row.promotion] for row in sold.itertuples()]
    return sold.assign(deviation=sold.log_sales - expected)


def test_sales_without_noise_are_continued(toy):
    state = features.fit_state(toy)
    plan = toy.plan(toy.origin, 48)
    rows = features.join_plan(state, plan)
    future = toy_sales(plan.store, schema.weekday(plan.date), plan.promotion)[rows.open]
    np.testing.assert_allclose(rows.in_cell(state.levels.last_sales)[rows.open], future)
    np.testing.assert_allclose(rows.in_cell(state.levels.median_sales)[rows.open], future)
    np.testing.assert_allclose(np.exp(rows.ridge[rows.open]), future, rtol=0.05)


def test_every_row_of_the_plan_has_a_row_of_named_columns(toy):
    plan = toy.plan(toy.origin, 48)
    matrix = features.build(features.fit_state(toy), plan, SPEC)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert matrix.shape == (len(plan), len(COLUMNS))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert not np.isinf(matrix).any()
    np.testing.assert_array_equal(column(matrix, "promotion"), plan.promotion)
    np.testing.assert_array_equal(column(matrix, "lead_days"), (plan.date - toy.origin).astype(int))


def test_switches_remove_columns_and_leave_the_others_unchanged(toy):
    smaller = features.FeatureSpec(recent_days=(28,), neighbours=False, year_ago=False, ridge=False)
    plan = toy.plan(toy.origin, 48)
    state = features.fit_state(toy)
    whole, matrix = features.build(state, plan, SPEC), features.build(state, plan, smaller)
    assert set(smaller.columns(ATTRIBUTES)) < set(COLUMNS)
    assert matrix.shape[1] == len(smaller.columns(ATTRIBUTES))
    for name in smaller.columns(ATTRIBUTES):
        np.testing.assert_array_equal(column(matrix, name, smaller), column(whole, name))


def test_an_unknown_window_is_refused():
    with pytest.raises(ValueError, match=r"no mean deviation over \[5\] days"):
        features.FeatureSpec(recent_days=(5,))


def test_every_feature_of_the_table_is_a_column_by_default():
    assert SPEC.columns(()) == tuple(name for group in columns.GROUPS for name in group.features)
    switches = {group.switch for group in columns.GROUPS} - {None}
    assert switches == {field.name for field in fields(features.FeatureSpec)}


def test_a_new_feature_needs_no_second_list(toy, monkeypatch):
    group = columns.FeatureGroup(None, {"twice_the_lead": lambda rows: 2 * rows.lead_days})
    monkeypatch.setattr(columns, "GROUPS", (*columns.GROUPS, group))
    matrix = features.build(features.fit_state(toy), toy.plan(toy.origin, 48), SPEC)
    assert SPEC.columns(())[-1] == "twice_the_lead"
    np.testing.assert_array_equal(column(matrix, "twice_the_lead"), 2 * column(matrix, "lead_days"))


def test_two_features_with_the_same_name_are_refused():
    group = columns.FeatureGroup(None, {"promotion": lambda rows: rows.lead_days})
    with pytest.raises(ValueError, match="two features have the name promotion"):
        columns.merge_groups((*columns.GROUPS, group))


def test_a_group_with_an_unknown_switch_is_refused(monkeypatch):
    group = columns.FeatureGroup("weather", {"rain": lambda rows: rows.lead_days})
    monkeypatch.setattr(columns, "GROUPS", (*columns.GROUPS, group))
    with pytest.raises(AttributeError, match="weather"):
        SPEC.columns(())


def test_date_parts_agree_with_pandas():
    dates = np.datetime64("2012-12-25", "D") + np.arange(800)
    parts, slow = calendar.date_parts(dates), pd.DatetimeIndex(dates)
    np.testing.assert_array_equal(parts.weekday, slow.weekday)
    np.testing.assert_array_equal(parts.day_of_month, slow.day)
    np.testing.assert_array_equal(parts.days_left_in_month, slow.days_in_month - slow.day)
    np.testing.assert_array_equal(parts.month, slow.month - 1)
    np.testing.assert_array_equal(parts.day_of_year, slow.dayofyear - 1)


@pytest.mark.parametrize("day", ["2013-03-31", "2014-04-20", "2015-04-05", "2019-04-21", "2024-03-31", "2038-04-25"])
def test_easter_sundays_are_those_of_the_almanac(day):
    assert calendar.date_parts(np.array([day], "datetime64[D]")).days_from_easter == [0]


def test_days_since_and_until_agree_with_a_loop():
    event = np.random.default_rng(1).random((5, 60)) < 0.1
    since, until = calendar.days_since(event, 14), calendar.days_until(event, 14)
    for s in range(5):
        for day in range(60):
            before = [day - d for d in range(day + 1) if event[s, d]]
            after = [d - day for d in range(day, 60) if event[s, d]]
            assert since[s, day] == min([*before, 14])
            assert until[s, day] == min([*after, 14])


def test_counts_between_agree_with_a_loop():
    flag = np.random.default_rng(2).random((4, 40)) < 0.4
    for first, last in ((1, 7), (-7, -1), (-3, 3), (0, 0)):
        counted = calendar.count_between(flag, first, last)
        for day in range(40):
            window = flag[:, max(0, day + first) : max(0, day + last + 1)]
            np.testing.assert_array_equal(counted[:, day], window.sum(axis=1))


def test_promo2_rounds_start_in_their_months(toy):
    dates = np.array(["2014-02-28", "2014-03-03", "2014-04-01", "2014-05-01", "2014-06-30"], "datetime64[D]")
    phase = promo2_phase(toy.stores, dates)
    assert phase[0].tolist() == [3, 3, 3, 3, 3]  # takes no part
    assert phase[1].tolist() == [3, 2, 0, 1, 2]  # from 3 March; rounds start in January, April, July, October


def test_days_until_and_since_a_refurbishment_are_counted():
    closed = np.zeros((1, 40), bool)
    closed[0, [3, 10, 11, 12, 13, 14, 20, 21]] = True  # a day, five days, two days
    assert calendar.days_until_closure(closed, 14)[0, :16].tolist() == [
        10,
        9,
        8,
        7,
        6,
        5,
        4,
        3,
        2,
        1,
        0,
        0,
        14,
        14,
        14,
        14,
    ]
    since = calendar.days_since_reopening(closed, 28)
    assert since[0, [14, 15, 16, 22, 39]].tolist() == [28, 0, 1, 7, 24]
    assert calendar.closure_days(closed, since, 28)[0, [14, 15, 22]].tolist() == [0, 5, 5]


def test_the_first_day_of_a_new_store_is_no_reopening():
    closed = np.arange(130)[None] < 120
    assert (calendar.days_since_reopening(closed, 28) == 28).all()


def test_expected_level_is_the_shrunken_mean_of_the_last_year(sold, state):
    year = sold[sold.age < WEEKS_YEAR_DAYS]
    store_mean = year.groupby("store").log_sales.mean()
    for (weekday, promo), cell in year.groupby(["weekday", "promotion"]):
        chain = (cell.log_sales - store_mean[cell.store].to_numpy()).mean()
        for store in store_mean.index:
            logs = cell[cell.store == store].log_sales
            usual = store_mean[store] + chain
            shrunk = usual + (len(logs) / (len(logs) + 3) * (logs.mean() - usual) if len(logs) else 0)
            assert state.levels.expected[store, weekday, promo] == pytest.approx(shrunk)


def test_medians_and_last_sales_agree_with_pandas(sold, state):
    year = sold[sold.age < WEEKS_YEAR_DAYS]
    for (store, weekday, promo), cell in year.groupby(["store", "weekday", "promotion"]):
        assert state.levels.median_sales[store, weekday, promo] == cell.sales.median()
        assert state.levels.count[store, weekday, promo] == len(cell)
    for (store, weekday, promo), cell in sold.groupby(["store", "weekday", "promotion"]):
        assert state.levels.last_sales[store, weekday, promo] == cell.sort_values("date").sales.iloc[-1]


def test_recent_deviations_agree_with_pandas(deviations, state):
    for k, days in enumerate(levels.DEVIATION_DAYS):
        slow = deviations[deviations.age < days].groupby("store").deviation.mean()
        np.testing.assert_allclose(state.levels.recent_deviation[slow.index, k], slow, rtol=1e-4, atol=1e-6)
    weight = 0.5 ** (deviations.age / levels.DEVIATION_HALF_LIFE_DAYS)
    sums = (deviations.deviation * weight).groupby(deviations.store).sum()
    slow = sums / (weight.groupby(deviations.store).sum() + 1)
    np.testing.assert_allclose(state.levels.decayed_deviation, slow, atol=1e-9)


def test_the_slope_is_that_of_a_straight_line(deviations, state):
    for store, days in deviations[deviations.age < levels.SLOPE_DAYS].groupby("store"):
        slope = np.polyfit(-days.age / MEAN_YEAR_DAYS, days.deviation, 1)[0]
        assert state.levels.deviation_slope[store] == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_a_year_ago_is_the_same_weekday_of_that_season(deviations, state, noisy):
    for k, around in enumerate(levels.YEAR_AGO_AROUND):
        for lead in (1, 20, 48):
            centre = pd.Timestamp(noisy.origin) + pd.Timedelta(days=lead - WEEKS_YEAR_DAYS)
            near = deviations[(deviations.date - centre).abs() <= pd.Timedelta(days=around)]
            slow = near.groupby("store").deviation.mean()
            np.testing.assert_allclose(state.levels.year_ago[slow.index, lead - 1, k], slow, rtol=1e-4, atol=1e-6)


def test_a_plan_row_changes_the_features_of_the_days_around_it(noisy):
    state = features.fit_state(noisy)
    number = int(noisy.stores.number[0])
    tuesday, wednesday = (str(noisy.origin + lead) for lead in (8, 9))
    before = features.build(state, one_row(noisy, number, tuesday), SPEC)
    both = [one_row(noisy, number, tuesday), one_row(noisy, number, wednesday, open=0)]
    plan = Plan(*(np.concatenate([getattr(each, name) for each in both]) for name in vars(both[0])))
    together = features.build(state, plan, SPEC)
    assert column(before, "open_tomorrow")[0] == 1
    assert column(together, "open_tomorrow")[0] == 0


def test_days_without_a_published_plan_are_open_as_a_week_before(toy):
    unpublished = toy.calendar.between(toy.dates[0], toy.origin)
    whole = calendar.extend_calendar(unpublished, toy.origin + HORIZON_DAYS * DAY)
    assert whole.dates[-1] == toy.origin + HORIZON_DAYS * DAY
    np.testing.assert_array_equal(whole.open[:, -48:], toy.calendar.open[:, -48:])


def test_a_day_outside_the_horizon_is_refused(toy):
    state, plan = features.fit_state(toy), toy.plan(toy.origin, 48)
    late = replace(plan, date=plan.date + 1)
    with pytest.raises(
        DataError, match="plan for store 1 has a row for 2015-03-30, but the last day with known sales is 2015-02-09"
    ):
        features.build(state, late, SPEC)


def test_an_unknown_store_is_refused(toy):
    state, plan = features.fit_state(toy), toy.plan(toy.origin, 48)
    with pytest.raises(DataError, match="48 rows are of stores without a history, the first is store 9"):
        features.build(state, replace(plan, store=np.where(plan.store == 2, 9, plan.store)), SPEC)


def test_a_store_without_a_single_sale_has_the_chains_level(noisy):
    silent = noisy.sales.copy()
    silent[0] = np.nan
    state = features.fit_state(replace(noisy, sales=silent))
    rows = features.join_plan(state, noisy.plan(noisy.origin, 48))
    assert np.isfinite(rows.ridge).all()
    assert np.isfinite(rows.in_cell(state.levels.expected)).all()
    mean = np.nanmean(np.where(silent > 0, np.log(np.maximum(silent, 1)), np.nan))
    assert abs(state.levels.expected[0].mean() - mean) < 0.3


def test_a_history_of_a_few_days_still_has_a_state(noisy):
    state = features.fit_state(noisy.until(noisy.dates[9]))
    matrix = features.build(state, noisy.plan(noisy.dates[9], 48), SPEC)
    assert not np.isinf(matrix).any()


def test_a_plan_without_rows_has_no_features(toy):
    plan = Plan(**{name: values[:0] for name, values in vars(toy.plan(toy.origin, 48)).items()})
    assert features.build(features.fit_state(toy), plan, SPEC).shape == (0, len(COLUMNS))
