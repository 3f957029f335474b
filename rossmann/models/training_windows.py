"""What boosters are fitted to: the features after past origins, beside the actual sales of those days."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rossmann import features
from rossmann.data import SalesHistory
from rossmann.features import FeatureSpec, PlanRows
from rossmann.schema import DAY, MIN_SEASON_HISTORY_DAYS, whole_day

# How much of a store's recent residuals is expected to last, by half-life of their mean: what the last days say fades
# with the lead, what the last weeks say stays. Estimated by `python -m benchmarks.freshness`.
FADING_WEIGHT, FADING_HALF_LIFE_DAYS = 0.45, 10  # of RESIDUAL_HALF_LIVES_DAYS[0]
LASTING_WEIGHT = 1.0  # of RESIDUAL_HALF_LIVES_DAYS[1]
MAX_DIFFERENCE = 0.35  # of log sales from the linear model: a larger one is an accident that will not repeat itself
SHRINK_STORES = 10  # weight, in stores, of the assumption that stores share no residual
STEP_DAYS = 24  # between the origins
MIN_HISTORY_DAYS = MIN_SEASON_HISTORY_DAYS  # with less the boosters would fit the bias of a model without season
MIN_SHORT_HISTORY_DAYS = 120  # the minimum where the whole history is short
RESERVED_FOR_FOLDS_DAYS = 280  # of a short history that remain for folds and their training windows


@dataclass(frozen=True)
class TrainingWindow:
    """The open days after one origin, with the features as they were on it. The arrays are never written to."""

    origin: np.datetime64
    spec: FeatureSpec
    columns: tuple[str, ...]  # names of the matrix's columns
    matrix: np.ndarray  # float32 [rows, columns]
    date: np.ndarray  # datetime64[D] [rows]
    log_sales: np.ndarray  # float64 [rows]
    base: np.ndarray  # log sales by the linear model; boosters are fitted to the difference. float64 [rows]
    day_difference: np.ndarray  # the `mean_over_stores` of the difference on the row's day. float64 [rows]
    is_past: bool = False  # whether its days are those up to the origin: see `past_windows`

    @property
    def difference(self) -> np.ndarray:
        """Log sales minus those of the linear model, clipped to ±MAX_DIFFERENCE. [rows]"""
        return _clipped_difference(self.log_sales, self.base)


def window_origins(
    first: np.datetime64, last: np.datetime64, step_days: int = STEP_DAYS, min_history_days: int = MIN_HISTORY_DAYS
) -> list[np.datetime64]:
    """Origins of the training windows of a history from `first` to `last`, ascending.

    They are counted back from `last`, so that folds a multiple of `step_days` apart share them. Each has
    `min_history_days` before it, or fewer where the history is short, down to MIN_SHORT_HISTORY_DAYS.
    """
    first, last = whole_day(first), whole_day(last)
    days = int((last - first).astype(int)) + 1
    return [last - back * DAY for back in reversed(_days_back(days, step_days, min_history_days))]


def min_train_days(days: int) -> int:
    """How many of a history's `days` must lie before the first fold, so that a booster has a training window then.

    More than `days` where the history is too short for any window.
    """
    days_back = _days_back(days, STEP_DAYS, MIN_HISTORY_DAYS)
    return days - (days_back[-1] if days_back else 0) + STEP_DAYS


def _days_back(days: int, step_days: int, min_history_days: int) -> range:
    """How many days before the last one the training windows of a history of `days` begin."""
    needed = min(min_history_days, max(MIN_SHORT_HISTORY_DAYS, days - RESERVED_FOR_FOLDS_DAYS))
    return range(step_days, days - needed + 1, step_days)


def training_window(history: SalesHistory, origin: np.datetime64, spec: FeatureSpec = FeatureSpec()) -> TrainingWindow:  # noqa: B008
    """The window after `origin`: up to the horizon, or to the end of the history where that comes first."""
    state = features.fit_state(history.until(origin))
    days = min(history.horizon_days, int((history.origin - origin).astype(int)))
    plan, actuals = history.plan(origin, days), history.actuals(origin, days)
    rows = features.join_plan(state, plan)
    sold = np.flatnonzero((plan.open == 1) & (actuals.sales > 0))
    date, log_sales, base = plan.date[sold], np.log(actuals.sales[sold]), linear_base(rows)[sold]
    lead_days = (date - origin).astype(int)
    day_difference = mean_over_stores(lead_days, _clipped_difference(log_sales, base), days + 1)[lead_days]
    columns = features.column_names(state, spec)
    matrix = features.matrix(rows, columns)[sold]
    return TrainingWindow(origin, spec, columns, matrix, date, log_sales, base, day_difference)


def _clipped_difference(log_sales: np.ndarray, base: np.ndarray) -> np.ndarray:
    return np.clip(log_sales - base, -MAX_DIFFERENCE, MAX_DIFFERENCE)


def mean_over_stores(day: np.ndarray, values: np.ndarray, days: int) -> np.ndarray:
    """The mean of the values of each day, shrunk to 0 where there are few stores. float64 [days]

    day: from 0, of each value. [rows]
    """
    return np.bincount(day, values, days) / (np.bincount(day, minlength=days) + SHRINK_STORES)


def linear_base(rows: PlanRows) -> np.ndarray:
    """Log sales by the linear model, corrected by the store's recent residuals. float64 [rows]"""
    last_days, last_weeks = rows.at_store(rows.state.ridge.decayed_residual).T
    fading_weight = FADING_WEIGHT * 0.5 ** (rows.lead_days / FADING_HALF_LIFE_DAYS)
    return rows.ridge + fading_weight * last_days + LASTING_WEIGHT * last_weeks


def train_set(
    training_windows: Sequence[TrainingWindow], train_end: np.datetime64, max_rows: int, seed: int
) -> TrainingWindow:
    """All rows up to and including `train_end` as one window; with more than `max_rows`, a random sample of them.

    `origin` and `spec` are those of the last window. ValueError where there is no row.
    """
    earlier_windows = [window for window in training_windows if window.origin < train_end and not window.is_past]
    rows_by_window = [np.flatnonzero(window.date <= train_end) for window in earlier_windows]
    count = sum(len(rows) for rows in rows_by_window)
    if not count:
        raise ValueError(
            f"no training rows before {train_end}: a history of about {MIN_SHORT_HISTORY_DAYS + STEP_DAYS} days "
            "before it is needed; provide more days or request fewer folds"
        )
    if count > max_rows:
        rows_by_window = _sample(rows_by_window, max_rows, seed)
    arrays = ("matrix", "date", "log_sales", "base", "day_difference")
    columns: dict[str, Any] = {name: _concatenate(earlier_windows, rows_by_window, name) for name in arrays}
    return replace(earlier_windows[-1], **columns)


def past_set(training_windows: Sequence[TrainingWindow], train_end: np.datetime64) -> TrainingWindow:
    """The past window of `train_end`. ValueError where it is missing or has no row."""
    for window in training_windows:
        if window.is_past and window.origin == train_end and len(window.date):
            return window
    raise ValueError(f"no past days up to {train_end}: pass past_window(history, {train_end}) with the windows")


def _sample(rows_by_window: Sequence[np.ndarray], size: int, seed: int) -> list[np.ndarray]:
    """A random sample of `size` of the rows, in the same order and the same windows."""
    starts = np.cumsum([0] + [len(rows) for rows in rows_by_window])
    sample = np.sort(np.random.default_rng(seed).choice(starts[-1], size, replace=False))
    return [
        rows[sample[(sample >= start) & (sample < start + len(rows))] - start]
        for rows, start in zip(rows_by_window, starts[:-1], strict=True)
    ]


def _concatenate(windows: Sequence[TrainingWindow], rows_by_window: Sequence[np.ndarray], name: str) -> np.ndarray:
    return np.concatenate([getattr(window, name)[rows] for window, rows in zip(windows, rows_by_window, strict=True)])
