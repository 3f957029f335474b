"""What a guess consists of. Every part has its reason, which becomes a comment in chain.toml."""

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnGuess:
    """The column of a role, and why."""

    column: str
    reason: str


@dataclass(frozen=True)
class DaysGuess:
    """The files with one row per store and day."""

    files: tuple[str, ...]
    reason: str
    store: ColumnGuess
    date: ColumnGuess
    date_format: str  # of strptime
    sales: ColumnGuess
    open: ColumnGuess | None
    customers: ColumnGuess | None
    missing: str  # "unknown" or "closed"
    missing_reason: str
    last_day: dt.date


@dataclass(frozen=True)
class CovariateGuess:
    """A covariate or a static attribute. `file` is None for a column of the files of days and plan."""

    name: str
    column: str
    kind: str  # "flag", "number" or "category"
    file: str | None
    reason: str
    is_likely: bool = True  # otherwise its line is commented out
    store: str | None = None  # the column of the store in `file`, where it is not that of the days
    date: tuple[str, str] | None = None  # the same of the date, and its format
    of_all_stores: bool = False  # `file` has a row per day and no stores


@dataclass(frozen=True)
class PlanGuess:
    """The files of the coming days."""

    files: tuple[str, ...]
    reason: str
    horizon_days: int  # from the day after the last sales to the last planned day


@dataclass(frozen=True)
class HolidaysGuess:
    """The file with dates and names of holidays."""

    file: str
    date: str
    date_format: str
    name: str
    reason: str
    place: str | None  # column
    static: tuple[str, ...]  # names of the attributes with values of `place`
    everywhere: tuple[str, ...]  # values of `place` that no attribute has


@dataclass(frozen=True)
class ChainGuess:
    """What the files of a folder probably are."""

    folder: str
    days: DaysGuess
    covariates: tuple[CovariateGuess, ...]
    plan: PlanGuess | None
    static: tuple[CovariateGuess, ...]
    holidays: HolidaysGuess | None
    remarks: tuple[str, ...]  # files that nothing is taken from, and why
