"""What the pages draw: sums of the chosen stores by day and by week, as arrays, without anything of Streamlit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann import features, forecasting
from rossmann.data import Plan, SalesHistory
from rossmann.features import State
from rossmann.models import Forecast, Forecaster, Quantiles
from rossmann.schema import DAY, WEEKS_YEAR_DAYS, weekday

SHARES = (0.95, 0.8, 0.5)  # of days that the bands of a fan should have; the model's nearest ones are taken
MAJORITY = 0.5  # of the chosen stores that have a promotion or a holiday


@dataclass(frozen=True)
class PublishedForecast:
    """The forecast of the published plan: panels of stores × days of the horizon."""

    sales: np.ndarray  # float64 [stores, days]
    standard_deviation: np.ndarray  # of the error of log sales. float64 [stores, days]
    quantiles: Quantiles


@dataclass(frozen=True)
class Band:
    """One band of a fan: between its edges are about `share` of the days. float64 [days] each"""

    share: float
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True)
class Fan:
    """The forecast of the sum of some stores by day; the widest band first."""

    dates: np.ndarray  # datetime64[D] [days]
    sales: np.ndarray  # float64 [days]
    bands: tuple[Band, ...]


def publish(forecaster: Forecaster, state: State) -> PublishedForecast:
    """Forecast the whole published plan."""
    forecast = forecaster.predict(state, features.published_plan(state))
    shape = (len(state.store_numbers), state.horizon_days)
    return PublishedForecast(
        forecast.sales.reshape(shape), forecast.standard_deviation.reshape(shape), forecaster.require_quantiles()
    )


def fan_shares(quantiles: Quantiles) -> tuple[tuple[float, str, str], ...]:
    """Of the model's bands those nearest to SHARES, the widest first: share and two names of quantiles."""
    nearest = {min(quantiles.bands, key=lambda band: abs(band[0] - share)) for share in SHARES}
    return tuple(sorted(nearest, reverse=True))


def fan(published: PublishedForecast, dates: np.ndarray, positions: np.ndarray) -> Fan:
    """The fan of the sum of the stores at these positions.

    The edges of a band are the sums of the stores' own, as if all stores erred in the same direction on a day: where
    errors cancel each other in part, the band is wider than it need be.
    """
    sales, deviation = published.sales[positions], published.standard_deviation[positions]
    edges = published.quantiles.by_name(deviation.ravel(), sales.ravel())
    sums = {name: values.reshape(sales.shape).sum(axis=0) for name, values in edges.items()}
    bands = (Band(share, sums[lower], sums[upper]) for share, lower, upper in fan_shares(published.quantiles))
    return Fan(dates, sales.sum(axis=0), tuple(bands))


def actuals(history: SalesHistory, positions: np.ndarray, days: int) -> tuple[np.ndarray, np.ndarray]:
    """The last days of the past and the sum of these stores; stores without a row count as 0. [days] each"""
    sales = history.sales[positions, -days:]
    return history.dates[-days:], np.nansum(sales, axis=0)


def last_year(history: SalesHistory, positions: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Sales of these stores on the same weekdays 52 weeks before; NaN where a store has no row. [stores, days]"""
    stores = np.repeat(history.stores.number[positions], len(dates))
    before = np.tile(dates - WEEKS_YEAR_DAYS * DAY, len(positions))
    return history.take("sales", stores, before).reshape(len(positions), len(dates))


def promotion_days(history: SalesHistory, positions: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Whether most of these stores have a promotion on each of these days. bool, same shape"""
    return _most(history.calendar.promotion == 1, history, positions, dates)


def holidays(history: SalesHistory, positions: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Whether most of these stores have a public holiday on each of these days. bool, same shape"""
    return _most(history.calendar.holiday_kind > 0, history, positions, dates)


def weeks(days: Fan, sales: np.ndarray, before: np.ndarray) -> pd.DataFrame:
    """The weeks of a fan from Monday to Sunday: first and last day, days, forecast, lower, upper, last_year, change.

    sales, before: the forecast of each store, and `last_year` of the same days. [stores, days]
    lower, upper: of the widest band, added up over the days like over the stores.
    change: against last year, of the stores and days that are open in both years, as `forecasting.year_over_year` says.
    The first and the last week may have fewer than seven days, and last_year has the same ones.
    """
    week = (days.dates - weekday(days.dates) * DAY).astype("datetime64[D]")
    table = []
    for monday in np.unique(week):
        own = week == monday
        table.append({
            "first": days.dates[own][0], "last": days.dates[own][-1], "days": own.sum(),
            "forecast": days.sales[own].sum(), "lower": days.bands[0].lower[own].sum(),
            "upper": days.bands[0].upper[own].sum(), "last_year": np.nansum(before[:, own]),
            "change": forecasting.year_over_year(sales[:, own].ravel(), before[:, own].ravel()),
        })  # fmt: skip
    return pd.DataFrame(table)


def rows(history: SalesHistory, published: PublishedForecast, positions: np.ndarray) -> pd.DataFrame:
    """The forecast of these stores as `forecasting.forecast_table` has it: a row per store and day, every quantile."""
    plan = history.plan(history.origin, history.horizon_days)
    is_chosen = np.isin(plan.store, history.stores.number[positions])
    sales, deviation = published.sales.ravel()[is_chosen], published.standard_deviation.ravel()[is_chosen]
    lower, upper = published.quantiles.bounds(deviation, sales)
    return forecasting.forecast_table(plan.at(is_chosen), Forecast(sales, lower, upper, deviation), published.quantiles)


def published_sales(history: SalesHistory, published: PublishedForecast, plan: Plan) -> np.ndarray:
    """The forecast of the published plan for the rows of another plan. float64 [rows]"""
    stores = np.searchsorted(history.stores.number, plan.store)
    days = (plan.date - history.origin).astype(int) - 1
    return published.sales[stores, days]


def runs(flags: np.ndarray, dates: np.ndarray) -> list[tuple[np.datetime64, np.datetime64]]:
    """First and last day of every run of consecutive days with a flag."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [(dates[first], dates[stop - 1]) for first, stop in edges.reshape(-1, 2)]


def _most(panel: np.ndarray, history: SalesHistory, positions: np.ndarray, dates: np.ndarray) -> np.ndarray:
    days = history.calendar.positions(dates)
    return panel[positions][:, days].mean(axis=0) > MAJORITY
