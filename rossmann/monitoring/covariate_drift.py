"""Drift of the plan in the chain's own covariates, by their names in chain.toml.

The share of the coming days with a flag, and the mean of a number, are compared with the same season a year before:
with the smallest and the largest value of the windows that began up to SEASON_MARGIN_DAYS before or after the same day
then. A movable feast or a late summer is no drift.
"""

from collections.abc import Iterator

import numpy as np

from rossmann.data import SalesHistory
from rossmann.data.covariates import is_flag
from rossmann.monitoring.definitions import find_definition
from rossmann.monitoring.plan_drift import PLAN_WINDOW_DAYS, sum_ahead
from rossmann.monitoring.statistics import WINDOW_DAYS, Statistic
from rossmann.schema import WEEKS_YEAR_DAYS

SEASON_MARGIN_DAYS = 28
STATISTIC_OF_KIND = {"flag": "planned_flag_share", "number": "planned_number_mean"}


def covariate_statistics(history: SalesHistory) -> Iterator[Statistic]:
    """For each day and each flag or number of [known], about the open store-days of the plan after it."""
    window = min(PLAN_WINDOW_DAYS, history.horizon_days)
    for label, values in zip(history.calendar.covariate_names.tolist(), history.calendar.covariates, strict=True):
        kind, name = label.split(" ", 1)
        if kind not in STATISTIC_OF_KIND:
            continue
        daily = _daily_sums(history, values)
        excess = _beyond_season(_mean_ahead(daily, window)[: len(history.dates)])
        if not is_flag(label):
            excess /= _earlier_deviation(daily)[: len(history.dates)]
        excess[-WINDOW_DAYS - window : -WINDOW_DAYS] = np.nan  # they look ahead at the same days as the newest week
        yield Statistic(definition=find_definition(STATISTIC_OF_KIND[kind]), subject=name, values=excess)


def _daily_sums(history: SalesHistory, values: np.ndarray) -> np.ndarray:
    """Number of open stores with a value, and the sums of the values and of their squares, by day. [days, 3]"""
    is_included = (history.calendar.open > 0) & np.isfinite(values)
    values = np.where(is_included, values, 0.0)
    return np.stack([is_included.sum(axis=0), values.sum(axis=0), np.square(values).sum(axis=0)], axis=1).astype(float)


def _mean_ahead(daily: np.ndarray, window: int) -> np.ndarray:
    """Mean over the `window` days after each day; NaN where no store is open. [days]"""
    count, total, _ = sum_ahead(daily, window).T
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _beyond_season(values: np.ndarray) -> np.ndarray:
    """How far each value is below (negative) or above the range of the same season a year before. [days]

    NaN on days whose season the history does not have completely.
    """
    beyond = np.full(len(values), np.nan)
    width = 2 * SEASON_MARGIN_DAYS + 1
    first = WEEKS_YEAR_DAYS + SEASON_MARGIN_DAYS
    if len(values) > first:
        seasons = np.lib.stride_tricks.sliding_window_view(values, width)[: len(values) - first]
        low, high, now = seasons.min(axis=1), seasons.max(axis=1), values[first:]
        beyond[first:] = np.maximum(now - high, 0) + np.minimum(now - low, 0)
    return beyond


def _earlier_deviation(daily: np.ndarray) -> np.ndarray:
    """Standard deviation of all values up to each day; NaN where it is 0. [days]"""
    count, total, squares = np.cumsum(daily, axis=0).T
    count = np.maximum(count, 1)
    variance = squares / count - np.square(total / count)
    return np.sqrt(np.where(variance > 1e-9 * squares / count, variance, np.nan))
