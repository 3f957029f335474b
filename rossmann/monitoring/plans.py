"""Whether the published plan of the coming days is like those before it: how much it promotes, and what it combines."""

from collections.abc import Iterator

import numpy as np

from rossmann.data import STATE_HOLIDAYS, Calendar, SalesHistory
from rossmann.features.calendar import take_apart
from rossmann.monitoring.statistics import Statistic

AHEAD_DAYS = 28
SETTLED = 365  # days: before that, every feast is the first of its kind
REFERENCE = "all earlier plans"


def of_plan(history: SalesHistory) -> Iterator[Statistic]:
    """By evening: of the open store-days of the AHEAD_DAYS after it, as published."""
    combined = _combinations(history.calendar)
    ahead = _sum_ahead(combined)[: len(history.dates)]
    planned = ahead.sum(axis=1)
    promoted = ahead[:, 1::2].sum(axis=1) / np.maximum(planned, 1)
    more = promoted - _earlier_maximum(promoted)
    yield Statistic(
        "plan",
        "promos_more_than_ever",
        "promo",
        _settled(np.clip(more, 0, None), planned),
        0.05,
        2,
        REFERENCE,
        "the coming four weeks promote on {effect:+.1%} more of the days than any before",
    )
    first = np.where(combined.any(axis=0), (combined > 0).argmax(axis=0), len(combined))
    unseen = first > np.arange(len(ahead))[:, None]
    yield Statistic(
        "plan",
        "unseen_combinations",
        "weekday, promo, holidays",
        _settled((ahead * unseen).sum(axis=1) / np.maximum(planned, 1), planned),
        0.03,  # a Christmas combines 2 % anew, a day of its own for all stores 4 %
        2,
        REFERENCE,
        "{effect:.1%} of the days to come combine weekday, promo and holidays as never before",
    )


def _combinations(calendar: Calendar) -> np.ndarray:
    """Open stores that have each combination, by day; the odd ones are those with promotion. [days, combinations]"""
    code = take_apart(calendar.dates).weekday * len(STATE_HOLIDAYS) + calendar.state_holiday
    code = (code * 2 + calendar.school_holiday) * 2 + calendar.promo
    kinds = 7 * len(STATE_HOLIDAYS) * 2 * 2
    store, day = np.nonzero(calendar.open)
    counts = np.bincount(day * kinds + code[store, day], minlength=len(calendar.dates) * kinds)
    return counts.reshape(-1, kinds)


def _sum_ahead(daily: np.ndarray) -> np.ndarray:
    """Of the AHEAD_DAYS rows after each, or of as many as there are."""
    total = np.cumsum(np.r_[np.zeros((1, daily.shape[1]), daily.dtype), daily], axis=0)
    after = np.arange(1, len(daily) + 1)
    return total[np.minimum(after + AHEAD_DAYS, len(daily))] - total[after]


def _earlier_maximum(values: np.ndarray) -> np.ndarray:
    """Largest value of the evenings whose coming days do not overlap those of this one; inf where there is none."""
    before = np.full(len(values), np.inf)
    before[AHEAD_DAYS:] = np.maximum.accumulate(values)[:-AHEAD_DAYS]
    return before


def _settled(values: np.ndarray, planned: np.ndarray) -> np.ndarray:
    return np.where((np.arange(len(values)) >= SETTLED) & (planned > 0), values, np.nan)
