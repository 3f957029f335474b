"""Known covariates that the chain's own files describe, as panels of stores × days."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rossmann.data.history import Calendar, Stores
from rossmann.data.panels import fill_nan, mean, panel
from rossmann.schema import DAY, WEEKS_YEAR_DAYS

# The values of a covariate on consecutive dates [days], NaN where they are unknown. float [stores, days]
CovariatePanel = Callable[[Stores, np.ndarray], np.ndarray]
FLAG_KINDS = ("flag", "holiday")  # the kinds of covariates whose values are 0 or 1


def is_flag(name: str) -> bool:
    """Whether a covariate is 0 or 1, by its name: its first word is its kind."""
    return name.split()[0] in FLAG_KINDS


@dataclass(frozen=True)
class CovariateRows:
    """The rows of a covariate, one per store and day. Days without a row are filled, as `__call__` says."""

    store: np.ndarray | None  # int32; None: one row per day, which counts for all stores
    date: np.ndarray  # datetime64[D]
    values: np.ndarray  # float64, NaN unknown
    is_flag: bool

    def __call__(self, stores: Stores, dates: np.ndarray) -> np.ndarray:
        """The panel, with the values of days without one.

        Such a day has the most common flag, or the mean number, of the other stores. If no store has a value on that
        day: the value of the same store 52 weeks before. If there is none: a flag is 0, and a number is the last one
        before that day, since later ones are not known then; before its first value, a number has this value.
        Rows without a store: `_of_all_stores`.
        """
        values = self._of_all_stores(stores, dates) if self.store is None else self._by_store(self.store, stores, dates)
        of_day = mean(values, axis=0)
        values = fill_nan(values, (of_day >= 0.5) * 1.0 + 0 * of_day if self.is_flag else of_day)
        for day in np.flatnonzero(np.isnan(of_day)):
            if day >= WEEKS_YEAR_DAYS:
                values[:, day] = values[:, day - WEEKS_YEAR_DAYS]
        return np.nan_to_num(values if self.is_flag else _last_values(_last_values(values)[:, ::-1])[:, ::-1])

    def _by_store(self, store: np.ndarray, stores: Stores, dates: np.ndarray) -> np.ndarray:
        column = (self.date - dates[0]).astype(np.int64)
        used = stores.contains(store) & (column >= 0) & (column < len(dates))
        shape = (len(stores.number), len(dates))
        return panel(shape, stores.positions(store[used]), column[used], self.values[used])

    def _of_all_stores(self, stores: Stores, dates: np.ndarray) -> np.ndarray:
        """The value of each day in every store. Between the rows a flag is 0, and a number that of the row before."""
        of_date = pd.Series(self.values, self.date.astype("datetime64[s]")).dropna().sort_index()
        index = dates.astype("datetime64[s]")
        values = of_date.reindex(index, fill_value=0.0) if self.is_flag else of_date.reindex(index, method="ffill")
        if len(of_date):
            values[(values.index < of_date.index[0]) | (values.index > of_date.index[-1])] = np.nan
        return np.repeat(values.to_numpy(float)[None], len(stores.number), axis=0)


def _last_values(values: np.ndarray) -> np.ndarray:
    """Where a value is NaN, the one before it in its row that is not. [rows, days]"""
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(values.shape[1])), axis=1)
    return np.take_along_axis(values, last, axis=1)


def add_covariates(calendar: Calendar, stores: Stores, panels: Mapping[str, CovariatePanel]) -> Calendar:
    """The calendar with these covariates, by name. One with the same value everywhere says nothing, and is left out.

    Holidays are added for the days after the calendar, too.
    """
    values = {name: each(stores, calendar.dates).astype(np.float32) for name, each in panels.items()}
    values = {name: each for name, each in values.items() if np.nanmax(each) != np.nanmin(each)}
    if not values:
        return calendar
    later_dates = calendar.dates[-1] + DAY * np.arange(1, calendar.later_holiday_kind.shape[1] + 1)
    nothing = np.zeros(calendar.later_holiday_kind.shape)
    later = [panels[name](stores, later_dates) if name.startswith("holiday ") else nothing for name in values]
    return replace(
        calendar,
        covariate_names=np.array(list(values)),
        covariates=np.stack(list(values.values())),
        later_covariates=np.stack(later).astype(np.float32),
    )
