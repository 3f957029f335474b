"""Rules for the rows of days in raw files, whatever their columns are called."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rossmann.schema import CLOSURE_DAYS, DAY, FIRST_DAY, LAST_DAY, MAX_TIMES_MEDIAN
from rossmann.validation import Contract, Rule, Violation, find_violations


def unusable_rows(contract: Contract, days: pd.DataFrame) -> tuple[np.ndarray, tuple[Violation, ...]]:
    """Which rows fail a rule of the contract. bool [rows], and why"""
    valid = [np.asarray(rule.is_valid(days)) for rule in contract.rules]
    return ~np.logical_and.reduce(valid), tuple(find_violations(contract, days))


def amount_rules(store: str, is_open: str | None, amounts: Sequence[str]) -> tuple[Rule, ...]:
    """Rules for sales and customers, the columns `amounts`; rows that fail one are set aside."""
    closed = (_closed_means_zero(is_open, amounts),) if is_open else ()
    return (
        *(_not_empty(name) for name in amounts),
        *(_not_negative(name) for name in amounts),
        *closed,
        *(_plausible_for_the_store(store, name) for name in amounts),
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


def _not_empty(name: str) -> Rule:
    return Rule(f"{name}_not_empty", f"{name} is empty", "Fill the cells in.", (name,), lambda days: days[name].notna())


def _not_negative(name: str) -> Rule:
    return Rule(
        f"{name}_not_negative",
        f"{name} is negative",
        "Correct it; book returns on the day of the original sale.",
        (name,),
        lambda days: ~(days[name] < 0),
    )


def _plausible_for_the_store(store: str, name: str) -> Rule:
    """Real data reach 6 times the median of the store; a missing decimal point makes it 100 times larger."""

    def is_valid(days: pd.DataFrame) -> pd.Series:
        with_sales = days.loc[days[name] > 0]
        median = with_sales.groupby(store)[name].median()
        return ~(days[name] > MAX_TIMES_MEDIAN * days[store].map(median))

    return Rule(
        f"{name}_plausible_for_the_store",
        f"{name} is over {MAX_TIMES_MEDIAN} times the store's median",
        "Correct it: a decimal point may be missing, or two days be added up.",
        (name,),
        is_valid,
    )


def daily(date: str) -> Rule:
    """Sums of weeks or months would look like a chain that opens on one day of them."""
    return Rule(
        "daily",
        "most dates are followed by days on which no store has a row, as in sales by week or month",
        "Export the sales of every day: the forecast is daily.",
        (date,),
        lambda days: np.full(len(days), _usual_gap_days(_distinct_dates(days[date])) <= 1),
    )


def _distinct_dates(dates: pd.Series) -> np.ndarray:
    """The dates on which any store has a row, in ascending order. datetime64[D]"""
    return np.unique(dates.dropna().to_numpy().astype("datetime64[D]"))


def _usual_gap_days(dates: np.ndarray) -> float:
    """The median number of days from a date to the next; 1 for fewer than two dates."""
    return float(np.median(np.diff(dates).astype(int))) if len(dates) > 1 else 1.0


def no_isolated_dates(date: str) -> Rule:
    """A date with a wrong year is isolated, and would extend the history by years."""

    def is_valid(days: pd.DataFrame) -> np.ndarray:
        day = days[date].to_numpy().astype("datetime64[D]")
        dates = _distinct_dates(days[date])
        if _usual_gap_days(dates) > 1:  # `daily` says it better
            return np.ones(len(days), dtype=bool)
        block_starts = dates[np.flatnonzero(np.diff(dates) > CLOSURE_DAYS * DAY) + 1]
        block = np.searchsorted(block_starts, day, side="right")
        largest_block = np.bincount(block[~np.isnat(day)]).argmax() if len(dates) else 0
        return np.isnat(day) | (block == largest_block)

    return Rule(
        "no_isolated_dates",
        f"no store has a row for {CLOSURE_DAYS} days or more between these dates and the others",
        "Correct the dates, or add the days between.",
        (date,),
        is_valid,
    )
