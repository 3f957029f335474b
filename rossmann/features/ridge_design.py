"""The regressors of the linear model of each store.

The first word of a column's name is its kind: `store_ridge` sets penalties by kind.
"""

from functools import lru_cache

import numpy as np

from rossmann.data import Calendar, Stores, derived_flags
from rossmann.features.calendar import (
    CLOSURE_CAP_DAYS,
    REOPENING_CAP_DAYS,
    date_parts,
    days_since_reopening,
    days_until_closure,
    pay_day_distance,
    shift,
)
from rossmann.features.school_breaks import NAMES as BREAK_NAMES
from rossmann.features.weekdays import USUAL_WEEKDAYS, Weekdays
from rossmann.schema import MEAN_YEAR_DAYS, MONDAY, SATURDAY, WEEK_DAYS

CONTEXT_DAYS, DESIGN_LOOKAHEAD_DAYS = 126, 17  # how many days before and after a day its columns depend on
SEASON_HARMONICS, FINE_SEASON_HARMONICS = range(1, 5), range(5, 21)  # times a year
FINE_SEASON = "fine_season"  # a kind that one store has too few years for
BUSINESS_DAYS_FROM_PAY_DAY = range(-3, 3)
SATURDAYS_FROM_PAY_DAY = ((-1, 2), (3, 5))  # first and last day
DAY_OF_MONTH_RANGES = (
    (1, 2),
    (3, 5),
    (6, 9),
    (10, 14),
    (15, 18),
    (19, 22),
)  # first and last day; the rest is the reference
LATE_DECEMBER = ((15, 24), (22, 23), (27, 30))
# The eve of Saint Nicholas; 24 and 31 December, on which shops close early; and the first open days after each.
SPECIAL_DATES = ((12, 5), (12, 24), (12, 27), (12, 31), (1, 2))  # month and day
EASTER_OFFSETS = (-52, -50, -48, -47, -1, 0)  # days from Easter Sunday on which some stores differ: carnival, Easter
NAMED_HOLIDAY, DAYS_FROM_NAMED_HOLIDAY = "named_holiday", range(-2, 2)
BEFORE_CLOSURE, AFTER_CLOSURE = ((1, 1), (2, 3), (4, 7), (8, 12)), ((0, 0), (1, 2), (3, 6), (7, 20))  # days


def kind(name: str) -> str:
    """The kind of a column: the first word of its name."""
    return name.split()[0]


def harmonic(name: str) -> int:
    """How many times a year a column of the season repeats."""
    return int(name.split()[-1])


def is_for_chain_only(name: str) -> bool:
    """Whether all stores have the chain's coefficient of this column."""
    return kind(name) == FINE_SEASON


def design(
    calendar: Calendar,
    stores: Stores,
    breaks: np.ndarray,
    origin: np.datetime64,
    days: slice,
    weekdays: Weekdays = USUAL_WEEKDAYS,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and values of the regressors of `days` of the calendar: float32 [stores, days, columns], C-order.

    A day's values depend on the CONTEXT_DAYS before and the DESIGN_LOOKAHEAD_DAYS after it, as far as the calendar has
    them. breaks: the school breaks of the stores. bool [stores, days of the calendar, school_breaks.NAMES]
    """
    of_dates = _date_values(calendar.dates[0], len(calendar.dates), origin)
    of_stores = store_columns(calendar, stores, origin, weekdays)
    names = (*date_columns(calendar.dates[0], len(calendar.dates), origin), *of_stores, *BREAK_NAMES)
    values = np.empty((len(stores.number), len(calendar.dates[days]), len(names)), np.float32)
    values[:, :, : of_dates.shape[1]] = of_dates[days]
    for k, column in enumerate(of_stores.values(), of_dates.shape[1]):
        values[:, :, k] = column[:, days]
    values[:, :, -len(BREAK_NAMES) :] = breaks[:, days]
    return names, values


@lru_cache(maxsize=8)  # every forecast of a row needs those of the same State
def _date_values(first: np.datetime64, days: int, origin: np.datetime64) -> np.ndarray:
    """The columns that are the same for all stores. float32 [days, columns]"""
    return np.stack(list(date_columns(first, days, origin).values()), axis=1).astype(np.float32)


@lru_cache(maxsize=8)  # every forecast of a row needs those of the same State
def date_columns(first: np.datetime64, days: int, origin: np.datetime64) -> dict[str, np.ndarray]:
    """The columns that are the same for all stores. [days] each"""
    dates = first + np.arange(days)
    d = date_parts(dates)
    day, season = d.day_of_month, _season_angle(d.day_of_year)
    age = _years_after(dates, origin)
    december = d.month == 11
    columns = {f"weekday {w}": d.weekday == w for w in range(WEEK_DAYS)}
    columns |= {f"day {a}-{b}": (day >= a) & (day <= b) for a, b in DAY_OF_MONTH_RANGES}
    last_days = (d.days_left_in_month == 1) | (d.days_left_in_month == 2)
    columns |= {"last day": d.days_left_in_month == 0, "days before last": last_days}
    columns |= {f"season sin {k}": np.sin(k * season) for k in SEASON_HARMONICS}
    columns |= {f"season cos {k}": np.cos(k * season) for k in SEASON_HARMONICS}
    columns |= {"advent": np.where(december & (day <= 24), day / 24, 0)}
    columns |= {f"december {a}-{b}": december & (day >= a) & (day <= b) for a, b in LATE_DECEMBER}
    columns |= {f"special_day {m}-{day}": (d.month == m - 1) & (d.day_of_month == day) for m, day in SPECIAL_DATES}
    columns |= {f"special_day easter {offset:+d}": d.days_from_easter == offset for offset in EASTER_OFFSETS}
    columns |= {"before easter": np.clip(d.days_from_easter + 9, 0, 8) / 8 * (d.days_from_easter < 0)}
    columns |= {"monday turn of month": (d.weekday == MONDAY) & ((day <= 3) | (d.days_left_in_month <= 1))}
    columns |= {
        "season saturday sin": (d.weekday == SATURDAY) * np.sin(season),
        "season saturday cos": (d.weekday == SATURDAY) * np.cos(season),
    }
    columns |= {"trend": np.clip(age, -2.5, 0), "trend recent": np.clip(age, -0.5, 0)}
    columns |= _pay_day_columns(dates)
    columns |= {f"{FINE_SEASON} sin {k}": np.sin(k * season) for k in FINE_SEASON_HARMONICS}
    return columns | {f"{FINE_SEASON} cos {k}": np.cos(k * season) for k in FINE_SEASON_HARMONICS}


def _pay_day_columns(dates: np.ndarray) -> dict[str, np.ndarray]:
    """The business days and Saturdays around the last business day of a month, on which wages are paid. [days] each"""
    d, saturday = pay_day_distance(dates), date_parts(dates).weekday == SATURDAY
    columns = {f"pay_day {k:+d}": d.business_days == k for k in BUSINESS_DAYS_FROM_PAY_DAY}
    return columns | {
        f"pay_day saturday {a:+d}..{b:+d}": saturday & (d.days >= a) & (d.days <= b) for a, b in SATURDAYS_FROM_PAY_DAY
    }


def store_columns(
    calendar: Calendar, stores: Stores, origin: np.datetime64, weekdays: Weekdays
) -> dict[str, np.ndarray]:
    """The columns that differ between stores. [stores, days] each"""
    d = date_parts(calendar.dates)
    promotion, school = calendar.promotion == 1, calendar.school_break == 1
    closed, holiday = calendar.open == 0, calendar.all_holiday_kinds > 0
    before, two_before, after = (shift(holiday, k)[:, : len(calendar.dates)] for k in (-1, -2, 1))
    after_rest, before_rest = d.weekday == weekdays.after_rest, d.weekday == weekdays.before_rest
    return (
        _promotion_columns(calendar, promotion, origin, weekdays)
        | {
            "school": school,
            "school saturday": school & before_rest,
            "school promotion": school & promotion,
            "holiday": calendar.holiday_kind > 0,
            "before holiday": before | (before_rest & two_before),
            "two before holiday": two_before & ~before_rest,
            "after holiday": after,
            "after holiday saturday": before_rest & after,
            "closed yesterday": shift(closed, 1) & ~after_rest,
            "closed tomorrow": shift(closed, -1) & ~before_rest,
        }
        | derived_flags(stores, calendar.dates)
        | _closure_columns(closed)
        | _covariate_columns(calendar)
    )


def _covariate_columns(calendar: Calendar) -> dict[str, np.ndarray]:
    """The chain's own covariates. [stores, days] each

    Flags: in general and by weekday. Numbers: their size, as a logarithm. Holidays: the days around each of a name, on
    which it differs from holidays in general.
    """
    day = date_parts(calendar.dates).weekday
    columns: dict[str, np.ndarray] = {}
    for name, values in _covariates(calendar, "flag").items():
        columns |= {name: values} | {f"{name} {w}": values * (day == w) for w in range(WEEK_DAYS)}
    return columns | number_columns(calendar) | named_holiday_columns(calendar)


def number_columns(calendar: Calendar) -> dict[str, np.ndarray]:
    """The logarithm of each number's size plus 1, with its sign. [stores, days] each"""
    numbers = _covariates(calendar, "number")
    return {name: np.sign(values) * np.log1p(np.abs(values)) for name, values in numbers.items()}


def number_centres(calendar: Calendar, weight: np.ndarray) -> dict[str, np.ndarray]:
    """The mean of each number's column in each store, weighted by `weight` [stores, first days]; else of all. [stores]

    Without it, what a store's numbers are on average would be taken for an effect.
    """
    total = weight.sum(axis=1)
    columns = {name: column[:, : weight.shape[1]] for name, column in number_columns(calendar).items()}
    return {
        name: np.where(total > 0, (column * weight).sum(axis=1) / np.maximum(total, 1e-12), column.mean())
        for name, column in columns.items()
    }


def named_holiday_columns(calendar: Calendar) -> dict[str, np.ndarray]:
    """The days around the holidays of each name, of those after the calendar, too. [stores, days] each"""
    names, days = calendar.covariate_names[calendar.is_holiday].tolist(), len(calendar.dates)
    is_holiday = calendar.all_covariates[calendar.is_holiday] > 0
    return {
        f"{NAMED_HOLIDAY} {name} {k:+d}": shift(of_name, k)[:, :days]
        for name, of_name in zip(names, is_holiday, strict=True)
        for k in DAYS_FROM_NAMED_HOLIDAY
    }


def _covariates(calendar: Calendar, covariate_kind: str) -> dict[str, np.ndarray]:
    """The covariates of a kind, 0 where they are unknown. [stores, days] each"""
    names = calendar.covariate_names.tolist()
    return {
        name: np.nan_to_num(values)
        for name, values in zip(names, calendar.covariates, strict=True)
        if kind(name) == covariate_kind
    }


def _promotion_columns(
    calendar: Calendar, promotion: np.ndarray, origin: np.datetime64, weekdays: Weekdays
) -> dict[str, np.ndarray]:
    """Promotions by weekday, season and trend, and the days after them. [stores, days] each"""
    d = date_parts(calendar.dates)
    season = _season_angle(d.day_of_year)
    return {f"promotion {w}": promotion & (d.weekday == w) for w in np.flatnonzero(weekdays.has_promotion).tolist()} | {
        "monday after promotion": (d.weekday == weekdays.after_rest) & shift(promotion, 3),
        "trend promotion": promotion * np.clip(_years_after(calendar.dates, origin), -1, 0),
        "promotion again": promotion & shift(promotion, WEEK_DAYS),
        "season promotion sin": promotion * np.sin(season),
        "season promotion cos": promotion * np.cos(season),
        "promotion early in month": promotion & (d.day_of_month <= 5),
        "saturday after promotion": (d.weekday == weekdays.before_rest) & shift(promotion, 1),
    }


def _closure_columns(closed: np.ndarray) -> dict[str, np.ndarray]:
    """The clearance sale before a refurbishment, and the rush after it. [stores, days] each"""
    until = days_until_closure(closed, CLOSURE_CAP_DAYS)
    since = days_since_reopening(closed, REOPENING_CAP_DAYS)
    columns = {f"closure in {a}-{b}": (until >= a) & (until <= b) for a, b in BEFORE_CLOSURE}
    return columns | {f"closure over {a}-{b}": (since >= a) & (since <= b) for a, b in AFTER_CLOSURE}


def _season_angle(day_of_year: np.ndarray) -> np.ndarray:
    """The day of the year as an angle in radians. [days]"""
    return 2 * np.pi * day_of_year / MEAN_YEAR_DAYS


def _years_after(dates: np.ndarray, origin: np.datetime64) -> np.ndarray:
    """Years after the origin; negative before it. [days]"""
    return (dates - origin).astype(np.int64) / MEAN_YEAR_DAYS
