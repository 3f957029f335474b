"""What is usual for a store: its sales, customers and prices against its own recent past. All arrays [stores, days].

Every value of a day is made from that day and from days before it, so a longer history changes none of them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory
from rossmann.features.calendar import count_between

YEAR = 364  # days: the same weekday
RECENT = (8, 63)  # days back, first and last: what is usual, without the week that is judged
REPEATED = 3  # days
SAME_WEEKS = (2, 18)  # weeks back: the same weekday with the same promotion


@dataclass(frozen=True)
class Panels:
    """Of the past's days, NaN where there is nothing to compare."""

    dates: np.ndarray  # datetime64[D] [days]
    weekday: np.ndarray  # 0 Monday … 6 Sunday [days]
    present: np.ndarray  # bool, the store has a row
    open: np.ndarray  # bool
    promo: np.ndarray  # bool
    holiday: np.ndarray  # bool, a state holiday
    sold: np.ndarray  # bool
    log_sales: np.ndarray
    on_recent: np.ndarray  # log sales against the same weekdays with the same promotion
    on_year: np.ndarray  # log sales against the same season a year before, on equal kinds of day
    price: np.ndarray  # log sales per customer against the store's recent ones
    customers_same: np.ndarray  # bool, as many customers as the day before, both open
    repeated: np.ndarray  # bool, the sales and customers of one of the last REPEATED days again


def panels(history: SalesHistory) -> Panels:
    """Of a history."""
    days = history.sales.shape[1]
    calendar = history.calendar
    is_open, promo, holiday = (getattr(calendar, name)[:, :days] > 0 for name in ("open", "promo", "state_holiday"))
    weekday = (history.dates.astype(np.int64) + 3) % 7
    sold = is_open & (history.sales > 0)
    log_sales = np.log(np.where(sold, history.sales, np.nan))
    served = sold & (history.customers > 0)
    price = log_sales - np.log(np.where(served, history.customers, np.nan))
    customers, sales = np.where(served, history.customers, np.nan), np.where(served, history.sales, np.nan)
    again = [_again(customers, back) & _again(sales, back) for back in range(1, REPEATED + 1)]
    return Panels(
        dates=history.dates,
        weekday=weekday,
        present=~np.isnan(history.sales),
        open=is_open,
        promo=promo,
        holiday=holiday,
        sold=sold,
        log_sales=log_sales,
        on_recent=_on_recent(log_sales, promo, holiday),
        on_year=_on_year(log_sales, promo, holiday),
        price=price - earlier_mean(price, *RECENT),
        customers_same=_again(customers, 1),
        repeated=np.logical_or.reduce(again),
    )


def earlier_mean(values: np.ndarray, first: int, last: int) -> np.ndarray:
    """Mean of the known values `first` … `last` columns earlier; NaN where there is none."""
    known = ~np.isnan(values)
    count = count_between(known, -last, -first)
    padded = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(np.where(known, values, 0.0), axis=1, out=padded[:, 1:])
    at = np.arange(values.shape[1])
    total = padded[:, np.clip(at - first + 1, 0, None)] - padded[:, np.clip(at - last, 0, None)]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def residuals(judged: pd.DataFrame, history: SalesHistory) -> tuple[np.ndarray, np.ndarray]:
    """log(sales / forecast) and lead days of the newest forecast of each day that sold; NaN without one."""
    shape = history.sales.shape
    residual, lead = np.full(shape, np.nan), np.full(shape, np.nan)
    rows = judged.sort_values("origin")
    store = np.searchsorted(history.stores.number, rows.store)
    day = (rows.date.to_numpy().astype("datetime64[D]") - history.dates[0]).astype(int)
    sold = (rows.sales.to_numpy() > 0) & (rows.forecast.to_numpy() > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual[store, day] = np.where(sold, np.log(rows.sales / rows.forecast), np.nan)
    lead[store, day] = rows.lead_days
    return residual, lead


def _again(values: np.ndarray, back: int) -> np.ndarray:
    """Whether a day has the value of `back` days before."""
    same = np.zeros(values.shape, bool)
    same[:, back:] = values[:, back:] == values[:, :-back]
    return same


def _on_recent(log_sales: np.ndarray, promo: np.ndarray, holiday: np.ndarray) -> np.ndarray:
    compared = np.full_like(log_sales, np.nan)
    for weekday in range(7):
        days = slice(weekday, None, 7)
        for promoted in (False, True):
            alike = (promo[:, days] == promoted) & ~holiday[:, days]
            own = np.where(alike, log_sales[:, days], np.nan)
            compared[:, days] = np.where(alike, own - earlier_mean(own, *SAME_WEEKS), compared[:, days])
    return compared


def _on_year(log_sales: np.ndarray, promo: np.ndarray, holiday: np.ndarray) -> np.ndarray:
    compared = np.full_like(log_sales, np.nan)
    now, before = slice(YEAR, None), slice(None, -YEAR)
    if log_sales.shape[1] > YEAR:
        alike = (promo[:, now] == promo[:, before]) & ~holiday[:, now] & ~holiday[:, before]
        compared[:, now] = np.where(alike, log_sales[:, now] - log_sales[:, before], np.nan)
    return compared
