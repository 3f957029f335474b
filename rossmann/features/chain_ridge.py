"""The linear model of a chain that chain.toml describes: how strongly its coefficients are shrunk is learned.

Kaggle's 1,115 stores do differ in everything. In a chain of twelve stores that hardly differ, the same penalties fit
noise: what they should be, the last weeks of the past tell.
"""

from dataclasses import replace
from itertools import chain

import numpy as np

from rossmann.data import Calendar, Stores
from rossmann.features import store_ridge
from rossmann.features.calendar import DateParts, date_parts
from rossmann.features.levels import nanmean
from rossmann.features.ridge_design import (
    EASTER_OFFSETS,
    LATE_DECEMBER,
    design,
    named_holiday_columns,
    number_columns,
)
from rossmann.features.school_breaks import SchoolBreaks
from rossmann.features.shrinkage import NO_EFFECT, Shrinkage
from rossmann.features.store_ridge import StoreRidge
from rossmann.features.weekdays import Weekdays

FACTORS = (1.0, 5.0, 25.0, 125.0)  # of the penalties
USUAL_FACTOR = 25.0  # where the past is too short to choose
HELD_OUT_DAYS = 56  # the last ones, on which the factors are compared
MIN_DAYS = 3 * HELD_OUT_DAYS
MOST_STORES = 60  # a sample of them says as much as all
MAX_ERROR = 0.5  # of log sales: a larger one is an accident, and counts as so large
MIN_NUMBER_VARIANCE = 1e-4  # of a number's logarithm within a store: smaller changes tell little
# Columns of feasts that a chain may not keep. Those of carnival and Saint Nicholas are for Germany.
GERMAN_CUSTOMS = ("special_day 12-5", *(f"special_day easter {offset:+d}" for offset in EASTER_OFFSETS if offset < -2))
EASTER = ("before easter", *(f"special_day easter {offset:+d}" for offset in EASTER_OFFSETS))
CHRISTMAS = ("advent", "special_day 12-24", "special_day 12-27", *(f"december {a}-{b}" for a, b in LATE_DECEMBER))
NEW_YEAR = ("special_day 12-31", "special_day 1-2")


def fit_chain(
    calendar: Calendar, stores: Stores, breaks: SchoolBreaks, log_sales: np.ndarray, weekdays: Weekdays
) -> StoreRidge:
    """Like `store_ridge.fit`, with the shrinkage that would have forecast the last HELD_OUT_DAYS best."""
    shrinkage = learn_shrinkage(calendar, log_sales)
    sample = np.arange(0, len(stores.number), -(-len(stores.number) // MOST_STORES))
    of_sample = (calendar.of_stores(sample), stores.at(sample), breaks.at(sample), log_sales[sample], weekdays)
    if log_sales.shape[1] >= MIN_DAYS:
        errors = [_held_out_error(*of_sample, replace(shrinkage, factor=factor)) for factor in FACTORS]
        shrinkage = replace(shrinkage, factor=FACTORS[int(np.argmin(errors))])
    return store_ridge.fit(calendar, stores, breaks, log_sales, weekdays, shrinkage)


def learn_shrinkage(calendar: Calendar, log_sales: np.ndarray) -> Shrinkage:
    """What the past calendar tells: which feasts there are, how numbers vary, in how many years a holiday was."""
    days = log_sales.shape[1]
    is_holiday = np.any(calendar.holiday_kind[:, :days] > 0, axis=0)
    valid = ~np.isnan(log_sales)
    return Shrinkage(
        USUAL_FACTOR,
        dict.fromkeys(_absent_feasts(is_holiday, date_parts(calendar.dates[:days])), NO_EFFECT)
        | {name: _variance_within_stores(column, valid) for name, column in number_columns(calendar).items()},
        {
            name: _years(column[:, :days] & valid, calendar.dates[:days])
            for name, column in named_holiday_columns(calendar).items()
        },
    )


def _held_out_error(
    calendar: Calendar,
    stores: Stores,
    breaks: SchoolBreaks,
    log_sales: np.ndarray,
    weekdays: Weekdays,
    shrinkage: Shrinkage,
) -> float:
    """Sum of the squared errors of the last HELD_OUT_DAYS, forecast from the days before them."""
    days, first = log_sales.shape[1], log_sales.shape[1] - HELD_OUT_DAYS
    past = breaks.of_days(slice(first))
    ridge = store_ridge.fit(calendar, stores, past, log_sales[:, :first], weekdays, shrinkage)
    positions = np.arange(len(stores.number))
    origin = calendar.dates[first - 1]
    values = design(calendar, stores, breaks.of_stores(positions), origin, slice(first, days), weekdays)[1]
    error = log_sales[:, first:] - store_ridge.predict(ridge, positions, values)
    return float(np.nansum(np.square(np.clip(error, -MAX_ERROR, MAX_ERROR))))


def _absent_feasts(is_holiday: np.ndarray, parts: DateParts) -> tuple[str, ...]:
    """Columns of the feasts that are no holidays of the chain; without any holiday, nothing is known of feasts."""
    if not is_holiday.any():
        return GERMAN_CUSTOMS
    days = {
        EASTER: (parts.days_from_easter == -2) | (parts.days_from_easter == 1),
        CHRISTMAS: (parts.month == 11) & (parts.day_of_month == 25),
        NEW_YEAR: (parts.month == 0) & (parts.day_of_month == 1),
    }
    absent = (columns for columns, of_feast in days.items() if not (of_feast & is_holiday).any())
    return (*GERMAN_CUSTOMS, *chain(*absent))


def _variance_within_stores(column: np.ndarray, valid: np.ndarray) -> float:
    """Mean over the stores' days of the squared distance from the store's mean; MIN_NUMBER_VARIANCE at least."""
    values = np.where(valid, column[:, : valid.shape[1]], np.nan)
    square = np.square(values - nanmean(values)[:, None])
    return max(float(np.nansum(square) / max(valid.sum(), 1)), MIN_NUMBER_VARIANCE)


def _years(is_near: np.ndarray, dates: np.ndarray) -> int:
    """In how many years any store sold on such a day; at least 1."""
    return max(len(np.unique(dates[is_near.any(axis=0)].astype("datetime64[Y]"))), 1)
