"""Days between a store's first and last row that have no row."""

import numpy as np
import pandas as pd


def days_without_row(days: pd.DataFrame, store: str, date: str, max_days: int | None = None) -> pd.DataFrame:
    """Store and date of each such day, sorted; with `max_days`, only the days of gaps of at most so many days."""
    ordered = days[[store, date]].sort_values([store, date], kind="stable", ignore_index=True)
    length = (ordered[date] - ordered.groupby(store)[date].shift()).dt.days.fillna(1).astype(int).to_numpy() - 1
    if max_days is not None:
        length = np.where(length <= max_days, length, 0)
    after = ordered.iloc[np.repeat(np.arange(len(ordered)), length)].reset_index(drop=True)
    days_before = np.repeat(np.cumsum(length), length) - np.arange(length.sum())
    return after.assign(**{date: after[date] - pd.to_timedelta(days_before, "D")})
