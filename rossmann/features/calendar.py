"""Features of dates and calendar panels only: parts of dates, days around a day, and runs of consecutive days.

A panel is an array [stores, days] over consecutive days.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from dateutil.easter import easter

from rossmann.data import Calendar, is_flag
from rossmann.schema import DAY, LEFT_CHAIN_DAYS, WEEK_DAYS, weekday

LONG_CLOSURE_DAYS = 4  # longer than any run of public holidays: the store is being refurbished
NOT_A_BUSINESS_DAY = -99
# Caps of the days until a closure and since a reopening: beyond them, further away makes no difference.
CLOSURE_CAP_DAYS, REOPENING_CAP_DAYS = 14, 28


@dataclass(frozen=True)
class DateParts:
    """The parts of consecutive dates. int64 [days] each"""

    weekday: np.ndarray  # 0 Monday … 6 Sunday
    day_of_month: np.ndarray  # from 1
    days_left_in_month: np.ndarray  # 0 on the last day of the month
    month: np.ndarray  # 0 January … 11 December
    day_of_year: np.ndarray  # from 0
    days_from_easter: np.ndarray  # days after Easter Sunday of the same year; negative before it


def date_parts(dates: np.ndarray) -> DateParts:
    """The parts of consecutive `dates`, datetime64[D] [days]."""
    return _date_parts(dates.tobytes())


@lru_cache(maxsize=32)  # every forecast of a row needs the parts of the same State's dates
def _date_parts(dates_bytes: bytes) -> DateParts:
    dates = np.frombuffer(dates_bytes, "datetime64[D]")
    month = dates.astype("datetime64[M]")
    next_month = (month + 1).astype("datetime64[D]")
    year = dates.astype("datetime64[Y]")
    first_year = year[0].astype(np.int64) + 1970
    years = range(first_year, year[-1].astype(np.int64) + 1971)
    easters = np.array([easter(y) for y in years], "datetime64[D]")
    return DateParts(
        weekday=weekday(dates),
        day_of_month=(dates - month.astype("datetime64[D]")).astype(np.int64) + 1,
        days_left_in_month=(next_month - dates).astype(np.int64) - 1,
        month=month.astype(np.int64) % 12,
        day_of_year=(dates - year.astype("datetime64[D]")).astype(np.int64),
        days_from_easter=(dates - easters[year.astype(np.int64) + 1970 - first_year]).astype(np.int64),
    )


@dataclass(frozen=True)
class PayDayDistance:
    """How far consecutive dates are from the nearest last business day (Monday to Friday) of a month. [days] each"""

    days: np.ndarray  # after it, negative before it; of two equally near the earlier one. int64
    business_days: np.ndarray  # the same, counted in business days; NOT_A_BUSINESS_DAY on weekends. int64


def pay_day_distance(dates: np.ndarray) -> PayDayDistance:
    """The distance of `dates`, datetime64[D] [days], from pay days."""
    this_month = dates.astype("datetime64[M]")
    previous, following = (_last_business_day(this_month + months) for months in (-1, 0))
    nearest = np.where(dates - previous <= following - dates, previous, following)
    business_days = np.where(np.is_busday(dates), np.busday_count(nearest, dates), NOT_A_BUSINESS_DAY)
    return PayDayDistance((dates - nearest).astype(np.int64), business_days)


def _last_business_day(month: np.ndarray) -> np.ndarray:
    """The last Monday to Friday of each month, datetime64[M] → datetime64[D]."""
    return np.busday_offset((month + 1).astype("datetime64[D]") - DAY, 0, roll="backward")


def days_since(event: np.ndarray, cap: int) -> np.ndarray:
    """Days since the last event, 0 on its day; `cap` where it is longer ago or there was none.

    `event` is bool [stores, days]; the result int64, same shape.
    """
    position = np.arange(event.shape[1])
    last = np.maximum.accumulate(np.where(event, position, -cap), axis=1)
    return np.minimum(position - last, cap)


def days_until(event: np.ndarray, cap: int) -> np.ndarray:
    """Days until the next event, 0 on its day; `cap` where it is further ahead or there is none."""
    return days_since(event[:, ::-1], cap)[:, ::-1]


def shift(values: np.ndarray, days: int) -> np.ndarray:
    """The value `days` earlier (later if negative); at the edges the first or last value. [stores, days]"""
    return values[:, _clipped_positions(values.shape[1], -days, values.shape[1] - 1)]


def count_between(flag: np.ndarray, first: int, last: int) -> np.ndarray:
    """How many of the days day + first … day + last have the flag; none beyond the edges. int64 [stores, days]"""
    days, total = flag.shape[1], prefix_counts(flag)
    return total[:, _clipped_positions(days, last + 1, days)] - total[:, _clipped_positions(days, first, days)]


def prefix_counts(flag: np.ndarray) -> np.ndarray:
    """How many of the days before each day have the flag. int64 [stores, days + 1]"""
    total = np.zeros((len(flag), flag.shape[1] + 1), np.int64)
    np.cumsum(flag, axis=1, out=total[:, 1:])
    return total


@lru_cache(maxsize=128)
def _clipped_positions(days: int, offset: int, highest: int) -> np.ndarray:
    """Positions 0 … days − 1 plus the offset, clipped to 0 … highest. int64 [days]"""
    return np.clip(np.arange(days) + offset, 0, highest)


def days_until_closure(closed: np.ndarray, cap: int) -> np.ndarray:
    """Days until a long closure starts, 0 within it, at most `cap`. int64 [stores, days]

    A closure of LEFT_CHAIN_DAYS or more is no closure: the store left the chain.
    """
    long = count_between(closed, 0, LONG_CLOSURE_DAYS - 1) == LONG_CLOSURE_DAYS
    left_chain = count_between(closed, 0, LEFT_CHAIN_DAYS - 1) == LEFT_CHAIN_DAYS
    return days_until(long & ~left_chain, cap)


def days_since_reopening(closed: np.ndarray, cap: int) -> np.ndarray:
    """Days since the first open day after a long closure, at most `cap`. int64 [stores, days]

    The first open day of a new store is no reopening.
    """
    long = count_between(closed, -LONG_CLOSURE_DAYS, -1) == LONG_CLOSURE_DAYS
    was_open = count_between(~closed, -LEFT_CHAIN_DAYS, -1) > 0
    return days_since(~closed & long & was_open, cap)


def closure_days(closed: np.ndarray, since_reopening: np.ndarray, cap: int) -> np.ndarray:
    """Length of the long closure before the last reopening; 0 where `since_reopening` is at its `cap`.

    `since_reopening` is what `days_since_reopening(closed, cap)` returns. int64 [stores, days]
    """
    closed_so_far = days_since(~closed, LEFT_CHAIN_DAYS)  # 0 on open days
    last_closed = np.clip(np.arange(closed.shape[1]) - since_reopening - 1, 0, None)
    return np.where(since_reopening < cap, np.take_along_axis(closed_so_far, last_closed, axis=1), 0)


def extend_calendar(calendar: Calendar, last: np.datetime64) -> Calendar:
    """The calendar up to `last`.

    Days beyond its end are open as a week before, without promotion, and have the later holidays that it knows.
    """
    missing = int((last - calendar.dates[-1]).astype(int))
    if missing <= 0:
        return calendar
    same_weekday = np.arange(missing) % WEEK_DAYS - WEEK_DAYS
    nothing = np.zeros((len(calendar.open), missing), np.int8)
    days = len(calendar.dates) + missing
    covariates = zip(calendar.covariate_names.tolist(), calendar.all_covariates, calendar.covariates, strict=True)
    extended = [
        _with_zeros(of_all, days) if is_flag(name) else _with_last(own, days) for name, of_all, own in covariates
    ]
    return Calendar(
        np.concatenate([calendar.dates, calendar.dates[-1] + DAY * np.arange(1, missing + 1)]),
        np.concatenate([calendar.open, calendar.open[:, same_weekday]], axis=1),
        np.concatenate([calendar.promotion, nothing], axis=1),
        _with_zeros(calendar.all_holiday_kinds, days),
        np.concatenate([calendar.school_break, nothing], axis=1),
        calendar.covariate_names,
        np.stack(extended) if extended else np.zeros((0, len(calendar.open), days), np.float32),
        calendar.later_holiday_kind[:, missing:],
        calendar.later_covariates[:, :, missing:],
    )


def _with_zeros(values: np.ndarray, days: int) -> np.ndarray:
    """The values of the first days, and 0 on those after the last one. [stores, days]"""
    return np.pad(values[:, :days], ((0, 0), (0, max(days - values.shape[1], 0))))


def _with_last(values: np.ndarray, days: int) -> np.ndarray:
    """The values, and on the days after the last one that of the last one. [stores, days]"""
    return values[:, np.minimum(np.arange(days), values.shape[1] - 1)]
