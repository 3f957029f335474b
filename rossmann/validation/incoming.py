"""Contracts of what comes in: Kaggle's train.csv, store.csv, test.csv, and a caller's plan."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rossmann.validation.contract import DAY, NUMBER, TEXT, Column, Contract, Rule, report
from rossmann.validation.report import StageReport
from rossmann.validation.words import (
    CLOSURE_DAYS,
    FIRST_DAY,
    LAST_DAY,
    MAX_AMOUNT,
    MAX_TIMES_USUAL,
    MONTHS,
)

FLAGS = ("Open", "Promo", "SchoolHoliday")
COMPETITION = ("CompetitionOpenSinceMonth", "CompetitionOpenSinceYear")
PROMO2 = ("Promo2SinceWeek", "Promo2SinceYear", "PromoInterval")

DAY_COLUMNS = {
    "Store": Column(NUMBER),
    "Date": Column(DAY),
    "DayOfWeek": Column(NUMBER),
    "Open": Column(NUMBER, may_be_empty=True),  # repaired
    "Promo": Column(NUMBER),
    "StateHoliday": Column(NUMBER),
    "SchoolHoliday": Column(NUMBER),
}
STORE_COLUMNS = {
    "Store": Column(NUMBER),
    "StoreType": Column(NUMBER),
    "Assortment": Column(NUMBER),
    "Promo2": Column(NUMBER),
    "CompetitionDistance": Column(NUMBER, may_be_empty=True),
    **{name: Column(NUMBER, may_be_empty=True) for name in (*COMPETITION, *PROMO2[:2])},
    "PromoInterval": Column(TEXT, may_be_empty=True),
}


def check_raw(
    days: pd.DataFrame, stores: pd.DataFrame, plan: pd.DataFrame, extra_columns: Sequence[str] = ()
) -> StageReport:
    """Check what the raw files say; raises ValidationError with everything that is wrong in them."""
    known = stores["Store"].dropna().unique()
    notes = [f"Columns that are not used: {', '.join(extra_columns)}."] if extra_columns else []
    frames = [(_days(known), days), (_stores(), stores), (_published_plan(known), plan)]
    return report("raw data", [(contract, frame) for contract, frame in frames if len(frame)], notes)


def check_plan(plan: pd.DataFrame, stores: np.ndarray, origin: np.datetime64, last_day: np.datetime64) -> StageReport:
    """Check a caller's plan of days after `origin`, up to `last_day`, for `stores` with a history."""
    flags = {name: Column(NUMBER, may_be_empty=True) for name in ("Open", "Promo", "StateHoliday", "SchoolHoliday")}
    columns = {"Store": Column(NUMBER), "Date": Column(DAY)} | {n: c for n, c in flags.items() if n in plan}
    rules = [
        _known_store(stores, "has no history", "Plan only for stores that the snapshot knows."),
        *_flags([name for name in FLAGS if name in plan]),
        _one_row_per_store_and_day(["Store", "Date"]),
        _after_origin(plan, origin),
        _within_horizon(plan, origin, last_day),
    ]
    if "DayOfWeek" in plan:
        rules.append(_weekday())
    return report("plan", [(Contract("plan", columns, tuple(rules)), plan)])


def _days(known: np.ndarray) -> Contract:
    return Contract(
        "train.csv",
        DAY_COLUMNS | {"Sales": Column(NUMBER), "Customers": Column(NUMBER)},
        (
            _known_store(known, "has no attributes in store.csv", "Add the store to store.csv, or leave its rows out."),
            _plausible_date(),
            _weekday(),
            _one_row_per_store_and_day(["Store", "Date"]),
            *_flags(FLAGS),
            *(_not_negative(name) for name in ("Sales", "Customers")),
            *(_not_absurd(name) for name in ("Sales", "Customers")),
            Rule(
                "closed_means_zero_sales",
                "closed, yet with sales or customers",
                "Correct Open or the sales.",
                ("Open", "Sales", "Customers"),
                lambda d: (d["Open"] != 0) | ~((d["Sales"] > 0) | (d["Customers"] > 0)),
            ),
            *(_usual_for_the_store(name) for name in ("Sales", "Customers")),
            _no_lonely_dates(),
        ),
    )


def _published_plan(known: np.ndarray) -> Contract:
    return Contract(
        "published plan",
        DAY_COLUMNS,
        (
            _known_store(known, "has no attributes in store.csv", "Add the store to store.csv, or leave its rows out."),
            _plausible_date(),
            _weekday(),
            _one_row_per_store_and_day(["Store", "Date", "file"]),
            *_flags(FLAGS),
        ),
    )


def _stores() -> Contract:
    since = ("Store", *COMPETITION)
    promo2 = ("Store", "Promo2", *PROMO2)
    return Contract(
        "store.csv",
        STORE_COLUMNS,
        (
            _whole_store_number(),
            Rule(
                "one_row_per_store",
                "more than one row for the store",
                "Keep one of them.",
                ("Store",),
                lambda s: ~s["Store"].duplicated(keep=False) | s["Store"].isna(),
            ),
            *_flags(("Promo2",)),
            Rule(
                "competition_distance_plausible",
                "CompetitionDistance is negative or beyond 1,000 km",
                "Give it in metres, or leave it empty.",
                ("CompetitionDistance",),
                lambda s: s["CompetitionDistance"].isna() | s["CompetitionDistance"].between(0, 1e6),
            ),
            Rule(
                "competition_since_consistent",
                "month and year of the competitor's opening do not make a date",
                "Give both, month 1 to 12 and year from 1900 on, or neither.",
                since,
                _competition_consistent,
            ),
            Rule(
                "promo2_consistent",
                "Promo2 and the week, year and months it runs in do not agree",
                "With Promo2 = 1 give week 1 to 53, year, and months like Jan,Apr,Jul,Oct; with 0 leave them empty.",
                promo2,
                _promo2_consistent,
            ),
        ),
        keys=("Store",),
    )


def _competition_consistent(stores: pd.DataFrame) -> pd.Series:
    month, year = (stores[name] for name in COMPETITION)
    dated = month.isin(range(1, 13)) & year.isin(range(1900, LAST_DAY.year + 1))
    return dated | (month.isna() & year.isna())


def _promo2_consistent(stores: pd.DataFrame) -> pd.Series:
    week, year, months = (stores[name] for name in PROMO2)
    listed = months.fillna("").map(lambda text: {month.strip() for month in text.split(",")} <= {*MONTHS, "Sept"})
    running = week.isin(range(1, 54)) & year.isin(range(FIRST_DAY.year, LAST_DAY.year + 1)) & listed
    return np.where(stores["Promo2"] == 1, running, week.isna() & year.isna() & months.isna())


def _known_store(known: np.ndarray, problem: str, mend: str) -> Rule:
    return Rule(
        "known_store", f"the store {problem}", mend, ("Store",), lambda d: d["Store"].isin(known) | d["Store"].isna()
    )


def _whole_store_number() -> Rule:
    return Rule(
        "whole_store_number",
        "Store is not a whole number from 1 on",
        "Number the stores 1, 2, 3, …",
        ("Store",),
        lambda s: s["Store"].isna() | ((s["Store"] >= 1) & (s["Store"] % 1 == 0) & (s["Store"] < 2**31)),
    )


def _plausible_date() -> Rule:
    return Rule(
        "plausible_date",
        f"the date is before {FIRST_DAY.year} or after {LAST_DAY.year}",
        "Correct the year.",
        ("Date",),
        lambda d: d["Date"].isna() | d["Date"].between(pd.Timestamp(FIRST_DAY), pd.Timestamp(LAST_DAY)),
    )


def _weekday() -> Rule:
    return Rule(
        "day_of_week_agrees",
        "DayOfWeek is not the weekday of the date (1 Monday … 7 Sunday)",
        "Correct the one or the other.",
        ("DayOfWeek",),
        lambda d: (d["DayOfWeek"] == d["Date"].dt.dayofweek + 1) | d["Date"].isna() | d["DayOfWeek"].isna(),
    )


def _one_row_per_store_and_day(keys: list[str]) -> Rule:
    return Rule(
        "one_row_per_store_and_day",
        "more than one row for the same store and day",
        "Keep one of them.",
        tuple(keys[:2]),
        lambda d: ~d[keys].duplicated(keep=False) | d["Store"].isna() | d["Date"].isna(),
    )


def _flags(names: Sequence[str]) -> list[Rule]:
    return [
        Rule(
            f"{name}_is_0_or_1",
            f"{name} is neither 0 nor 1",
            "Write 0 or 1.",
            (name,),
            lambda d, name=name: d[name].isna() | (d[name] == 0) | (d[name] == 1),
        )
        for name in names
    ]


def _not_negative(name: str) -> Rule:
    return Rule(
        f"{name}_not_negative",
        f"{name} is negative",
        "Correct it; returns belong to the day they were sold on.",
        (name,),
        lambda d: ~(d[name] < 0),
    )


def _not_absurd(name: str) -> Rule:
    return Rule(
        f"{name}_not_absurd",
        f"{name} is over {MAX_AMOUNT:,} in one day",
        "Correct it.",
        (name,),
        lambda d: ~(d[name] > MAX_AMOUNT),
    )


def _usual_for_the_store(name: str) -> Rule:
    """The real data reach 6 times the store's median; a lost decimal point makes 100."""

    def right(days: pd.DataFrame) -> pd.Series:
        sold = days.loc[days[name] > 0]
        usual = sold.groupby("Store")[name].median()
        return ~(days[name] > MAX_TIMES_USUAL * days["Store"].map(usual))

    return Rule(
        f"{name}_usual_for_the_store",
        f"{name} is over {MAX_TIMES_USUAL} times the store's median",
        "Correct it: a decimal point may be lost, or two days be summed up.",
        (name,),
        right,
    )


def _no_lonely_dates() -> Rule:
    """A mistyped year stands alone, and would stretch the history by decades."""

    def right(days: pd.DataFrame) -> np.ndarray:
        day = days["Date"].to_numpy().astype("datetime64[D]")
        filled = np.unique(day[~np.isnat(day)])
        starts = filled[np.flatnonzero(np.diff(filled) > np.timedelta64(CLOSURE_DAYS, "D")) + 1]
        block = np.searchsorted(starts, day, side="right")
        main = np.bincount(block[~np.isnat(day)]).argmax() if len(filled) else 0
        return np.isnat(day) | (block == main)

    return Rule(
        "dates_in_one_piece",
        f"no store has a row for {CLOSURE_DAYS} days or more between these dates and the others",
        "Correct the dates, or add the days between.",
        ("Date",),
        right,
    )


def _after_origin(plan: pd.DataFrame, origin: np.datetime64) -> Rule:
    early = plan[plan["Date"].to_numpy() <= origin].sort_values("Date", kind="stable")
    problem = "the day is past"
    if len(early):
        store, day = early["Store"].iloc[0], early["Date"].iloc[0]
        known = "then" if day == pd.Timestamp(origin) else str(origin)
        problem = f"plan for store {store:.0f} starts on {day:%Y-%m-%d}, but sales are known until {known}"
    return Rule(
        "after_the_origin", problem, f"Plan from {origin + 1}.", ("Date",), lambda p: ~(p["Date"].to_numpy() <= origin)
    )


def _within_horizon(plan: pd.DataFrame, origin: np.datetime64, last_day: np.datetime64) -> Rule:
    days = int((last_day - origin).astype(int))
    return Rule(
        "within_the_horizon",
        f"the day lies more than {days} days after {origin}, the last day with known sales",
        f"Plan up to {last_day}, or ingest newer sales first.",
        ("Date",),
        lambda p: ~(p["Date"].to_numpy() > last_day),
    )
