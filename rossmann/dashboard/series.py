"""What the pages draw: sums of the chosen stores by day and by week, as arrays, without anything of Streamlit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann import features, forecasting
from rossmann.data import Plan, SalesHistory
from rossmann.data.chain_files.holidays import NO_NAME
from rossmann.features import State
from rossmann.models import Forecast, Forecaster, Quantiles, VarianceComponents
from rossmann.schema import DAY, INTERVAL_COVERAGES, WEEKS_YEAR_DAYS, weekday

MAJORITY = 0.5  # of the chosen stores that have a promotion or a holiday
HOLIDAY_KIND_NAMES = ("", "public holiday", "Easter", "Christmas")  # of schema.HOLIDAY_KINDS, for readers


@dataclass(frozen=True)
class PublishedForecast:
    """The forecast of the published plan: panels of stores × days of the horizon."""

    sales: np.ndarray  # float64 [stores, days]
    standard_deviation: np.ndarray  # of the error of log sales. float64 [stores, days]
    quantiles: Quantiles  # those of tables
    interval_quantiles: Quantiles  # those of charts
    variance_components: VarianceComponents | None  # None: the bounds of sums are the summed bounds of their rows


@dataclass(frozen=True)
class Band:
    """One band of a fan chart: the prediction interval of each sum, with this coverage. float64 [periods] each"""

    coverage: float
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True)
class SumForecast:
    """The forecast of the sum of some stores by day, or by longer period; the widest band first."""

    dates: np.ndarray  # the first day of each period. datetime64[D] [periods]
    sales: np.ndarray  # float64 [periods]
    bands: tuple[Band, ...]


def forecast_published_plan(forecaster: Forecaster, state: State) -> PublishedForecast:
    """Forecast the whole published plan."""
    forecast = forecaster.predict(state, features.published_plan(state))
    shape = (len(state.store_numbers), state.horizon_days)
    return PublishedForecast(
        forecast.sales.reshape(shape),
        forecast.standard_deviation.reshape(shape),
        forecaster.require_quantiles(),
        forecaster.require_interval_quantiles(),
        forecaster.variance_components,
    )


def fan_bands(quantiles: Quantiles) -> tuple[tuple[float, str, str], ...]:
    """Those of `Quantiles.bands` that are nearest to INTERVAL_COVERAGES, the widest first."""
    nearest = {min(quantiles.bands, key=lambda band: abs(band[0] - coverage)) for coverage in INTERVAL_COVERAGES}
    return tuple(sorted(nearest, reverse=True))


def forecast_sums(
    published: PublishedForecast, dates: np.ndarray, positions: np.ndarray, periods: Sequence[np.ndarray] | None = None
) -> SumForecast:
    """The forecast of the sum of the stores at these positions in each period.

    dates: of the horizon. periods: of each one the positions of its days; by default every day is a period.
    """
    days = np.arange(len(dates))[:, None] if periods is None else periods
    sums = np.stack([_quantiles_of_sum(published, positions, period_days, dates) for period_days in days], axis=-1)
    bounds = dict(zip(published.interval_quantiles.columns, sums, strict=True))
    bands = (
        Band(coverage, bounds[lower], bounds[upper])
        for coverage, lower, upper in fan_bands(published.interval_quantiles)
    )
    by_day = published.sales[positions].sum(axis=0)
    sales = np.array([by_day[period_days].sum() for period_days in days])
    return SumForecast(dates[[period_days[0] for period_days in days]], sales, tuple(bands))


def _quantiles_of_sum(
    published: PublishedForecast, positions: np.ndarray, days: np.ndarray, dates: np.ndarray
) -> np.ndarray:
    """The quantiles of the sum of some stores on some days. [levels]

    Without variance components, the sum of those of the rows, as if all errors were perfectly correlated: too wide.
    """
    rows = np.ix_(positions, days)
    sales, deviation = published.sales[rows], published.standard_deviation[rows]
    components, quantiles = published.variance_components, published.interval_quantiles
    if components:
        quantiles = quantiles.scaled_about_median(components.spread_ratio(sales * deviation, dates[days]))
    return quantiles.around(deviation.ravel(), sales.ravel()).sum(axis=0)


def sum_actuals(history: SalesHistory, positions: np.ndarray, days: int) -> tuple[np.ndarray, np.ndarray]:
    """The last days of the past and the sum of these stores; stores without a row count as 0. [days] each"""
    sales = history.sales[positions, -days:]
    return history.dates[-days:], np.nansum(sales, axis=0)


def last_year(history: SalesHistory, positions: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Sales of these stores on the same weekdays 52 weeks before; NaN where a store has no row. [stores, days]"""
    stores = np.repeat(history.stores.number[positions], len(dates))
    dates_last_year = np.tile(dates - WEEKS_YEAR_DAYS * DAY, len(positions))
    return history.take("sales", stores, dates_last_year).reshape(len(positions), len(dates))


def promotion_days(history: SalesHistory, positions: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Whether most of these stores have a promotion on each of these days. bool, same shape"""
    return _most(history.calendar.promotion == 1, history, positions, dates)


def holiday_names(history: SalesHistory, positions: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Which public holiday each of these days is for most of these stores; "" if they have none. str, same shape

    Its names in the chain's files or of its country; where they have no names, its kind.
    """
    calendar, names = history.calendar, np.full(len(dates), "", object)
    kind = calendar.holiday_kind[np.ix_(positions, calendar.positions(dates))]
    for day in np.flatnonzero((kind > 0).mean(axis=0) > MAJORITY):
        of_stores = kind[:, day]
        calendar_names = _calendar_names(history, positions[of_stores > 0], dates[day])
        names[day] = calendar_names or HOLIDAY_KIND_NAMES[np.bincount(of_stores[of_stores > 0]).argmax()]
    return names.astype(str)


def weeks(dates: np.ndarray) -> list[np.ndarray]:
    """The positions of the days of each week from Monday to Sunday."""
    monday = (dates - weekday(dates) * DAY).astype("datetime64[D]")
    return [np.flatnonzero(monday == each) for each in np.unique(monday)]


def weekly_table(
    published: PublishedForecast, dates: np.ndarray, positions: np.ndarray, sales_last_year: np.ndarray
) -> pd.DataFrame:
    """The weeks from Monday to Sunday: first and last day, days, forecast, lower, upper, last_year, change.

    sales_last_year: `last_year` of these stores. [stores, dates]
    lower, upper: of the widest band of the `forecast_sums` of weeks.
    change: against last year, of the stores and days that are open in both years, as `forecasting.year_over_year` says.
    The first and the last week may have fewer than seven days, and last_year has the same ones; NaN without any row.
    """
    periods = weeks(dates)
    sums, sales = forecast_sums(published, dates, positions, periods), published.sales[positions]
    changes = [forecasting.year_over_year(sales[:, days].ravel(), sales_last_year[:, days].ravel()) for days in periods]
    return pd.DataFrame({
        "first": sums.dates, "last": [dates[days[-1]] for days in periods], "days": [len(days) for days in periods],
        "forecast": sums.sales, "lower": sums.bands[0].lower, "upper": sums.bands[0].upper,
        "last_year": [_sum(sales_last_year[:, days]) for days in periods], "change": changes,
    })  # fmt: skip


def forecast_rows(history: SalesHistory, published: PublishedForecast, positions: np.ndarray) -> pd.DataFrame:
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


def find_runs(flags: np.ndarray, dates: np.ndarray) -> list[tuple[np.datetime64, np.datetime64]]:
    """First and last day of every run of consecutive days with a flag."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [(dates[first], dates[stop - 1]) for first, stop in edges.reshape(-1, 2)]


def _sum(amounts: np.ndarray) -> float:
    """The sum of the amounts that exist; NaN if none does."""
    return np.nan if np.isnan(amounts).all() else float(np.nansum(amounts))


def _calendar_names(history: SalesHistory, positions: np.ndarray, date: np.datetime64) -> str:
    """The names in the calendar that a day has for most of the stores at these positions; "" without any."""
    calendar = history.calendar
    flags = calendar.covariates[np.ix_(np.flatnonzero(calendar.is_holiday), positions, [calendar.positions(date)])]
    columns = calendar.covariate_names[calendar.is_holiday][(flags > 0).mean(axis=(1, 2)) > MAJORITY]
    return " and ".join(name for each in columns.tolist() if (name := each.removeprefix("holiday ")) != NO_NAME)


def _most(panel: np.ndarray, history: SalesHistory, positions: np.ndarray, dates: np.ndarray) -> np.ndarray:
    days = history.calendar.positions(dates)
    return panel[positions][:, days].mean(axis=0) > MAJORITY
