"""The rows with the largest errors, and what was special about the store's day."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rossmann.data import SalesHistory
from rossmann.evaluation import Backtest, LargeError, Names, largest_errors
from rossmann.schema import DAY, WEEK_DAYS, WEEKDAY_NAMES, weekday

USUAL_WEEKS = 26  # before a day, from which its usual sales are taken
UNUSUAL = 0.3  # sales below 70 % or above 143 % of the usual ones are mentioned
MAX_CLOSED_DAYS = 60  # before a day, that are counted


@dataclass(frozen=True)
class WorstRow:
    """A forecast far from the sales."""

    store: str  # label
    date: pd.Timestamp
    sales: float
    forecast: float
    share: float  # of the raw loss of its fold
    circumstances: tuple[str, ...]  # empty: nothing that the history shows


def worst_rows(
    backtest: Backtest, candidate: str, history: SalesHistory, names: Names, count: int = 12
) -> tuple[WorstRow, ...]:
    """The rows that carry most of the raw loss of their folds, the largest share first."""
    return tuple(
        WorstRow(
            names.store(error.store),
            error.date,
            error.sales,
            error.forecast,
            error.share,
            tuple(circumstances(history, error)),
        )
        for error in largest_errors(backtest, candidate, count)
    )


def circumstances(history: SalesHistory, error: LargeError) -> list[str]:
    """What the history shows about the day of a large error, for a person who looks for its cause."""
    store = int(history.stores.positions(np.array([error.store]))[0])
    day = int(history.calendar.positions(np.array([error.date], "datetime64[D]"))[0])
    return [*_unusual_sales(history, store, day), *_holidays(history, store, day), *_opening(history, store, day)]


def _unusual_sales(history: SalesHistory, store: int, day: int) -> list[str]:
    """How far the sales are from the median of earlier days with the same weekday and promotion."""
    earlier_days = np.arange(day - WEEK_DAYS, max(day - WEEK_DAYS * USUAL_WEEKS, 0) - 1, -WEEK_DAYS)
    promotion = history.calendar.promotion[store]
    alike = history.sales[store, earlier_days[promotion[earlier_days] == promotion[day]]]
    usual = np.median(alike[alike > 0]) if (alike > 0).any() else np.nan
    ratio = history.sales[store, day] / usual
    if not (ratio < 1 - UNUSUAL or ratio > 1 / (1 - UNUSUAL)):
        return []
    name = WEEKDAY_NAMES[int(weekday(history.calendar.dates[day]))]
    size = f"{ratio:.1f} times" if ratio >= 2 else f"{ratio:.0%} of"
    return [f"{size} its usual {name}{' with promotion' if promotion[day] else ''}"]


def _holidays(history: SalesHistory, store: int, day: int) -> list[str]:
    """The holiday of the day, of the day before, and of the day after."""
    remarks = []
    for offset, words in ((0, "{}"), (-1, "day after {}"), (1, "day before {}")):
        if name := _holiday_name(history, store, day + offset):
            remarks.append(words.format(name))
    return remarks


def _holiday_name(history: SalesHistory, store: int, day: int) -> str:
    """The holiday of a store's day; empty if there is none or the day is outside the calendar."""
    calendar = history.calendar
    if not 0 <= day < len(calendar.dates):
        return ""
    is_on_day = calendar.is_holiday & (calendar.covariates[:, store, day] > 0)
    names = calendar.covariate_names[is_on_day]
    if len(names):
        return str(names[0]).split(" ", 1)[1]
    return "a public holiday" if calendar.holiday_kind[store, day] else ""


def _opening(history: SalesHistory, store: int, day: int) -> list[str]:
    """Whether the store reopened on the day, and whether it was open for the first time."""
    has_sales = history.sales[store, :day] > 0
    if not has_sales.any():
        return ["first day of the store"]
    closed_days = int(day - 1 - np.flatnonzero(has_sales)[-1])
    if closed_days < 2 or closed_days > MAX_CLOSED_DAYS:
        return []
    first = history.calendar.dates[day] - closed_days * DAY
    return [f"first day after {closed_days} closed days from {first}"]
