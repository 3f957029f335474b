"""Which table has one row per store and day, and which of its columns are the store, the day and the amounts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rossmann.data.chain_guess import names
from rossmann.data.chain_guess.cells import DATE_FORMATS, Cells
from rossmann.data.chain_guess.tables import RawTable
from rossmann.data.day_rules import usual_gap_days
from rossmann.schema import CLOSURE_DAYS, DAY
from rossmann.validation import DataError

MIN_UNIQUE = 0.99  # share of the rows that are the only one of their store and day
_AMOUNTS = (*names.SALES, *names.CUSTOMERS)
MIN_DENSITY = 0.2  # of the days of a table, on which a store has a row, in the mean; an amount recurs on fewer


@dataclass(frozen=True, eq=False)
class StoreDays:
    """A table read as one row per store and day."""

    table: RawTable
    store: Cells
    date: Cells
    days: np.ndarray  # datetime64[D] [rows]
    amounts: tuple[Cells, ...]  # what may be the sales, the most likely one first
    others: tuple[Cells, ...]  # all columns with values but the keys and the first amount

    @property
    def first_day(self) -> np.datetime64:
        """The first day of a row."""
        return self.days.min()

    @property
    def last_day(self) -> np.datetime64:
        """The last day of a row."""
        return self.days.max()


def find_days(folder: str, tables: list[RawTable]) -> StoreDays:
    """The table that is most likely the sales of the stores. Raises DataError with what is missing if there is none."""
    dated_tables = [table for table in tables if _date_columns(table)]
    if not dated_tables:
        columns = "; ".join(f"{each.label}: {', '.join(cells.name for cells in each.columns)}" for each in tables)
        raise DataError(
            f"no file of {folder} has a column of dates ({columns}). Dates are read in these forms: "
            f"{', '.join(DATE_FORMATS)}; write them in one of them, the same in every row"
        )
    readings = [each for table in dated_tables for each in store_days(table)]
    if not readings:
        raise DataError(_without_store(folder, dated_tables))
    with_amounts = [each for each in readings if each.amounts]
    if not with_amounts:
        raise DataError(_without_amounts(readings[0]))
    days = min(with_amounts, key=_order)
    if (gap := usual_gap_days(np.unique(days.days))) > 1:
        raise DataError(
            f"{days.table.label} has a date every {gap:.0f} days ({days.date.name}: {days.date.examples}), as sales by "
            "week or month have. Export the sales of every day: the forecast is daily"
        )
    return days


def store_days(table: RawTable) -> Iterator[StoreDays]:
    """All readings of a table as one row per store and day."""
    columns = [each for each in table.columns if not each.is_empty]
    for date in _date_columns(table):
        days = date.days(date.date_formats[0])
        if np.isnat(days).any():
            continue
        for store in columns:
            if store is not date and is_store_key(store, days):
                rest = tuple(each for each in columns if each not in (date, store))
                amounts = tuple(sorted((each for each in rest if _is_amount(each, days)), key=_amount_order))
                others = tuple(each for each in rest if each not in amounts[:1])
                yield StoreDays(table, store, date, days, amounts, others)


def is_store_key(cells: Cells, days: np.ndarray) -> bool:
    """Whether a value of the column is a store: it has one row on a day, and rows on many days."""
    is_amount = (cells.is_number and not cells.is_whole_number) or names.matches(cells.name, _AMOUNTS)
    if (cells.codes < 0).any() or cells.date_formats or is_amount:
        return False
    count = np.unique(cells.codes).size
    density = len(days) / count / len(np.unique(days))
    return density >= MIN_DENSITY and _unique_rows(cells, days) >= MIN_UNIQUE * len(days)


def missing_days(days: StoreDays) -> tuple[np.ndarray, int]:
    """The days without a row between two rows of their store, and the number of all days, these included.

    datetime64[D], a day once for each store that lacks it. The days of gaps of CLOSURE_DAYS or more do not count.
    """
    day = (days.days - days.first_day) // DAY
    width = 2 * int(day.max() + CLOSURE_DAYS)  # of a store: a closure is between any two
    key = np.unique(days.store.codes * width + day)
    gaps = np.diff(key) - 1
    gaps = np.where(gaps < CLOSURE_DAYS, gaps, 0)
    position = np.arange(gaps.sum()) - np.repeat(np.cumsum(gaps) - gaps, gaps)  # of a day in its gap
    missing = np.repeat(key[:-1], gaps) + 1 + position
    return days.first_day + (missing % width) * DAY, len(key) + len(missing)


def _unique_rows(cells: Cells, days: np.ndarray) -> int:
    """The number of different pairs of value and day."""
    day = (days - days.min()) // DAY
    return len(np.unique(cells.codes * (int(day.max()) + 1) + day))


def _date_columns(table: RawTable) -> list[Cells]:
    """The columns of dates, those with the name of one first."""
    return sorted((each for each in table.columns if each.date_formats), key=lambda c: names.rank(c.name, names.DATES))


def _is_amount(cells: Cells, days: np.ndarray) -> bool:
    is_varied = cells.is_number and not cells.is_flag and len(cells.values) > 1
    return is_varied and not names.matches(cells.name, names.COVARIATES) and not cells.follows_from(days)


def _amount_order(cells: Cells) -> tuple[int, float]:
    """By name, then the largest first."""
    rank = names.rank(cells.name, _AMOUNTS)
    return rank, -float(np.mean(cells.numbers[cells.codes[cells.codes >= 0]]))


def _order(days: StoreDays) -> tuple[bool, int, bool, int]:
    """The key of the order of guesses: sales and stores that are called so come first, and longer tables."""
    sales = days.amounts[0].name
    return (
        not names.matches(sales, _AMOUNTS),
        -days.table.rows,
        not names.matches(days.store.name, names.STORES),
        names.rank(days.date.name, names.DATES),
    )


def _without_amounts(days: StoreDays) -> str:
    """Why no column of a table can be the sales."""
    others = "; ".join(f"{cells.name}: {cells.examples}" for cells in days.others)
    return (
        f"{days.table.label} has stores ({days.store.name}) and dates ({days.date.name}), but no column of numbers"
        f" that could be the sales ({others}). Write numbers as 1234.5, without currencies"
    )


def _without_store(folder: str, tables: list[RawTable]) -> str:
    """Why no table has one row per store and day."""
    table = max(tables, key=lambda each: each.rows)
    date = _date_columns(table)[0]
    days = len(date.values)
    store_columns = [each.name for each in table.columns if names.matches(each.name, names.STORES) and each is not date]
    text = f"no file of {folder} has one row per store and day: {table.label} has {table.rows:,} rows on {days:,} days"
    if store_columns:
        return f"{text}, several for the same {store_columns[0]} and {date.name}. Sum them to one row per store and day"
    return f"{text}, and no column tells the stores apart. Add one with the store, also for a single one"
