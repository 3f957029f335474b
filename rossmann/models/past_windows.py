"""All past days of a history beside what the linear model, fitted to the same days, makes of them.

A training window shows how the linear model errs on days that it has not seen. Its residuals on the days that it was
fitted to are smaller, but there are more of them, from the first year on: they show where it is too simple.
"""

import numpy as np

from rossmann import features
from rossmann.data import SalesHistory
from rossmann.features import CALENDAR_SPEC, PlanRows
from rossmann.models.training_windows import TrainingWindow

MEAN_ROWS = 200_000  # of the sample of a larger history, in which a day's chance halves every HALF_LIFE_DAYS
HALF_LIFE_DAYS = 600
FIRST_DAY = 28  # the features of earlier days lack the days before
STORES_AT_ONCE = 100  # bounds the memory
SAMPLE_SEED = 7  # one sample for all fits from an origin


def past_window(history: SalesHistory, origin: np.datetime64) -> TrainingWindow:
    """A sample of the open days up to `origin`, with the features of CALENDAR_SPEC.

    Its base is the linear model of that origin without the recent residuals, and `day_difference` is 0: what the stores
    share on a day remains in the target, because the linear model has been fitted to it.
    """
    past = history.until(origin)
    days = len(past.dates)
    state = features.fit_state(past, context_days=days)
    is_sample = _sample((past.sales > 0) & (past.calendar.open[:, :days] == 1))
    starts = range(0, len(is_sample), STORES_AT_ONCE)
    parts = [_columns(state, past, is_sample, slice(start, start + STORES_AT_ONCE)) for start in starts]
    matrix, date, log_sales, base = (np.concatenate(column) for column in zip(*parts, strict=True))
    columns = features.column_names(state, CALENDAR_SPEC)
    return TrainingWindow(
        origin, CALENDAR_SPEC, columns, matrix, date, log_sales, base, np.zeros(len(base)), is_past=True
    )


def _sample(sold: np.ndarray) -> np.ndarray:
    """Which of the days with sales are in the sample. bool [stores, days]"""
    days = sold.shape[1]
    weight = sold * 0.5 ** (np.arange(days - 1, -1, -1) / HALF_LIFE_DAYS)
    weight[:, :FIRST_DAY] = 0
    return np.random.default_rng(SAMPLE_SEED).random(sold.shape) < weight * (MEAN_ROWS / max(weight.sum(), 1))


def _columns(
    state: features.State, past: SalesHistory, is_sample: np.ndarray, stores: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Matrix, date, log sales and log sales by the linear model of the sample's rows of some stores."""
    rows = features.past_rows(state, stores)
    chosen = np.flatnonzero(is_sample[stores])
    sample = PlanRows(state, rows.calendar, rows.store_positions, rows.row_store[chosen], rows.row_day[chosen])
    log_sales = np.log(past.sales[stores].ravel()[chosen])
    return (
        features.matrix(sample, features.column_names(state, CALENDAR_SPEC)),
        state.calendar.dates[sample.row_day],
        log_sales,
        sample.ridge,
    )
