"""The panel as a tidy frame, one row per store and day, under Kaggle's column names."""

import numpy as np
import pandas as pd

from rossmann.data.panel import SalesHistory


def days_frame(history: SalesHistory) -> pd.DataFrame:
    """The past: every row there is, with Sales and Customers, by store, then date."""
    exists = ~np.isnan(history.sales)
    frame = _frame(history, exists, 0)
    return frame.assign(Sales=history.sales[exists], Customers=history.customers[exists])


def plan_frame(history: SalesHistory) -> pd.DataFrame:
    """The published plan of the days after the origin, by store, then date."""
    known = len(history.dates)
    days = len(history.calendar.dates) - known
    return _frame(history, np.ones((len(history.stores.number), days), dtype=bool), known)


def _frame(history: SalesHistory, rows: np.ndarray, first_day: int) -> pd.DataFrame:
    store, day = np.nonzero(rows)
    c, day = history.calendar, day + first_day
    return pd.DataFrame(
        {
            "Store": history.stores.number[store],
            "Date": c.dates[day].astype("datetime64[s]"),
            "Open": c.open[store, day],
            "Promo": c.promo[store, day],
            "StateHoliday": c.state_holiday[store, day],
            "SchoolHoliday": c.school_holiday[store, day],
        }
    )
