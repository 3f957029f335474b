"""Daily series of every store, and each day's deviation from what is usual for the store. Arrays [stores, days].

The values of a day are computed from that day and earlier days only, so a longer history does not change them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory
from rossmann.features.calendar import count_between
from rossmann.features.weekdays import USUAL_WEEKDAYS, learn_weekdays
from rossmann.monitoring.statistics import WINDOW_DAYS
from rossmann.schema import CALENDAR_COLUMNS, WEEK_DAYS, WEEKS_YEAR_DAYS, weekday

USUAL_DAYS = (8, 63)  # first and last day back that say what is usual; the newest week is what is compared with them
USUAL_WEEKS = (2, 18)  # the same in weeks, for a weekday with or without promotion
REPEATED_DAYS = 3  # days back in which an equal day is a repetition


@dataclass(frozen=True)
class StoreSeries:
    """The past's days. Floats are NaN where there is nothing to compare with."""

    dates: np.ndarray  # datetime64[D] [days]
    weekday: np.ndarray  # 0 Monday … 6 Sunday [days]
    has_row: np.ndarray  # bool
    is_open: np.ndarray  # bool
    promotion: np.ndarray  # bool
    holiday: np.ndarray  # bool, a state holiday
    has_sales: np.ndarray  # bool, open and sales above 0
    log_sales: np.ndarray  # NaN without sales
    recent_deviation: np.ndarray  # log sales minus their mean USUAL_WEEKS ago, on the same weekday and promotion
    year_over_year: np.ndarray  # log sales minus those of 364 days before; NaN if promotion differs, or on holidays
    sales_per_customer_deviation: np.ndarray  # log sales per customer minus their mean over USUAL_DAYS
    traffic_repeated: np.ndarray  # bool, the same traffic as on the day before, sales on both days
    day_repeated: np.ndarray  # bool, sales and traffic equal those of one of the REPEATED_DAYS days before
    columns: Mapping[str, str]  # CALENDAR_COLUMNS and traffic that the chain's files have: its name of each
    can_be_without_sales: bool  # whether the files have open days without sales: they say which stores are open
    has_fixed_openings: bool  # whether stores close on their day of rest and on holidays only, as Kaggle's do
    rest_weekday: int  # 0 Monday … 6 Sunday, on which most stores are closed; -1 if there is none
    promotion_weekdays: np.ndarray  # on which there were promotions before the newest week. bool [7]


def compute_series(history: SalesHistory) -> StoreSeries:
    """The series of all stores up to the history's origin."""
    days = history.sales.shape[1]
    is_open, promotion, holiday = (
        getattr(history.calendar, name)[:, :days] > 0 for name in ("open", "promotion", "holiday_kind")
    )
    has_sales = is_open & (history.sales > 0)
    names = [name for name in (*CALENDAR_COLUMNS, "traffic") if history.has_column(name)]
    columns = {name: history.chain.name_of(name) for name in names}
    has_both = has_sales & (history.traffic > 0)
    traffic = np.where(has_both, history.traffic, np.nan)
    log_sales = np.log(np.where(has_sales, history.sales, np.nan))
    sales_per_customer = log_sales - np.log(traffic)
    is_kaggle = history.chain.is_kaggle
    weekdays = USUAL_WEEKDAYS if is_kaggle else learn_weekdays(history)
    return StoreSeries(
        dates=history.dates,
        weekday=weekday(history.dates),
        has_row=~np.isnan(history.sales),
        is_open=is_open,
        promotion=promotion,
        holiday=holiday,
        has_sales=has_sales,
        log_sales=log_sales,
        recent_deviation=_recent_deviation(log_sales, promotion, holiday),
        year_over_year=_year_over_year(log_sales, promotion, holiday),
        sales_per_customer_deviation=sales_per_customer - earlier_mean(sales_per_customer, *USUAL_DAYS),
        traffic_repeated=_equals_earlier(traffic, 1),
        day_repeated=_day_repeated(history, traffic, columns),
        columns=columns,
        can_be_without_sales=is_kaggle or bool((is_open & (history.sales == 0)).any()),
        has_fixed_openings=is_kaggle,
        rest_weekday=int(weekdays.rest),
        promotion_weekdays=_promotion_weekdays(history, promotion),
    )


def earlier_mean(values: np.ndarray, first: int, last: int) -> np.ndarray:
    """Mean of the values from `first` to `last` columns earlier, ignoring NaN; NaN where there are none."""
    valid = ~np.isnan(values)
    count = count_between(valid, -last, -first)
    cumulative = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(np.where(valid, values, 0.0), axis=1, out=cumulative[:, 1:])
    column = np.arange(values.shape[1])
    total = cumulative[:, np.clip(column - first + 1, 0, None)] - cumulative[:, np.clip(column - last, 0, None)]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def forecast_residuals(rows: pd.DataFrame, history: SalesHistory) -> tuple[np.ndarray, np.ndarray]:
    """log(sales / forecast) and lead days of the newest forecast of each store and day. float64 [stores, days] each

    rows: forecasts with actuals (`join_actuals`); those of stores and days that the history does not have are left out.
    NaN where there is no forecast; residuals also without sales.
    """
    residual, lead_days = (np.full(history.sales.shape, np.nan) for _ in range(2))
    first, last = (pd.Timestamp(history.dates[end].item()) for end in (0, -1))
    rows = rows[history.stores.contains(rows.store.to_numpy()) & rows.date.between(first, last)].sort_values("origin")
    store, day = history.positions(rows.store.to_numpy(), rows.date.to_numpy())
    positive = (rows.sales.to_numpy() > 0) & (rows.forecast.to_numpy() > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual[store, day] = np.where(positive, np.log(rows.sales / rows.forecast), np.nan)
    lead_days[store, day] = rows.lead_days
    return residual, lead_days


def _day_repeated(history: SalesHistory, traffic: np.ndarray, columns: Collection[str]) -> np.ndarray:
    """Whether sales, and traffic where there are any, equal those of one of the days before. bool [stores, days]"""
    amounts = [np.where(history.sales > 0, history.sales, np.nan)] + [traffic] * ("traffic" in columns)
    equals_earlier_day = [
        np.logical_and.reduce([_equals_earlier(values, back) for values in amounts])
        for back in range(1, REPEATED_DAYS + 1)
    ]
    return np.logical_or.reduce(equals_earlier_day)


def _promotion_weekdays(history: SalesHistory, promotion: np.ndarray) -> np.ndarray:
    """On which weekdays a promotion is usual: in Kaggle's files Monday to Friday. bool [7]"""
    if history.chain.is_kaggle:
        return USUAL_WEEKDAYS.has_promotion
    day, earlier = weekday(history.dates)[:-WINDOW_DAYS], promotion[:, :-WINDOW_DAYS]
    return np.array([earlier[:, day == number].any() for number in range(WEEK_DAYS)])


def _equals_earlier(values: np.ndarray, days_back: int) -> np.ndarray:
    """Whether a day has the value of `days_back` days before. bool [stores, days]"""
    equal = np.zeros(values.shape, bool)
    equal[:, days_back:] = values[:, days_back:] == values[:, :-days_back]
    return equal


def _recent_deviation(log_sales: np.ndarray, promotion: np.ndarray, holiday: np.ndarray) -> np.ndarray:
    deviation = np.full_like(log_sales, np.nan)
    for day in range(WEEK_DAYS):
        days = slice(day, None, WEEK_DAYS)
        for with_promotion in (False, True):
            comparable = (promotion[:, days] == with_promotion) & ~holiday[:, days]
            comparable_sales = np.where(comparable, log_sales[:, days], np.nan)
            usual = earlier_mean(comparable_sales, *USUAL_WEEKS)
            deviation[:, days] = np.where(comparable, comparable_sales - usual, deviation[:, days])
    return deviation


def _year_over_year(log_sales: np.ndarray, promotion: np.ndarray, holiday: np.ndarray) -> np.ndarray:
    change = np.full_like(log_sales, np.nan)
    year, year_before = slice(WEEKS_YEAR_DAYS, None), slice(None, -WEEKS_YEAR_DAYS)
    if log_sales.shape[1] > WEEKS_YEAR_DAYS:
        comparable = (promotion[:, year] == promotion[:, year_before]) & ~holiday[:, year] & ~holiday[:, year_before]
        change[:, year] = np.where(comparable, log_sales[:, year] - log_sales[:, year_before], np.nan)
    return change
