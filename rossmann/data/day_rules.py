"""Rules for the rows of days in raw files, whatever their columns are called."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rossmann.data.csv_parsing import as_written
from rossmann.schema import CLOSURE_DAYS, DAY, FIRST_DAY, LAST_DAY, MAX_TIMES_MEDIAN, WEEK_DAYS
from rossmann.validation import Contract, Rule, Violation, find_violations

MIN_MEDIAN_DAYS = 7  # with sales, until a store's median says what is usual
ROUNDING = 1e-9  # relative: the same amounts in another unit differ by less


def unusable_rows(contract: Contract, days: pd.DataFrame) -> tuple[np.ndarray, tuple[Violation, ...]]:
    """Which rows fail a rule of the contract. bool [rows], and why"""
    is_unusable = ~np.logical_and.reduce([np.asarray(rule.is_valid(days)) for rule in contract.rules])
    return is_unusable, tuple(find_violations(contract, days)) if is_unusable.any() else ()


def amount_rules(
    store: str, date: str, is_open: str | None, amounts: Sequence[str], accepted: Sequence[str] = ()
) -> tuple[Rule, ...]:
    """Rules for sales and customers, the columns `amounts`; rows that fail one are set aside.

    accepted: rows as STORE@DATE whose amounts may be as high as they are.
    """
    closed = (_closed_means_zero(is_open, amounts),) if is_open else ()
    return (
        *(not_empty(name) for name in amounts),
        *(_not_negative(name) for name in amounts),
        *closed,
        *(_plausible_for_the_store(store, date, name, accepted) for name in amounts),
    )


def row_keys(stores: pd.Series, dates: pd.Series) -> pd.Series:
    """Rows as STORE@DATE, as chain.toml writes them."""
    return stores.astype(str) + "@" + dates.dt.strftime("%Y-%m-%d")


def readable(name: str, problem: str = "is not a number", remedy: str = "Correct the cells.") -> Rule:
    """Cells of a column that was read leniently."""
    return Rule(
        f"readable_{name}",
        f"{name} {problem}",
        remedy,
        (as_written(name),),
        lambda days: days[as_written(name)].isna(),
    )


def _closed_means_zero(is_open: str, amounts: Sequence[str]) -> Rule:
    return Rule(
        "closed_means_zero_sales",
        "the store is closed, but has sales or customers",
        f"Correct {is_open} or the sales.",
        (is_open, *amounts),
        lambda days: (days[is_open] != 0) | ~(days[list(amounts)] > 0).any(axis=1),
    )


def plausible_date(date: str) -> Rule:
    return Rule(
        "plausible_date",
        f"the date is before {FIRST_DAY.year} or after {LAST_DAY.year}",
        "Correct the year.",
        (date,),
        lambda days: days[date].isna() | days[date].between(pd.Timestamp(FIRST_DAY), pd.Timestamp(LAST_DAY)),
    )


def not_empty(name: str) -> Rule:
    """A cell has a value, or text that cannot be read, which is another rule."""

    def is_valid(days: pd.DataFrame) -> pd.Series:
        has_value = days[name].notna()
        return has_value | days[as_written(name)].notna() if as_written(name) in days else has_value

    return Rule(f"{name}_not_empty", f"{name} is empty", "Fill the cells in.", (name,), is_valid)


def _not_negative(name: str) -> Rule:
    return Rule(
        f"{name}_not_negative",
        f"{name} is negative",
        "Correct it; book returns on the day of the original sale.",
        (name,),
        lambda days: ~(days[name] < 0),
    )


def _plausible_for_the_store(store: str, date: str, name: str, accepted: Sequence[str]) -> Rule:
    """Real data reach 6 times the median of the store; a missing decimal point makes it 100 times larger."""

    def is_valid(days: pd.DataFrame) -> np.ndarray:
        code, amount = pd.factorize(days[store])[0], days[name].to_numpy(dtype=float)
        is_far_above = far_above_median(code, days[date].to_numpy(), amount)
        if len(accepted):
            rows = days[is_far_above]
            is_far_above[is_far_above] = ~row_keys(rows[store], rows[date]).isin(accepted)
        return ~is_far_above

    return Rule(
        f"{name}_plausible_for_the_store",
        f"{name} is over {MAX_TIMES_MEDIAN} times the store's median up to this day",
        "Correct it: a decimal point may be missing, or two days be added up.",
        (name,),
        is_valid,
    )


def far_above_median(store: np.ndarray, date: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Whether an amount is over MAX_TIMES_MEDIAN times the median of its store's positive ones up to this day.

    Neither later rows nor the unit of the amounts can change the answer. The first MIN_MEDIAN_DAYS days of a store
    show no median yet: their amounts are not judged. bool [rows], in any order
    """
    positive = amount > 0
    limit = MAX_TIMES_MEDIAN * (1 + ROUNDING)
    amounts = pd.Series(amount[positive]).groupby(store[positive])
    is_wide = (amounts.max() > limit * amounts.min()).reindex(range(store.max(initial=-1) + 1), fill_value=False)
    rows = np.flatnonzero(positive & (store >= 0) & is_wide.to_numpy()[store])  # no other store can have such a row
    rows = rows[np.lexsort((date[rows], store[rows]))]
    median = pd.Series(amount[rows]).groupby(store[rows]).expanding(MIN_MEDIAN_DAYS).median().to_numpy()
    result = np.zeros(len(amount), dtype=bool)
    result[rows] = amount[rows] > limit * median
    return result


def daily(date: str, store: str | None = None) -> Rule:
    """Sums of weeks or months would look like a chain that opens on one day of them.

    With the column `store`, of each store: they may have other days for it.
    """

    def is_valid(days: pd.DataFrame) -> np.ndarray:
        is_daily = usual_gap_days(_distinct_dates(days[date])) <= 1
        is_weekly = store is not None and _usual_gap_days_of_stores(days, store, date) >= WEEK_DAYS
        return np.full(len(days), is_daily and not is_weekly)

    return Rule(
        "daily",
        "most dates are followed by days on which no store has a row, as in sales by week or month",
        "Export the sales of every day: the forecast is daily.",
        (date,),
        is_valid,
    )


def _usual_gap_days_of_stores(days: pd.DataFrame, store: str, date: str) -> float:
    """The median number of days from a row to the next one of its store; 1 without any."""
    rows = days[[store, date]].dropna().sort_values([store, date])
    gaps = rows.groupby(store)[date].diff().dropna().dt.days
    return float(gaps.median()) if len(gaps) else 1.0


def _distinct_dates(dates: pd.Series) -> np.ndarray:
    """The dates on which any store has a row, in ascending order. datetime64[D]"""
    return np.unique(dates.dropna().to_numpy().astype("datetime64[D]"))


def usual_gap_days(dates: np.ndarray) -> float:
    """The median number of days from a date to the next; 1 for fewer than two dates."""
    return float(np.median(np.diff(dates).astype(int))) if len(dates) > 1 else 1.0


def no_isolated_dates(date: str, gap_days: int = CLOSURE_DAYS) -> Rule:
    """A date with a wrong year is isolated, and would extend the history by years."""

    def is_valid(days: pd.DataFrame) -> np.ndarray:
        day = days[date].to_numpy().astype("datetime64[D]")
        dates, rows, block = _blocks(day, gap_days)
        largest_block = np.bincount(block, rows).argmax() if len(dates) else 0
        return np.isnat(day) | np.isin(day, dates[block == largest_block])

    return Rule(
        "no_isolated_dates",
        f"no store has a row for {gap_days} days or more between these dates and the others",
        "Correct the dates, or add the days between.",
        (date,),
        is_valid,
    )


def no_stray_dates(date: str) -> Rule:
    """A date with a wrong year is of few rows. A chain that was closed opens again with most of its stores."""

    def is_valid(days: pd.DataFrame) -> np.ndarray:
        day = days[date].to_numpy().astype("datetime64[D]")
        dates, rows, block = _blocks(day, CLOSURE_DAYS)
        if not len(dates):
            return np.ones(len(days), dtype=bool)
        usual_rows = np.median(rows[block == np.bincount(block, rows).argmax()])
        most_rows = np.zeros(block[-1] + 1)
        np.maximum.at(most_rows, block, rows)
        return ~np.isin(day, dates[(most_rows < usual_rows / 2)[block]])

    return Rule(
        "no_stray_dates",
        f"few stores have a row on these dates, which are {CLOSURE_DAYS} days or more from all others",
        "Correct the dates.",
        (date,),
        is_valid,
    )


def _blocks(day: np.ndarray, gap_days: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The dates in ascending order, their numbers of rows, and their blocks, which are over `gap_days` days apart.

    All dates are in one block where they are not daily, since `daily` says that better.
    """
    dates, rows = np.unique(day[~np.isnat(day)], return_counts=True)
    is_start = np.diff(dates, prepend=dates[:1]) > gap_days * DAY
    return dates, rows, np.cumsum(is_start & (usual_gap_days(dates) <= 1))
