"""Folds: windows of the past on which candidates are backtested."""

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


def fold_origins(history: SalesHistory, count: int, step_days: int, horizon_days: int) -> tuple[np.datetime64, ...]:
    """Origins of `count` folds, latest first; the latest fold ends with the history. DataError if it is too short."""
    needed = MIN_PAST_DAYS + (count - 1) * step_days + horizon_days
    days = len(history.dates)
    if days < needed:
        raise DataError(
            f"history too short for {count} folds of {horizon_days} days, {step_days} days apart: it has {days} days "
            f"({history.dates[0]} to {history.origin}) and {needed} are needed; provide {needed - days} more days or "
            f"ask for fewer folds (--folds)"
        )
    last = history.origin - horizon_days * DAY
    return tuple(last - number * step_days * DAY for number in range(count))
