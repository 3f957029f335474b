"""What the calendar alone says of a day: its date, the days around it, and the runs it stands in."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rossmann.data import Calendar, Stores

DAY = np.timedelta64(1, "D")
YEAR_DAYS = 365.25
LONG_CLOSURE_DAYS = 4  # longer than any row of feast days: the store is being refurbished
GONE_DAYS = 90  # closed for longer, a store does not come back but begins


@dataclass(frozen=True)
class Dates:
    """A run of dates taken apart. int64 [days] each."""

    weekday: np.ndarray  # 0 Monday … 6 Sunday
    day: np.ndarray  # of the month, from 1
    days_left: np.ndarray  # in the month, 0 on its last day
    month: np.ndarray  # 0 January … 11 December
    day_of_year: np.ndarray  # from 0
    from_easter: np.ndarray  # days after the year's Easter Sunday, before it negative


def take_apart(dates: np.ndarray) -> Dates:
    """The parts of `dates`, datetime64[D] [days]."""
    return _taken_apart(dates.tobytes())


@lru_cache(maxsize=32)  # a State's dates are asked for with every row that is forecast
def _taken_apart(content: bytes) -> Dates:
    dates = np.frombuffer(content, "datetime64[D]")
    month = dates.astype("datetime64[M]")
    next_month = (month + 1).astype("datetime64[D]")
    year = dates.astype("datetime64[Y]")
    first_year = year[0].astype(np.int64) + 1970
    easters = np.array([easter(y) for y in range(first_year, year[-1].astype(np.int64) + 1971)])
    return Dates(
        weekday=(dates.astype(np.int64) + 3) % 7,
        day=(dates - month.astype("datetime64[D]")).astype(np.int64) + 1,
        days_left=(next_month - dates).astype(np.int64) - 1,
        month=month.astype(np.int64) % 12,
        day_of_year=(dates - year.astype("datetime64[D]")).astype(np.int64),
        from_easter=(dates - easters[year.astype(np.int64) + 1970 - first_year]).astype(np.int64),
    )


def easter(year: int) -> np.datetime64:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    w = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * w) // 433
    n = (h + w - 7 * m + 90) // 25
    p = (h + w - 7 * m + 33 * n + 19) % 32
    return np.datetime64(f"{year}-{n:02d}-{p:02d}", "D")


def days_since(event: np.ndarray, cap: int) -> np.ndarray:
    """Days since the last event, 0 on its day, at most `cap`; `event` is bool [stores, days]. int64"""
    position = np.arange(event.shape[1])
    last = np.maximum.accumulate(np.where(event, position, -cap), axis=1)
    return np.minimum(position - last, cap)


def days_until(event: np.ndarray, cap: int) -> np.ndarray:
    """Days until the next event, 0 on its day, at most `cap`, also where none is in sight."""
    return days_since(event[:, ::-1], cap)[:, ::-1]


def shifted(values: np.ndarray, days: int) -> np.ndarray:
    """The value `days` earlier (later if negative); the edge's where there is none. [stores, days]"""
    return values[:, _moved(values.shape[1], -days, values.shape[1] - 1)]


def count_between(flag: np.ndarray, first: int, last: int) -> np.ndarray:
    """How many of the days day + first … day + last carry the flag; none beyond the edges. [stores, days]"""
    days = flag.shape[1]
    total = np.zeros((len(flag), days + 1), np.int64)
    np.cumsum(flag, axis=1, out=total[:, 1:])
    return total[:, _moved(days, last + 1, days)] - total[:, _moved(days, first, days)]


@lru_cache(maxsize=128)
def _moved(days: int, by: int, highest: int) -> np.ndarray:
    """Positions 0 … days − 1 moved, within 0 and the highest. [days]"""
    return np.clip(np.arange(days) + by, 0, highest)


def closing_in(closed: np.ndarray, longest: int) -> np.ndarray:
    """Days until a long closure starts, 0 within it, at most `longest`; who is gone was not closed. [stores, days]"""
    long = count_between(closed, 0, LONG_CLOSURE_DAYS - 1) == LONG_CLOSURE_DAYS
    gone = count_between(closed, 0, GONE_DAYS - 1) == GONE_DAYS
    return days_until(long & ~gone, longest)


def reopened_since(closed: np.ndarray, longest: int) -> np.ndarray:
    """Days since the first open day after a long closure, at most `longest`. [stores, days]"""
    away = count_between(closed, -LONG_CLOSURE_DAYS, -1) == LONG_CLOSURE_DAYS
    known = count_between(~closed, -GONE_DAYS, -1) > 0
    return days_since(~closed & away & known, longest)


def promo2_phase(dates: np.ndarray, stores: Stores) -> np.ndarray:
    """Months since promo2's round began: 0, 1, 2; 3 where the store takes no part (yet). int8 [stores, days]"""
    month = take_apart(dates).month
    phase = np.full((len(stores.number), len(dates)), 2, np.int8)
    for months_ago in (1, 0):
        phase[stores.promo2_months[:, (month - months_ago) % 12]] = months_ago
    active = stores.promo2[:, None] & (dates >= stores.promo2_since[:, None])
    return np.where(active, phase, np.int8(3))


def extended(calendar: Calendar, last: np.datetime64) -> Calendar:
    """The calendar up to `last`; beyond its end as a week before, without promo and holidays."""
    missing = int((last - calendar.dates[-1]).astype(int))
    if missing <= 0:
        return calendar
    week = np.arange(missing) % 7 - 7
    nothing = np.zeros((len(calendar.open), missing), np.int8)
    return Calendar(
        np.concatenate([calendar.dates, calendar.dates[-1] + DAY * np.arange(1, missing + 1)]),
        np.concatenate([calendar.open, calendar.open[:, week]], axis=1),
        np.concatenate([calendar.promo, nothing], axis=1),
        np.concatenate([calendar.state_holiday, nothing], axis=1),
        np.concatenate([calendar.school_holiday, nothing], axis=1),
    )
