"""Contracts of Kaggle's files. They use the files' own column names, since a user corrects the files."""

import numpy as np
import pandas as pd

from rossmann.data.day_rules import amount_rules, daily, no_isolated_dates, plausible_date, unusable_rows
from rossmann.data.kaggle.columns import MONTHS, RAW_ACTUALS, RAW_FLAGS, RAW_KEYS, STORE_FILE, TRAIN_FILE
from rossmann.data.kaggle.reading import RawFiles
from rossmann.schema import FIRST_DAY, LAST_DAY
from rossmann.validation import Column, Contract, Rule, StageReport, Violation, check_contracts
from rossmann.validation.contract import DATE, NUMBER, TEXT
from rossmann.validation.rules import (
    day_of_week_agrees,
    flags_are_0_or_1,
    one_row_per,
    one_row_per_store_and_day,
    store_exists,
)

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
    return unusable_rows(_amounts_contract(), days)


def _days_contract(numbers: np.ndarray) -> Contract:
    rules = (
        _store_has_attributes(numbers),
        plausible_date("Date"),
        day_of_week_agrees("DayOfWeek", "Date"),
        one_row_per_store_and_day(*RAW_KEYS),
        *flags_are_0_or_1(RAW_FLAGS),
        daily("Date"),
        no_isolated_dates("Date"),
    )
    return Contract(TRAIN_FILE, DAYS, rules, RAW_KEYS)


def _amounts_contract() -> Contract:
    return Contract(TRAIN_FILE, {}, amount_rules("Store", "Date", "Open", RAW_ACTUALS), RAW_KEYS)


def _plan_contract(numbers: np.ndarray) -> Contract:
    rules = (
        _store_has_attributes(numbers),
        plausible_date("Date"),
        day_of_week_agrees("DayOfWeek", "Date"),
        one_row_per_store_and_day(*RAW_KEYS, "file"),
        *flags_are_0_or_1(RAW_FLAGS),
    )
    return Contract("published plan", PLAN, rules, RAW_KEYS)


def _stores_contract() -> Contract:
    rules = (
        _whole_store_number(),
        one_row_per("Store", "store"),
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
