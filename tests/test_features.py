"""Features against hand-made answers and slow pandas loops."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rossmann import features
from rossmann.data import Plan
from rossmann.features import calendar, level, ridge
from tests.conftest import toy_sales

SPEC = features.FeatureSpec()


def column(matrix: np.ndarray, name: str, spec: features.FeatureSpec = SPEC) -> np.ndarray:
    return matrix[:, spec.columns.index(name)]


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
            "promo": noisy.calendar.promo[store, day],
            "school": noisy.calendar.school_holiday[store, day],
            "sales": noisy.sales[store, day],
            "log_sales": np.log(noisy.sales[store, day]),
        }
    )


@pytest.fixture(scope="module")
def state(noisy):
    return features.summarise(noisy)


@pytest.fixture(scope="module")
def departed(sold, state) -> pd.DataFrame:
    usual = [state.levels.expected[row.store, row.weekday, row.promo] for row in sold.itertuples()]
    return sold.assign(departure=sold.log_sales - usual)


def test_a_perfectly_regular_chain_is_expected_to_go_on(toy):
    state = features.summarise(toy)
    plan = toy.plan(toy.origin, 48)
    rows = features.lay(state, plan)
    weekday = (plan.date.astype(int) + 3) % 7
    future = toy_sales(plan.store, weekday, plan.promo)[rows.open]
    np.testing.assert_allclose(rows.in_cell(state.levels.last_sales)[rows.open], future)
    np.testing.assert_allclose(rows.in_cell(state.levels.median_sales)[rows.open], future)
    np.testing.assert_allclose(np.exp(rows.ridge[rows.open]), future, rtol=0.05)


def test_columns_are_named_once_and_every_row_of_the_plan_has_its_own(toy):
    plan = toy.plan(toy.origin, 48)
    matrix = features.build(features.summarise(toy), plan, SPEC)
    assert len(set(SPEC.columns)) == len(SPEC.columns)
    assert matrix.shape == (len(plan), len(SPEC.columns))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert not np.isinf(matrix).any()
    np.testing.assert_array_equal(column(matrix, "promo"), plan.promo)
    np.testing.assert_array_equal(column(matrix, "lead_days"), (plan.date - toy.origin).astype(int))


def test_switches_take_columns_away(toy):
    spec = features.FeatureSpec(recent_days=(28,), neighbours=False, year_ago=False, ridge=False)
    plan = toy.plan(toy.origin, 48)
    state = features.summarise(toy)
    matrix = features.build(state, plan, spec)
    assert set(spec.columns) < set(SPEC.columns)
    assert matrix.shape[1] == len(spec.columns)
    for name in spec.columns:
        np.testing.assert_array_equal(column(matrix, name, spec), column(features.build(state, plan, SPEC), name))


def test_an_unknown_window_is_refused():
    with pytest.raises(ValueError, match=r"no recency mean over \[5\] days"):
        features.FeatureSpec(recent_days=(5,))


def test_day_parts_agree_with_pandas():
    dates = np.datetime64("2012-12-25", "D") + np.arange(800)
    parts, slow = calendar.take_apart(dates), pd.DatetimeIndex(dates)
    np.testing.assert_array_equal(parts.weekday, slow.weekday)
    np.testing.assert_array_equal(parts.day, slow.day)
    np.testing.assert_array_equal(parts.days_left, slow.days_in_month - slow.day)
    np.testing.assert_array_equal(parts.month, slow.month - 1)
    np.testing.assert_array_equal(parts.day_of_year, slow.dayofyear - 1)


@pytest.mark.parametrize("day", ["2013-03-31", "2014-04-20", "2015-04-05", "2019-04-21", "2024-03-31", "2038-04-25"])
def test_easter_falls_on_easter(day):
    assert str(calendar.easter(int(day[:4]))) == day


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
    phase = calendar.promo2_phase(dates, toy.stores)
    assert phase[0].tolist() == [3, 3, 3, 3, 3]  # takes no part
    assert phase[1].tolist() == [3, 2, 0, 1, 2]  # from 3 March; rounds start in January, April, July, October


def test_a_refurbishment_is_seen_coming_and_remembered():
    closed = np.zeros((1, 40), bool)
    closed[0, [3, 10, 11, 12, 13, 14, 20, 21]] = True  # a day, five days, two days
    assert calendar.closing_in(closed, 14)[0, :16].tolist() == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 14, 14, 14, 14]
    assert calendar.reopened_since(closed, 28)[0, [14, 15, 16, 22, 39]].tolist() == [28, 0, 1, 7, 24]


def test_a_store_that_only_began_was_not_refurbished():
    closed = np.arange(130)[None] < 120
    assert (calendar.reopened_since(closed, 28) == 28).all()


def test_expected_level_is_the_shrunken_mean_of_the_last_year(sold, state):
    year = sold[sold.age < 364]
    store_mean = year.groupby("store").log_sales.mean()
    for (weekday, promo), cell in year.groupby(["weekday", "promo"]):
        chain = (cell.log_sales - store_mean[cell.store].to_numpy()).mean()
        for store in store_mean.index:
            own = cell[cell.store == store].log_sales
            usual = store_mean[store] + chain
            shrunk = usual + (len(own) / (len(own) + 3) * (own.mean() - usual) if len(own) else 0)
            assert state.levels.expected[store, weekday, promo] == pytest.approx(shrunk)


def test_medians_and_last_sales_agree_with_pandas(sold, state):
    year = sold[sold.age < 364]
    for (store, weekday, promo), cell in year.groupby(["store", "weekday", "promo"]):
        assert state.levels.median_sales[store, weekday, promo] == cell.sales.median()
        assert state.levels.count[store, weekday, promo] == len(cell)
    for (store, weekday, promo), cell in sold.groupby(["store", "weekday", "promo"]):
        assert state.levels.last_sales[store, weekday, promo] == cell.sort_values("date").sales.iloc[-1]


def test_recent_departures_agree_with_pandas(departed, state):
    for k, days in enumerate(level.RECENT_DAYS):
        slow = departed[departed.age < days].groupby("store").departure.mean()
        np.testing.assert_allclose(state.levels.recent[slow.index, k], slow, rtol=1e-4, atol=1e-6)
    weight = 0.5 ** (departed.age / level.DECAY_HALF_LIFE_DAYS)
    sums = (departed.departure * weight).groupby(departed.store).sum()
    slow = sums / (weight.groupby(departed.store).sum() + 1)
    np.testing.assert_allclose(state.levels.decayed, slow, atol=1e-9)


def test_the_slope_is_that_of_a_straight_line(departed, state):
    for store, days in departed[departed.age < 182].groupby("store"):
        slope = np.polyfit(-days.age / 365.25, days.departure, 1)[0]
        assert state.levels.slope[store] == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_a_year_ago_is_the_same_weekday_then(departed, state, noisy):
    for k, around in enumerate(level.YEAR_AGO_AROUND):
        for lead in (1, 20, 48):
            centre = pd.Timestamp(noisy.origin) + pd.Timedelta(days=lead - 364)
            near = departed[(departed.date - centre).abs() <= pd.Timedelta(days=around)]
            slow = near.groupby("store").departure.mean()
            np.testing.assert_allclose(state.levels.year_ago[slow.index, lead - 1, k], slow, rtol=1e-4, atol=1e-6)


def test_the_calendar_laid_over_the_published_plan_changes_the_neighbours(noisy):
    state = features.summarise(noisy)
    number = int(noisy.stores.number[0])
    tuesday, wednesday = (str(noisy.origin + lead) for lead in (8, 9))
    before = features.build(state, one_row(noisy, number, tuesday), SPEC)
    both = [one_row(noisy, number, tuesday), one_row(noisy, number, wednesday, open=0)]
    plan = Plan(*(np.concatenate([getattr(each, name) for each in both]) for name in vars(both[0])))
    together = features.build(state, plan, SPEC)
    assert column(before, "open_tomorrow")[0] == 1
    assert column(together, "open_tomorrow")[0] == 0


def test_days_without_a_published_plan_follow_the_week_before(toy):
    unpublished = replace(toy, calendar=toy.calendar.between(toy.dates[0], toy.origin))
    state = features.summarise(unpublished)
    assert state.calendar.dates[-1] == toy.origin + 48
    np.testing.assert_array_equal(state.calendar.open[:, -48:], toy.calendar.open[:, -48:])


def test_a_day_outside_the_horizon_is_refused(toy):
    state, plan = features.summarise(toy), toy.plan(toy.origin, 48)
    late = replace(plan, date=plan.date + 1)
    with pytest.raises(
        ValueError, match="plan for store 1 asks for 2015-03-30, but sales are known until 2015-02-09; plan"
    ):
        features.build(state, late, SPEC)


def test_an_unknown_store_is_refused(toy):
    state, plan = features.summarise(toy), toy.plan(toy.origin, 48)
    with pytest.raises(ValueError, match="48 rows of the plan are of stores without a history, first store 9"):
        features.build(state, replace(plan, store=np.where(plan.store == 2, 9, plan.store)), SPEC)


def test_the_batched_ridge_is_one_regression_per_store(noisy):
    """One store after the other with lstsq on rows scaled by √weight, beside √penalty rows that draw to the chain."""
    days = len(noisy.dates)
    log_sales = np.log(np.where(noisy.sales > 0, noisy.sales, np.nan))
    fitted = ridge.fit(noisy.calendar, noisy.stores, log_sales)
    names, values = ridge.design(noisy.calendar, noisy.stores, noisy.origin, slice(days))
    values = values.astype(float)
    known = ~np.isnan(log_sales)
    age_weight = 0.5 ** (np.arange(days)[::-1] / ridge.HALF_LIFE_DAYS)

    levels = [np.average(log_sales[s, known[s]], weights=age_weight[known[s]]) for s in range(len(values))]
    rows = np.concatenate([values[s, known[s]] * np.sqrt(age_weight[known[s], None]) for s in range(len(values))])
    target = np.concatenate(
        [(log_sales[s, known[s]] - levels[s]) * np.sqrt(age_weight[known[s]]) for s in range(len(values))]
    )
    penalty = np.array([ridge.PENALTY.get(name.split()[0], 1.0) for name in names])
    pull = np.diag(np.sqrt(penalty))
    none = np.zeros(len(names))
    chain = np.linalg.lstsq(np.vstack([rows, pull]), np.append(target, none), rcond=None)[0]
    rare = [k for k, name in enumerate(names) if name.startswith(("feast", "holiday"))]

    for s in range(len(values)):
        A, y = values[s, known[s]], log_sales[s, known[s]] - levels[s]
        weight = age_weight[known[s]]
        robust = np.ones_like(weight)
        for _ in range(1 + ridge.REWEIGHTINGS):
            root = np.sqrt(weight * robust)[:, None]
            stacked = np.vstack([A * root, pull])
            coefficients = (
                chain + np.linalg.lstsq(stacked, np.append((y - A @ chain) * root[:, 0], none), rcond=None)[0]
            )
            residual = y - A @ coefficients
            limit = ridge.HUBER_CLIP * np.median(np.abs(residual))
            robust = np.minimum(1, limit / np.abs(residual))
            robust[(A[:, rare] != 0).any(axis=1)] = 1
        np.testing.assert_allclose(ridge.predict(fitted, np.array([s]), values[[s]])[0, known[s]] - levels[s],
                                   A @ coefficients, atol=2e-4)  # fmt: skip


def test_a_store_without_a_single_sale_has_the_chains_level(noisy):
    silent = noisy.sales.copy()
    silent[0] = np.nan
    state = features.summarise(replace(noisy, sales=silent))
    rows = features.lay(state, noisy.plan(noisy.origin, 48))
    assert np.isfinite(rows.ridge).all()
    assert np.isfinite(rows.expected).all()
    mean = np.nanmean(np.where(silent > 0, np.log(np.maximum(silent, 1)), np.nan))
    assert abs(state.levels.expected[0].mean() - mean) < 0.3


def test_a_history_of_a_few_days_still_has_a_state(noisy):
    young = features.summarise(noisy.until(noisy.dates[9]))
    matrix = features.build(young, noisy.plan(noisy.dates[9], 48), SPEC)
    assert not np.isinf(matrix).any()
