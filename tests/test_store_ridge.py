"""The linear model of each store against one slow regression per store, and its columns against the almanac."""

from dataclasses import replace

import numpy as np
import pytest

from rossmann import features
from rossmann.data import SalesHistory
from rossmann.data.holiday_calendar import holiday_calendar
from rossmann.features import calendar, ridge_design, school_breaks, store_ridge
from rossmann.features.school_breaks import SchoolBreaks
from rossmann.features.shrinkage import KAGGLE_SHRINKAGE
from rossmann.features.store_groups import group_stores


def days(first: str, last: str) -> np.ndarray:
    return np.arange(np.datetime64(first), np.datetime64(last) + 1)


YEARS = days("2013-01-01", "2015-12-31")


def in_region(history: SalesHistory, region: str) -> SalesHistory:
    """The history with the public holidays and school breaks of a region, in all stores."""
    holidays = holiday_calendar("DE", history.calendar.dates)
    of_region = holidays.regions.index(region)
    stores = (len(history.stores.number), 1)
    flags = {
        "holiday_kind": np.tile(holidays.holiday_kind[of_region], stores),
        "school_break": np.tile((holidays.school_break[of_region] == 1).astype(np.int8), stores),
    }
    return replace(history, calendar=replace(history.calendar, **flags))


def around(name: str, history: SalesHistory) -> np.ndarray:
    """The days from 2013 to 2015 on which a column of the school breaks of store 0 is set."""
    breaks = school_breaks.fit_school_breaks(history, YEARS)
    return YEARS[breaks.of_stores(np.array([0]))[0, :, school_breaks.NAMES.index(name)]]


@pytest.fixture(scope="module")
def bavaria(noisy):
    return in_region(noisy, "BY")


@pytest.fixture(scope="module")
def breaks(noisy) -> SchoolBreaks:
    """Two regions with other breaks on the days of the history."""
    active = np.random.default_rng(3).random((3, len(noisy.dates), len(school_breaks.NAMES))) < 0.05
    active[0] = False
    return SchoolBreaks(np.arange(len(noisy.stores.number)) % 2 + 1, active)


@pytest.fixture(scope="module")
def log_sales(noisy):
    return np.log(np.where(noisy.sales > 0, noisy.sales, np.nan))


def test_the_pay_day_of_may_2015_is_friday_the_29th():
    dates = days("2015-05-25", "2015-06-03")  # Monday to Wednesday
    distance = calendar.pay_day_distance(dates)
    weekend = calendar.NOT_A_BUSINESS_DAY
    assert distance.business_days.tolist() == [-4, -3, -2, -1, 0, weekend, weekend, 1, 2, 3]
    assert distance.days.tolist() == [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5]


def test_pay_day_columns_are_those_of_the_almanac():
    columns = ridge_design.date_columns(YEARS[0], len(YEARS), YEARS[-1])
    summer = np.isin(YEARS, days("2014-05-20", "2014-07-09"))

    def dates_of(name: str) -> list[str]:
        return [str(day) for day in YEARS[summer & (columns[name] != 0)]]

    assert dates_of("pay_day +0") == ["2014-05-30", "2014-06-30"]
    assert dates_of("pay_day +1") == ["2014-06-02", "2014-07-01"]
    assert dates_of("pay_day -3") == ["2014-05-27", "2014-06-25"]
    assert dates_of("pay_day saturday -1..+2") == ["2014-05-31"]  # 28 June is two days before, 5 July five after
    assert dates_of("pay_day saturday +3..+5") == ["2014-07-05"]


def test_the_first_shopping_days_after_holidays_have_columns_of_their_own():
    columns = ridge_design.date_columns(YEARS[0], len(YEARS), YEARS[-1])
    for name, date in (("special_day 12-27", "12-27"), ("special_day 1-2", "01-02"), ("special_day 12-5", "12-05")):
        assert [str(day)[5:] for day in YEARS[columns[name] != 0]] == [date] * 3


def test_the_days_around_the_summer_break_of_bavaria_are_known_years_ahead(bavaria):
    """From 31 July to 11 September 2013, 30 July to 15 September 2014, and 1 August to 14 September 2015."""
    first_days = np.concatenate([days("2013-07-31", "2013-08-02"), days("2014-07-30", "2014-08-01"),
                                 days("2015-08-01", "2015-08-03")])  # fmt: skip
    assert around("break summer start +0..+2", bavaria).tolist() == first_days.tolist()
    last_days = [
        days(f"{year}-09-{last - 6:02}", f"{year}-09-{last}") for year, last in ((2013, 11), (2014, 15), (2015, 14))
    ]
    assert around("break summer end -6..+0", bavaria).tolist() == np.concatenate(last_days).tolist()
    assert bavaria.origin < np.datetime64("2015-07-01")


def test_shorter_breaks_have_their_own_columns_and_single_days_off_none(bavaria):
    """In 2014 before Whitsun: Easter from 14 to 26 April, and one week from 10 to 21 June; 3 to 7 March."""
    starts = around("break start +0..+2", bavaria)
    of_2014 = starts[np.isin(starts, days("2014-02-01", "2014-06-30"))]
    first_days = ("2014-03-03", "2014-04-14", "2014-06-10")
    assert of_2014.tolist() == np.concatenate([days(day, str(np.datetime64(day) + 2)) for day in first_days]).tolist()


def test_a_store_of_no_region_has_no_breaks(noisy):
    assert not school_breaks.fit_school_breaks(noisy, YEARS).of_stores(np.arange(len(noisy.stores.number))).any()


def test_the_days_before_a_break_are_known_where_the_plan_ends_before_it(bavaria):
    """The plan ends on the day before the break of 27 October 2014."""
    history = bavaria.until(np.datetime64("2014-09-08"))
    assert history.calendar.dates[-1] == np.datetime64("2014-10-26")
    state = features.fit_state(history)
    name = school_breaks.NAMES.index("break start -3..-1")
    assert state.breaks.of_stores(np.array([0]))[0, -3:, name].all()


def test_products_of_common_and_own_columns_are_those_of_the_whole_design(noisy, breaks, log_sales):
    count, length = log_sales.shape
    dates = ridge_design.date_columns(noisy.dates[0], length, noisy.origin)
    groups = group_stores(noisy.calendar, noisy.stores, breaks, dates)
    names, whole = ridge_design.design(
        noisy.calendar, noisy.stores, breaks.of_stores(slice(None)), noisy.origin, slice(length)
    )
    weight = np.random.default_rng(5).random(log_sales.shape)
    assert sorted(np.concatenate([group.stores for group in groups])) == list(range(count))
    for group in groups:
        assert 0 < group.own.shape[1] < len(group.names) - len(school_breaks.NAMES)
        design = whole[group.stores][:, :, [names.index(name) for name in group.names]].astype(float)
        own_weight = weight[group.stores]
        np.testing.assert_allclose(
            group.gram(own_weight), np.einsum("sda,sd,sdb->sab", design, own_weight, design), atol=1e-4
        )
        np.testing.assert_allclose(group.products(own_weight), np.einsum("sda,sd->sa", design, own_weight), atol=1e-4)
        coefficients = np.random.default_rng(7).normal(size=(len(group.stores), len(group.names)))
        np.testing.assert_allclose(group.fitted(coefficients), np.einsum("sda,sa->sd", design, coefficients), atol=1e-4)


def test_the_batched_ridge_is_one_regression_per_store(noisy, breaks, log_sales):
    """One store after the other with lstsq on rows scaled by √weight, beside √penalty rows that shrink to the chain."""
    length = len(noisy.dates)
    ridge = store_ridge.fit(noisy.calendar, noisy.stores, breaks, log_sales)
    names, values = ridge_design.design(
        noisy.calendar, noisy.stores, breaks.of_stores(slice(None)), noisy.origin, slice(length)
    )
    values = values.astype(float)
    valid = ~np.isnan(log_sales)
    age_weight = 0.5 ** (np.arange(length)[::-1] / store_ridge.WEIGHT_HALF_LIFE_DAYS)

    levels = [np.average(log_sales[s, valid[s]], weights=age_weight[valid[s]]) for s in range(len(values))]
    rows = np.concatenate([values[s, valid[s]] * np.sqrt(age_weight[valid[s], None]) for s in range(len(values))])
    target = np.concatenate(
        [(log_sales[s, valid[s]] - levels[s]) * np.sqrt(age_weight[valid[s]]) for s in range(len(values))]
    )
    chain_pull = np.diag(np.sqrt([KAGGLE_SHRINKAGE.of_chain(name, len(values), length) for name in names]))
    none = np.zeros(len(names))
    chain = np.linalg.lstsq(np.vstack([rows, chain_pull]), np.append(target, none), rcond=None)[0]
    rare = [k for k, name in enumerate(names) if ridge_design.kind(name) in store_ridge.RARE_KINDS]
    store_columns = [k for k, name in enumerate(names) if not ridge_design.is_for_chain_only(name)]
    pull = np.diag(np.sqrt([KAGGLE_SHRINKAGE.of_store(names[k]) for k in store_columns]))

    for s in range(len(values)):
        A, y = values[s, valid[s]], log_sales[s, valid[s]] - levels[s]
        root = np.sqrt(age_weight[valid[s]])[:, None]
        stacked = np.vstack([A[:, store_columns] * root, pull])
        coefficients, bounded = chain.copy(), y - A @ chain
        for _ in range(1 + store_ridge.CLIPPINGS):
            clipped_target = A @ (coefficients - chain) + bounded
            difference = np.linalg.lstsq(
                stacked, np.append(clipped_target * root[:, 0], none[store_columns]), rcond=None
            )[0]
            coefficients[store_columns] = chain[store_columns] + difference
            residual = y - A @ coefficients
            limit = store_ridge.HUBER_CLIP * np.median(np.abs(residual))
            bounded = np.clip(residual, -limit, limit)
            is_rare = (A[:, rare] != 0).any(axis=1)
            bounded[is_rare] = residual[is_rare]
        np.testing.assert_allclose(store_ridge.predict(ridge, np.array([s]), values[[s]])[0, valid[s]] - levels[s],
                                   A @ coefficients, atol=2e-4)  # fmt: skip


def test_decayed_residuals_agree_with_a_loop(noisy, breaks, log_sales):
    """Each open day of the last quarter of a year counts half as much per half-life, and a day without a residual 1."""
    ridge = store_ridge.fit(noisy.calendar, noisy.stores, breaks, log_sales)
    positions, length = np.arange(len(log_sales)), len(noisy.dates)
    _, values = ridge_design.design(
        noisy.calendar, noisy.stores, breaks.of_stores(positions), noisy.origin, slice(length)
    )
    residual = np.clip(log_sales - store_ridge.predict(ridge, positions, values), -0.2, 0.2)
    for column, half_life in enumerate((2, 14)):
        for s in positions:
            weights = {day: 0.5 ** ((length - 1 - day) / half_life) for day in range(length - 91, length)}
            open_days = {day: weight for day, weight in weights.items() if not np.isnan(residual[s, day])}
            total = sum(weight * residual[s, day] for day, weight in open_days.items())
            assert ridge.decayed_residual[s, column] == pytest.approx(total / (1 + sum(open_days.values())), abs=1e-5)
