"""Panels of raw rows: float64 [stores, days], NaN where a row or a value is missing."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rossmann.schema import CALENDAR_COLUMNS, HOLIDAY_KINDS, WEEK_DAYS, weekday


@dataclass(frozen=True)
class RawCalendar:
    """The calendar columns as float64 [stores, days]; NaN where a row or a value is missing."""

    dates: np.ndarray
    open: np.ndarray
    promotion: np.ndarray
    holiday_kind: np.ndarray
    school_break: np.ndarray


def panel(shape: tuple[int, int], store: np.ndarray, day: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values at the positions (store, day); NaN elsewhere. float64"""
    panel = np.full(shape, np.nan)
    panel[store, day] = values
    return panel


def raw_calendar(dates: np.ndarray, panel_of: Callable[[str], np.ndarray]) -> RawCalendar:
    return RawCalendar(dates, **{name: panel_of(name) for name in CALENDAR_COLUMNS})


def count_by_weekday(flags: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """How many days of each weekday are flagged. [stores, 7], from bool [stores, days]"""
    day = weekday(dates)
    return np.stack([flags[:, day == number].sum(axis=1) for number in range(WEEK_DAYS)], axis=1)


def fill_nan(values: np.ndarray, default: np.ndarray | float) -> np.ndarray:
    """The values, and the default where they are NaN; shapes as numpy broadcasts them."""
    return np.where(np.isnan(values), default, values)


def mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean without NaN; NaN where all values are NaN."""
    count = (~np.isnan(values)).sum(axis=axis)
    return np.where(count > 0, np.nansum(values, axis=axis) / np.maximum(count, 1), np.nan)


def most_common(codes: np.ndarray) -> np.ndarray:
    """The code that most stores have on each day; 0 where no store has one. int64 [days]"""
    return np.stack([(codes == code).sum(axis=0) for code in range(len(HOLIDAY_KINDS))]).argmax(axis=0)
