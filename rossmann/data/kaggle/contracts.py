"""Contracts of Kaggle's files. They use the files' own column names, since a user corrects the files."""

import numpy as np
import pandas as pd

from rossmann.data.kaggle.columns import MONTHS, RAW_ACTUALS, RAW_FLAGS, RAW_KEYS, STORE_FILE, TRAIN_FILE
from rossmann.data.kaggle.reading import RawFiles
from rossmann.schema import CLOSURE_DAYS, DAY, FIRST_DAY, LAST_DAY, MAX_TIMES_MEDIAN
from rossmann.validation import Column, Contract, Rule, StageReport, Violation, check_contracts, find_violations
from rossmann.validation.contract import DATE, NUMBER, TEXT
from rossmann.validation.rules import day_of_week_agrees, flags_are_0_or_1, one_row_per_store_and_day, store_exists

COMPETITION_SINCE = ("CompetitionOpenSinceMonth", "CompetitionOpenSinceYear")
PROMO2_SINCE = ("Promo2SinceWeek", "Promo2SinceYear")
MAX_COMPETITION_DISTANCE_M = 1e6
MIN_COMPETITION_YEAR = 1900  # some shops are old
OPTIONAL = Column(NUMBER, may_be_empty=True)

PLAN = {
    "Store": Column(NUMBER),
    "Date": Column(DATE),
    "DayOfWeek": Column(NUMBER),
    "Open": OPTIONAL,  # the cleaning fills it
    "Promo": Column(NUMBER),
    "StateHoliday": Column(NUMBER),
    "SchoolHoliday": Column(NUMBER),
}
DAYS = PLAN | dict.fromkeys(RAW_ACTUALS, OPTIONAL)  # a row without them is set aside
STORES = {
    "Store": Column(NUMBER),
    "StoreType": Column(NUMBER),
    "Assortment": Column(NUMBER),
    "Promo2": Column(NUMBER),
    **dict.fromkeys(("CompetitionDistance", *COMPETITION_SINCE, *PROMO2_SINCE), OPTIONAL),
    "PromoInterval": Column(TEXT, may_be_empty=True),
}


def check_raw(files: RawFiles) -> StageReport:
    """Check the rows of the raw files. Raises ValidationError with all violations in all files."""
    numbers = files.stores["Store"].dropna().unique()
    unused = ", ".join(files.extra_columns)
    notes = [f"Columns that are not used: {unused}."] if unused else []
    tables = [
        (_days_contract(numbers), files.days),
        (_stores_contract(), files.stores),
        (_plan_contract(numbers), files.plan),
    ]
    return check_contracts("raw data", [(contract, table) for contract, table in tables if len(table)], notes)


def unusable_amounts(days: pd.DataFrame) -> tuple[np.ndarray, tuple[Violation, ...]]:
    """Rows of train.csv whose sales or customers are empty or cannot be right. bool [rows], and why

    These rows are set aside: the day counts as unknown, and the others are used.
    """
    contract = _amounts_contract()
    valid = [rule(days).to_numpy() for rule in contract.rules]
    return ~np.logical_and.reduce(valid), tuple(find_violations(contract, days))


def _days_contract(numbers: np.ndarray) -> Contract:
    rules = (
        _store_has_attributes(numbers),
        _plausible_date(),
        day_of_week_agrees("DayOfWeek", "Date"),
        one_row_per_store_and_day(*RAW_KEYS),
        *flags_are_0_or_1(RAW_FLAGS),
        _daily(),
        _no_isolated_dates(),
    )
    return Contract(TRAIN_FILE, DAYS, rules, RAW_KEYS)


def _amounts_contract() -> Contract:
    rules = (
        *(_not_empty(name) for name in RAW_ACTUALS),
        *(_not_negative(name) for name in RAW_ACTUALS),
        Rule(
            "closed_means_zero_sales",
            "the store is closed, but has sales or customers",
            "Correct Open or the sales.",
            ("Open", *RAW_ACTUALS),
            lambda days: (days["Open"] != 0) | ~((days["Sales"] > 0) | (days["Customers"] > 0)),
        ),
        *(_plausible_for_the_store(name) for name in RAW_ACTUALS),
    )
    return Contract(TRAIN_FILE, {}, rules, RAW_KEYS)


def _plan_contract(numbers: np.ndarray) -> Contract:
    rules = (
        _store_has_attributes(numbers),
        _plausible_date(),
        day_of_week_agrees("DayOfWeek", "Date"),
        one_row_per_store_and_day(*RAW_KEYS, "file"),
        *flags_are_0_or_1(RAW_FLAGS),
    )
    return Contract("published plan", PLAN, rules, RAW_KEYS)


def _stores_contract() -> Contract:
    rules = (
        _whole_store_number(),
        Rule(
            "one_row_per_store",
            "more than one row for the store",
            "Keep one of them.",
            ("Store",),
            lambda stores: ~stores["Store"].duplicated(keep=False) | stores["Store"].isna(),
        ),
        *flags_are_0_or_1(("Promo2",)),
        Rule(
            "competition_distance_plausible",
            "CompetitionDistance is negative or over 1,000 km",
            "Write it in metres, or leave it empty.",
            ("CompetitionDistance",),
            lambda stores: (
                stores["CompetitionDistance"].isna()
                | stores["CompetitionDistance"].between(0, MAX_COMPETITION_DISTANCE_M)
            ),
        ),
        Rule(
            "competition_since_consistent",
            "month and year of the competitor's opening are not a date",
            f"Write both, month 1 to 12 and year from {MIN_COMPETITION_YEAR} on, or neither.",
            COMPETITION_SINCE,
            _is_competition_consistent,
        ),
        Rule(
            "promo2_consistent",
            "Promo2 does not agree with the week, year and months in which it runs",
            "With Promo2 = 1 write week 1 to 53, year, and months like Jan,Apr,Jul,Oct; with 0 leave them empty.",
            ("Promo2", *PROMO2_SINCE, "PromoInterval"),
            _is_promo2_consistent,
        ),
    )
    return Contract(STORE_FILE, STORES, rules, keys=("Store",))


def _is_competition_consistent(stores: pd.DataFrame) -> pd.Series:
    month, year = (stores[name] for name in COMPETITION_SINCE)
    is_date = month.isin(range(1, 13)) & year.isin(range(MIN_COMPETITION_YEAR, LAST_DAY.year + 1))
    return is_date | (month.isna() & year.isna())


def _is_promo2_consistent(stores: pd.DataFrame) -> np.ndarray:
    week, year = (stores[name] for name in PROMO2_SINCE)
    months = stores["PromoInterval"]
    has_months = months.fillna("").map(lambda text: {month.strip() for month in text.split(",")} <= {*MONTHS, "Sept"})
    is_complete = week.isin(range(1, 54)) & year.isin(range(FIRST_DAY.year, LAST_DAY.year + 1)) & has_months
    return np.where(stores["Promo2"] == 1, is_complete, week.isna() & year.isna() & months.isna())


def _store_has_attributes(numbers: np.ndarray) -> Rule:
    problem = f"the store has no attributes in {STORE_FILE}"
    return store_exists("Store", numbers, problem, f"Add the store to {STORE_FILE}, or leave its rows out.")


def _whole_store_number() -> Rule:
    return Rule(
        "whole_store_number",
        "Store is not a whole number from 1 on",
        "Number the stores 1, 2, 3, …",
        ("Store",),
        lambda stores: (
            stores["Store"].isna()
            | ((stores["Store"] >= 1) & (stores["Store"] % 1 == 0) & (stores["Store"] <= np.iinfo(np.int32).max))
        ),
    )


def _plausible_date() -> Rule:
    return Rule(
        "plausible_date",
        f"the date is before {FIRST_DAY.year} or after {LAST_DAY.year}",
        "Correct the year.",
        ("Date",),
        lambda days: days["Date"].isna() | days["Date"].between(pd.Timestamp(FIRST_DAY), pd.Timestamp(LAST_DAY)),
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


def _plausible_for_the_store(name: str) -> Rule:
    """Real data reach 6 times the median of the store; a missing decimal point makes it 100 times larger."""

    def is_valid(days: pd.DataFrame) -> pd.Series:
        with_sales = days.loc[days[name] > 0]
        median = with_sales.groupby("Store")[name].median()
        return ~(days[name] > MAX_TIMES_MEDIAN * days["Store"].map(median))

    return Rule(
        f"{name}_plausible_for_the_store",
        f"{name} is over {MAX_TIMES_MEDIAN} times the store's median",
        "Correct it: a decimal point may be missing, or two days be added up.",
        (name,),
        is_valid,
    )


def _daily() -> Rule:
    """Sums of weeks or months would look like a chain that opens on one day of them."""
    return Rule(
        "daily",
        "most dates are followed by days on which no store has a row, as in sales by week or month",
        "Export the sales of every day: the forecast is daily.",
        ("Date",),
        lambda days: np.full(len(days), _usual_gap_days(_distinct_dates(days)) <= 1),
    )


def _distinct_dates(days: pd.DataFrame) -> np.ndarray:
    """The dates on which any store has a row, in ascending order. datetime64[D]"""
    return np.unique(days["Date"].dropna().to_numpy().astype("datetime64[D]"))


def _usual_gap_days(dates: np.ndarray) -> float:
    """The median number of days from a date to the next; 1 for fewer than two dates."""
    return float(np.median(np.diff(dates).astype(int))) if len(dates) > 1 else 1.0


def _no_isolated_dates() -> Rule:
    """A date with a wrong year is isolated, and would extend the history by years."""

    def is_valid(days: pd.DataFrame) -> np.ndarray:
        day = days["Date"].to_numpy().astype("datetime64[D]")
        dates = _distinct_dates(days)
        if _usual_gap_days(dates) > 1:  # `_daily` says it better
            return np.ones(len(days), dtype=bool)
        block_starts = dates[np.flatnonzero(np.diff(dates) > CLOSURE_DAYS * DAY) + 1]
        block = np.searchsorted(block_starts, day, side="right")
        largest_block = np.bincount(block[~np.isnat(day)]).argmax() if len(dates) else 0
        return np.isnat(day) | (block == largest_block)

    return Rule(
        "no_isolated_dates",
        f"no store has a row for {CLOSURE_DAYS} days or more between these dates and the others",
        "Correct the dates, or add the days between.",
        ("Date",),
        is_valid,
    )
