"""What every layer agrees on: column names, keys, codes, calendar arithmetic and the limits of plausible data.

Kaggle's own column names are not here: they exist only where its files are read and written (`rossmann.data.kaggle`).
"""

from datetime import date
from typing import Any, Literal

import numpy as np

# Columns. A *plan* has the known future covariates: the keys and the calendar columns, never a target. Covariates with
# features of their own have the names of their roles here; what a chain calls them says `rossmann.chain`.
KEYS = ("store", "date")
CALENDAR_COLUMNS = ("open", "promotion", "holiday_kind", "school_break")
FLAG_COLUMNS = ("open", "promotion", "school_break")  # the calendar columns that are 0 or 1
PLAN_COLUMNS = (*KEYS, *CALENDAR_COLUMNS)
ACTUAL_COLUMNS = ("sales", "traffic")  # known only when the day is over; traffic: how many customers the store had
FORECAST_COLUMNS = ("forecast", "lower", "upper")

# dtypes of these columns in tables that have passed validation.
DTYPES: dict[str, Any] = {
    "store": "int32",
    "date": "datetime64[s]",
    **dict.fromkeys(CALENDAR_COLUMNS, "int8"),
    **dict.fromkeys((*ACTUAL_COLUMNS, *FORECAST_COLUMNS), "float64"),
}

QUANTILE_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # unless a setting says otherwise
INTERVAL_COVERAGES = (0.95, 0.8, 0.5)  # nominal, of the intervals in charts; the widest first
LossName = Literal["rmspe", "mae", "rmsle", "total"]  # of the table in `rossmann.evaluation.losses`
DEFAULT_LOSS: LossName = "rmspe"  # of new models, unless a setting says otherwise

# Codes: the arrays hold a code's index.
HOLIDAY_KINDS = ("0", "a", "b", "c")  # none, public, Easter, Christmas
STORE_TYPES = ("a", "b", "c", "d")
ASSORTMENTS = ("a", "b", "c")  # basic, extra, extended

# Days.
HORIZON_DAYS = 48  # how far a forecast reaches beyond the origin, the last known day, unless a setting says otherwise
MAX_HORIZON_DAYS = 120
WEEK_DAYS = 7
WEEKS_YEAR_DAYS = 364  # 52 whole weeks: the same weekday one year before
MEAN_YEAR_DAYS = 365.25  # the calendar year, for seasons and ages in years
MIN_SEASON_HISTORY_DAYS = 400  # a shorter history does not show a full year, so no season can be fitted to it
LEAD_RANGES = {"1": 1, "2 to 7": 2, "8 to 14": 8, "15 and later": 15}  # name and first day after the origin
MIN_FOLDS = 2  # of a backtest: a fold's bounds are calibrated on the other folds
DAY = np.timedelta64(1, "D")
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = range(7)
WEEKDAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

# Limits of plausible data.
CLOSURE_DAYS = 14  # this many days in a row without a row are a whole closure; not features.calendar.LONG_CLOSURE_DAYS
LEFT_CHAIN_DAYS = 90  # a store that was closed for so long counts as one that left the chain, or that opens anew
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2099, 12, 31)
MAX_SET_ASIDE_SHARE = 0.01  # of the days of stores: more that are missing or cannot be right are refused
MAX_TIMES_MEDIAN = 20  # sales or traffic of a day against the store's median open day


def lead_week(lead_days: np.ndarray) -> np.ndarray:
    """The week after the origin to which so many days after it belong, from 1. Same shape and type."""
    return (lead_days - 1) // WEEK_DAYS + 1


def lead_range(lead_days: np.ndarray) -> np.ndarray:
    """The name in LEAD_RANGES of the range that so many days after the origin belong to. str, same shape"""
    position = np.searchsorted(list(LEAD_RANGES.values()), lead_days, side="right") - 1
    return np.asarray(list(LEAD_RANGES))[position]


def weekday(dates: np.ndarray | np.datetime64) -> np.ndarray:
    """0 Monday … 6 Sunday of datetime64 dates; int64, same shape. 1970-01-01 was a Thursday."""
    return (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7


def whole_day(moment: np.datetime64) -> np.datetime64:
    """The day of a moment, in days."""
    return np.datetime64(moment, "D")  # type: ignore[call-overload]  # numpy's types lack it


def to_date(day: np.datetime64) -> date:
    """The day as Python's date."""
    return day.astype("datetime64[D]").item()
