"""A history as tables with one row per store and day, under the schema's names."""

import numpy as np
import pandas as pd

from rossmann.data.history import SalesHistory
from rossmann.schema import ACTUAL_COLUMNS, CALENDAR_COLUMNS, DTYPES


def days_frame(history: SalesHistory) -> pd.DataFrame:
    """The past with PLAN_COLUMNS and ACTUAL_COLUMNS: every row that exists, ordered by store, then date."""
    exists = ~np.isnan(history.sales)
    return _frame(history, exists, 0).assign(**{name: getattr(history, name)[exists] for name in ACTUAL_COLUMNS})


def plan_frame(history: SalesHistory) -> pd.DataFrame:
    """The published plan of the days after the origin with PLAN_COLUMNS, ordered by store, then date."""
    past_days = len(history.dates)
    days = len(history.calendar.dates) - past_days
    return _frame(history, np.ones((len(history.stores.number), days), dtype=bool), past_days)


def _frame(history: SalesHistory, rows: np.ndarray, first_column: int) -> pd.DataFrame:
    """PLAN_COLUMNS of the flagged positions; `rows` is bool [stores, days], and its days start at `first_column`."""
    store, day = np.nonzero(rows)
    calendar, day = history.calendar, day + first_column
    keys = {"store": history.stores.number[store], "date": calendar.dates[day].astype(DTYPES["date"])}
    return pd.DataFrame(keys | {name: getattr(calendar, name)[store, day] for name in CALENDAR_COLUMNS})
