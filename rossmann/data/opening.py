"""When a store opens on a day of which nobody said it: as it usually does on that weekday, and on such holidays."""

from dataclasses import dataclass

import numpy as np

from rossmann.data.panels import RawCalendar, count_by_weekday, fill_nan, mean
from rossmann.schema import weekday

HABIT_DAYS = 56  # the last days from which a store's opening habit is computed


@dataclass(frozen=True)
class Past:
    """The completed calendar of the past, and what a store usually does."""

    calendar: RawCalendar  # without NaN
    exists: np.ndarray  # whether the store has a row. bool [stores, days]
    habit: np.ndarray  # whether it usually opens on a weekday, by `opening_habit`. bool [stores, 7]


def opening_habit(is_open: np.ndarray, exists: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Whether a store usually is open on a weekday: in most of its rows of the last HABIT_DAYS.

    Where it has no such rows: in most of all its rows; otherwise in most stores. bool [stores, 7], Monday first
    """
    recent = _share_open(is_open[:, -HABIT_DAYS:], exists[:, -HABIT_DAYS:], dates[-HABIT_DAYS:])
    always = _share_open(is_open, exists, dates)
    return fill_nan(fill_nan(recent, fill_nan(always, mean(always, axis=0))), 0.0) >= 0.5


def usual_opening(past: Past, dates: np.ndarray, is_holiday: np.ndarray, holiday: np.ndarray) -> np.ndarray:
    """Whether a store usually opens on the planned `dates`. bool [stores, planned days]

    is_holiday: of the same shape. holiday: which holiday each day of past and plan is, -1 for none. [days]
    """
    return past.habit[:, weekday(dates)] & (~is_holiday | _opens_on_holidays(past, holiday))


def _opens_on_holidays(past: Past, holiday: np.ndarray) -> np.ndarray:
    """Whether a store opens if a planned day is a holiday: if it was open on most holidays of the same name.

    Where it had none: on most of all its holidays; otherwise if most stores were. bool [stores, planned days]
    """
    days = len(past.calendar.dates)
    would_open = past.habit[:, weekday(past.calendar.dates)]
    was_holiday = past.exists & (past.calendar.holiday_kind > 0) & would_open
    is_open = np.where(was_holiday, past.calendar.open, np.nan)
    own = mean(is_open, axis=1)
    share = np.repeat(fill_nan(own, fill_nan(mean(own, axis=0), 0.0))[:, None], len(holiday) - days, axis=1)
    for name in set(holiday[days:].tolist()) - {-1}:
        of_name = mean(is_open[:, holiday[:days] == name], axis=1)
        planned = holiday[days:] == name
        share[:, planned] = fill_nan(of_name[:, None], share[:, planned])
    return share >= 0.5


def _share_open(is_open: np.ndarray, exists: np.ndarray, dates: np.ndarray) -> np.ndarray:
    """Share of a store's rows on a weekday on which it is open; NaN without any row. [stores, 7]"""
    rows = count_by_weekday(exists, dates)
    open_rows = count_by_weekday((is_open == 1) & exists, dates)
    return np.where(rows > 0, open_rows / np.maximum(rows, 1), np.nan)
