"""Drift of the published plan: the share of promotions in the coming days, and combinations that never occurred."""

from collections.abc import Iterator

import numpy as np

from rossmann.data import SalesHistory
from rossmann.features.calendar import date_parts
from rossmann.monitoring.definitions import find_definition
from rossmann.monitoring.statistics import Statistic
from rossmann.schema import HOLIDAY_KINDS, WEEK_DAYS

PLAN_WINDOW_DAYS = 28
MIN_PLAN_PAST_DAYS = 365  # in the first year every holiday is new


def plan_statistics(history: SalesHistory) -> Iterator[Statistic]:
    """For each day, about the open store-days after it, as published: PLAN_WINDOW_DAYS, or as many as a plan has."""
    window = min(PLAN_WINDOW_DAYS, history.horizon_days)
    counts = _count_combinations(history)
    ahead = sum_ahead(counts, window)[: len(history.dates)]
    open_days = ahead.sum(axis=1)
    computable = (np.arange(len(ahead)) >= MIN_PLAN_PAST_DAYS) & (open_days > 0)
    promotion_share = ahead[:, 1::2].sum(axis=1) / np.maximum(open_days, 1)
    increase = np.clip(promotion_share - _earlier_maximum(promotion_share, window), 0, None)
    first_day = np.where(counts.any(axis=0), (counts > 0).argmax(axis=0), len(counts))
    is_new = first_day > np.arange(len(ahead))[:, None]
    new_share = (ahead * is_new).sum(axis=1) / np.maximum(open_days, 1)
    has_promotion = history.has_column("promotion")
    has_holidays = history.has_column("holiday_kind") or history.has_column("school_break")
    promotion = history.chain.name_of("promotion") if has_promotion else ""
    combined = [promotion] * has_promotion + ["holidays"] * has_holidays
    for name, subject, values in (
        ("planned_promotion_share", promotion, increase),
        ("unseen_combinations", ", ".join(["weekday", *combined]) if combined else "", new_share),
    ):
        if subject:  # the chain has what the statistic is about
            values = np.where(computable, values, np.nan)
            yield Statistic(definition=find_definition(name), subject=subject, values=values)


def _count_combinations(history: SalesHistory) -> np.ndarray:
    """Number of open stores with each combination of kind of day, school break and promotion, by day.

    int64 [days, combinations]. The combinations with an odd number are those with promotion.
    """
    calendar = history.calendar
    code = (_day_kind(history) * 2 + calendar.school_break) * 2 + calendar.promotion
    combinations = WEEK_DAYS * len(HOLIDAY_KINDS) * 2 * 2
    store, day = np.nonzero(calendar.open)
    counts = np.bincount(day * combinations + code[store, day], minlength=len(calendar.dates) * combinations)
    return counts.reshape(-1, combinations)


def _day_kind(history: SalesHistory) -> np.ndarray:
    """Weekday and kind of holiday in one number, below 7 × the number of HOLIDAY_KINDS. int64 [stores, days]

    Where stores are open on holidays, a holiday's first occurrence on another weekday is nothing new: they are one
    kind, whatever their weekday and name. In Kaggle's files hardly a store is.
    """
    holiday = history.calendar.holiday_kind.astype(np.int64)
    day = date_parts(history.calendar.dates).weekday
    if history.chain.is_kaggle:
        return day * len(HOLIDAY_KINDS) + holiday
    return np.where(holiday > 0, WEEK_DAYS, day)


def sum_ahead(daily: np.ndarray, window: int) -> np.ndarray:
    """Sum of the `window` rows after each row, or of as many as there are."""
    total = np.cumsum(np.r_[np.zeros((1, daily.shape[1]), daily.dtype), daily], axis=0)
    after = np.arange(1, len(daily) + 1)
    return total[np.minimum(after + window, len(daily))] - total[after]


def _earlier_maximum(values: np.ndarray, window: int) -> np.ndarray:
    """Largest value of the days whose coming days do not overlap those of this one; inf where there is none."""
    maximum = np.full(len(values), np.inf)
    maximum[window:] = np.maximum.accumulate(values)[: max(len(values) - window, 0)]
    return maximum
