"""Folds: windows of the past on which candidates are backtested."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rossmann.data import Actuals, Plan, SalesHistory
from rossmann.schema import DAY
from rossmann.validation import DataError

MIN_PAST_DAYS = 180  # of history before the first origin: half a year is the least that levels can be fitted to


@dataclass(frozen=True)
class Fold:
    """One window of a backtest: what was known on `origin`, and the actuals of the days after it."""

    origin: np.datetime64
    past: SalesHistory
    plan: Plan
    actuals: Actuals


def cut_fold(history: SalesHistory, origin: np.datetime64, horizon_days: int) -> Fold:
    """The fold of the `horizon_days` days after `origin`, cut from `history`."""
    return Fold(
        origin,
        history.until(origin, horizon_days),
        history.plan(origin, horizon_days),
        history.actuals(origin, horizon_days),
    )


def possible_folds(
    history: SalesHistory,
    step_days: int,
    horizon_days: int,
    past_days: Callable[[int], int] = lambda days: MIN_PAST_DAYS,
) -> int:
    """How many folds `fold_origins` can cut."""
    days = len(history.dates)
    return max((days - past_days(days) - horizon_days) // step_days + 1, 0)


def fold_origins(
    history: SalesHistory,
    count: int,
    step_days: int,
    horizon_days: int,
    past_days: Callable[[int], int] = lambda days: MIN_PAST_DAYS,
) -> tuple[np.datetime64, ...]:
    """Origins of `count` folds, latest first; the latest fold ends with the history.

    `past_days` returns how many days of a history of so many days must lie before the first origin. DataError if the
    history is too short.
    """
    days = len(history.dates)
    possible = possible_folds(history, step_days, horizon_days, past_days)
    if count > possible:
        needed = next(n for n in itertools.count(days) if n - past_days(n) >= horizon_days + (count - 1) * step_days)
        raise DataError(
            f"history too short for {count} folds of {horizon_days} days, {step_days} days apart: it has {days} days "
            f"({history.dates[0]} to {history.origin}) and {needed} are needed; provide {needed - days} more days or "
            f"ask for fewer folds (--folds): {possible} are possible"
        )
    last = history.origin - horizon_days * DAY
    return tuple(last - number * step_days * DAY for number in range(count))
