"""What a chain's own covariates do to sales is found by the linear model: effects are planted, and must be forecast."""

import numpy as np
import pytest

from rossmann import features
from rossmann.data import SalesHistory
from rossmann.data.covariates import CovariateRows
from rossmann.features import ridge_design
from rossmann.features.chain_ridge import learn_shrinkage
from rossmann.schema import MONDAY, SATURDAY, SUNDAY, weekday
from tests.support.chains import FIRST_DAY, HORIZON_DAYS, WEEKDAY_EFFECT, calendar_days, chain_history, log_level

YEARS, SHORT = 1200, 456  # past days: three years and a quarter, and 15 months
WITHIN = 0.10  # of the sales that a forecast may be wrong on average
EASTER_MONDAYS = np.array(["2013-04-01", "2014-04-21", "2015-04-06", "2016-03-28"], "datetime64[D]")
LUNAR_NEW_YEARS = np.array(["2013-02-10", "2014-01-31", "2015-02-19", "2016-02-08"], "datetime64[D]")


def forecast(history: SalesHistory) -> np.ndarray:
    """Sales by the linear model on every day of the plan. [stores, horizon]"""
    plan = history.plan(history.origin, history.horizon_days)
    rows = features.join_plan(features.fit_state(history), plan)
    return np.exp(rows.ridge).reshape(len(history.stores.number), -1)


def error(history: SalesHistory, log_effect: np.ndarray | float, days: np.ndarray) -> float:
    """How far the mean forecast of these days of the plan is from the planted sales, as a share of them."""
    dates = history.calendar.dates[-history.horizon_days :]
    planted = log_level(len(history.stores.number))[:, None] + WEEKDAY_EFFECT[weekday(dates)]
    effect = np.broadcast_to(log_effect, (len(planted), len(history.calendar.dates)))[:, -history.horizon_days :]
    return abs((forecast(history) / np.exp(planted + effect)).mean(axis=0)[days].mean() - 1)


def in_plan(values: np.ndarray) -> np.ndarray:
    """The days of the plan of a panel of `calendar_days`."""
    return values[..., -HORIZON_DAYS - 21 : -21]


@pytest.fixture
def every_third_weekend() -> np.ndarray:
    dates = calendar_days(SHORT)
    return (np.arange(len(dates)) // 7 % 3 == 0) & (weekday(dates) >= SATURDAY)


@pytest.mark.parametrize("as_promo", [True, False])
def test_a_promotion_on_weekends_is_found(every_third_weekend, as_promo):
    effect = np.log(1.4) * every_third_weekend
    named = {} if as_promo else {"flag deal": every_third_weekend}
    history = chain_history(SHORT, 12, effect, named, promotion=every_third_weekend if as_promo else False)
    planned, weekend = in_plan(every_third_weekend), weekday(history.calendar.dates[-HORIZON_DAYS:]) >= SATURDAY
    for days in (planned, weekend & ~planned, ~weekend):
        assert days.sum() >= 4
        assert error(history, effect[: len(history.calendar.dates)], days) < 0.04


@pytest.mark.parametrize(("name", "feasts"), [("Easter Monday", EASTER_MONDAYS), ("Lunar New Year", LUNAR_NEW_YEARS)])
def test_a_movable_feast_is_found_on_the_days_around_it(name, feasts):
    """From −1 to +1, with another holiday of no effect in every month."""
    past_days = int((feasts[-1] - 20 - calendar_days(0)[0]).astype(int))
    dates = calendar_days(past_days)
    feast = np.isin(dates, feasts)
    around = np.isin(dates, feasts - 1) | feast | np.isin(dates, feasts + 1)
    effect = np.log(1.5) * around
    first_of_month = dates.astype("datetime64[M]").astype(dates.dtype) == dates
    history = chain_history(past_days, 10, effect, {f"holiday {name}": feast, "holiday Pay Day": first_of_month})
    assert in_plan(around).sum() == 3
    assert error(history, effect[: len(history.calendar.dates)], in_plan(around)) < WITHIN
    assert error(history, 0.0, ~in_plan(around)) < 0.04


def test_one_year_says_half_as_much_of_a_named_holiday_as_many_years():
    """What was seen once may be an accident: the other half of it is the effect of holidays in general."""
    dates = calendar_days(YEARS)
    holidays = {"Once": ["2015-06-10"], "Always": ["2013-05-15", "2014-05-21", "2015-05-13", "2016-05-18"]}
    holidays |= {f"General {k}": dates[60 + 37 * k :: 365].astype(str).tolist() for k in range(8)}
    flags = {f"holiday {name}": np.isin(dates, np.array(days, "datetime64[D]")) for name, days in holidays.items()}
    effect = np.log(1.5) * (flags["holiday Once"] | flags["holiday Always"])
    state = features.fit_state(chain_history(YEARS, 10, effect, flags, noise=0.02))
    history = chain_history(YEARS, 10, effect, flags, noise=0.02)
    columns, _ = features_of(history)
    coefficients = dict(zip(columns, state.ridge.coefficients.mean(axis=0), strict=True))
    general = coefficients["holiday"]
    once, always = (general + coefficients[f"named_holiday holiday {name} +0"] for name in ("Once", "Always"))
    assert 0.3 < once / np.log(1.5) < 0.65
    assert always / np.log(1.5) > 0.8


def test_a_number_acts_by_its_elasticity():
    """Stores with other prices; and a share, whose values are small."""
    dates, random = calendar_days(SHORT), np.random.default_rng(2)
    price = np.exp(random.normal(0, 0.15, (10, len(dates)))) * 300 * (1 + np.arange(10))[:, None]
    share = random.uniform(0, 0.05, (10, len(dates)))
    effect = -1.5 * np.log(price / price.mean(axis=1, keepdims=True)) + 8 * share
    history = chain_history(SHORT, 10, effect, {"number price": price, "number share": share})
    planted = log_level(10)[:, None] + WEEKDAY_EFFECT[weekday(dates)] + effect
    difference = np.log(forecast(history)) - in_plan(planted)
    assert np.std(difference) < 0.04
    assert abs(np.polyfit(in_plan(effect).ravel(), difference.ravel(), 1)[0]) < WITHIN


def test_every_category_has_its_effect():
    dates = calendar_days(SHORT)
    weather = np.random.default_rng(3).integers(0, 3, (8, len(dates)))
    effect = np.array([-0.3, 0.0, 0.2])[weather]
    flags = {f"flag weather={name}": weather == code for code, name in enumerate(("rain", "clouds", "sun"))}
    history = chain_history(SHORT, 8, effect, flags)
    planted = log_level(8)[:, None] + WEEKDAY_EFFECT[weekday(dates)] + effect
    difference = np.log(forecast(history)) - in_plan(planted)
    for code in range(3):
        assert abs(difference[in_plan(weather) == code].mean()) < 0.03


@pytest.mark.parametrize("rest", [-1, MONDAY, SUNDAY])
def test_the_weekday_of_rest_is_learned(rest):
    history = chain_history(SHORT, 6, rest=rest)
    state = features.fit_state(history)
    assert state.weekdays.rest == rest
    days = history.calendar.open[0, -HORIZON_DAYS:] == 1
    assert error(history, 0.0, days) < 0.04


def test_noise_is_not_fitted_in_few_stores():
    """The median of each weekday is the best forecast of sales that have no other pattern."""
    history = chain_history(SHORT, 12)
    planted = log_level(12)[:, None] + in_plan(WEEKDAY_EFFECT[weekday(calendar_days(SHORT))])
    assert np.sqrt(np.mean(np.square(np.log(forecast(history)) - planted))) < 0.03


def test_one_store_with_15_months_of_sales_only():
    """No promotion, no attribute, no customers, no holiday."""
    history = chain_history(SHORT, 1)
    assert error(history, 0.0, np.ones(HORIZON_DAYS, bool)) < 0.05
    matrix = features.build(
        features.fit_state(history), history.plan(history.origin, HORIZON_DAYS), features.FeatureSpec()
    )
    assert np.isfinite(matrix[:, features.FeatureSpec().columns(()).index("ridge_over_expected")]).all()


def test_a_holiday_just_after_the_plan_acts_on_its_last_days():
    """Sales double on the two days before it, in each of many years."""
    dates = calendar_days(YEARS)
    last = dates[YEARS + HORIZON_DAYS - 1]
    feast = np.isin(dates, np.concatenate([last + 1 - np.arange(0, 1200, 91)]))
    before = np.roll(feast, -1) | np.roll(feast, -2)
    effect = np.log(2) * before
    history = chain_history(YEARS, 8, effect, {"holiday Feast": feast})
    assert not feast[YEARS + HORIZON_DAYS - 2 : YEARS + HORIZON_DAYS].any()
    days = np.arange(HORIZON_DAYS) >= HORIZON_DAYS - 2
    assert error(history, effect[: len(history.calendar.dates)], days) < WITHIN
    shorter = history.until(history.origin - 1, HORIZON_DAYS)
    assert shorter.calendar.later_holiday_kind[:, 1].all()


def test_feasts_that_are_no_holidays_of_the_chain_have_no_columns():
    dates = calendar_days(SHORT)
    new_year, lunar = dates.astype(str).astype("U10"), np.isin(dates, LUNAR_NEW_YEARS)
    history = chain_history(
        SHORT, 3, covariates={"holiday New Year": np.char.endswith(new_year, "01-01"), "holiday Lunar New Year": lunar}
    )
    absent = {
        name
        for name, factor in learn_shrinkage(history.calendar, np.log(history.sales)).by_column.items()
        if factor > 1
    }
    assert {"special_day 12-5", "advent", "before easter", "special_day easter -47"} <= absent
    assert "special_day 1-2" not in absent


def features_of(history: SalesHistory) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and values of the linear model's columns in the plan."""
    state = features.fit_state(history)
    days = slice(len(state.calendar.dates) - state.horizon_days, None)
    breaks = state.breaks.of_stores(np.arange(len(state.store_numbers)))
    return ridge_design.design(state.calendar, state.stores, breaks, state.origin, days, state.weekdays)


def test_a_gap_of_a_number_is_filled_from_the_days_before_it():
    """On days on which no store has a value; before the first one there is none."""
    dates = FIRST_DAY + np.arange(6)
    stores = chain_history(200, 1).stores
    prices = CovariateRows(np.ones(2, np.int32), dates[[1, 4]], np.array([3.0, 5.0]), is_flag=False)
    assert prices(stores, dates)[0].tolist() == [3, 3, 3, 3, 5, 5]
    deals = CovariateRows(np.ones(2, np.int32), dates[[1, 4]], np.ones(2), is_flag=True)
    assert deals(stores, dates)[0].tolist() == [0, 1, 0, 0, 1, 0]
