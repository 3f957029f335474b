"""Contracts of what we make ourselves: clean days, features, forecasts."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from rossmann.validation.contract import DAY, NUMBER, Column, Contract, Rule, report
from rossmann.validation.report import Repair, StageReport
from rossmann.validation.words import CLOSURE_DAYS, STATE_HOLIDAYS

CALENDAR = ("Open", "Promo", "StateHoliday", "SchoolHoliday")
KEY = {"Store": Column("int32"), "Date": Column(DAY)}
SORTED_KEY = Rule(
    "one_row_per_store_and_day",
    "the store and day are there twice, or out of order",
    "This is a fault of the cleaning: please report it.",
    ("Store", "Date"),
    lambda d: (d["Store"].diff().fillna(1) > 0) | (d["Date"].diff() > pd.Timedelta(0)),
)
CODES = Rule(
    "codes_known",
    "a flag or holiday code is none",
    "This is a fault of the cleaning: please report it.",
    CALENDAR,
    lambda d: (
        d[["Open", "Promo", "SchoolHoliday"]].isin((0, 1)).all(axis=1)
        & d["StateHoliday"].between(0, len(STATE_HOLIDAYS) - 1)
    ),
)
CLEAN_DAYS = (
    SORTED_KEY,
    CODES,
    Rule(
        "closed_means_zero_sales",
        "closed, yet with sales or customers",
        "Correct Open or the sales.",
        ("Open", "Sales", "Customers"),
        lambda d: (d["Open"] == 1) | ((d["Sales"] == 0) & (d["Customers"] == 0)),
    ),
    Rule(
        "amounts_finite_and_not_negative",
        "sales or customers are negative or no number",
        "Correct them.",
        ("Sales", "Customers"),
        lambda d: np.isfinite(d["Sales"]) & np.isfinite(d["Customers"]) & (d["Sales"] >= 0) & (d["Customers"] >= 0),
    ),
    Rule(
        "no_gap_in_a_store's_life",
        f"rows are missing before this day (fewer than {CLOSURE_DAYS}, so it is no whole closure, and not all of"
        " them can have been closed days)",
        "Add the missing days to train.csv; days on which the store was closed need Open = 0 and Sales = 0.",
        ("days_missing",),
        lambda d: ~d["days_missing"].between(1, CLOSURE_DAYS - 1),
    ),
)


def check_clean(
    days: pd.DataFrame, plan: pd.DataFrame, as_of: date | None = None, repairs: Sequence[Repair] = ()
) -> StageReport:
    """Check the cleaned days and the plan after them, both by store, then date; `repairs` go into the report."""
    same_store = days["Store"].diff() == 0
    missing = (days["Date"].diff().dt.days - 1).where(same_store, 0)
    columns = KEY | {name: Column("int8") for name in CALENDAR}
    amounts = {"Sales": Column(NUMBER), "Customers": Column(NUMBER)}
    clean = Contract("clean days", columns | amounts, (*CLEAN_DAYS, *([_not_after(as_of)] if as_of else [])))
    to_come = Contract("published plan", columns, (SORTED_KEY, CODES))
    done = report("cleaned data", [(clean, days.assign(days_missing=missing)), (to_come, plan)])
    return StageReport(done.stage, done.checks, tuple(repairs), _ended(days))


def check_features(matrix: np.ndarray, columns: Sequence[str], never_unknown: Sequence[str] = ()) -> StageReport:
    """Check a feature matrix: nothing infinite, and no NaN ("unknown" to the trees) in the columns of `never_unknown`.

    The report notes how many cells are unknown, and in which columns every one is.
    """
    frame = pd.DataFrame(matrix, columns=list(columns))
    kinds = {name: Column(str(frame[name].dtype), may_be_empty=name not in never_unknown) for name in columns}
    unknown = frame.isna()
    never_known = [name for name in columns if unknown[name].all()]
    notes = [f"{len(frame):,} rows of {len(columns)} features; {unknown.to_numpy().mean():.1%} of the cells unknown."]
    if never_known:
        notes.append(f"Unknown in every row: {', '.join(never_known)}.")
    return report("features", [(Contract("features", kinds, (_nothing_infinite(frame),), keys=()), frame)], notes)


def check_forecast(forecast: pd.DataFrame, opened: np.ndarray) -> StageReport:
    """Check a forecast (Store, Date, Sales, Lower, Upper), row for row with whether the store is `opened`."""
    amounts = {name: Column(NUMBER) for name in ("Sales", "Lower", "Upper")}
    rules = (
        Rule(
            "finite_and_not_negative",
            "a forecast is negative or infinite",
            "This is a fault of the model: roll it back (rossmann models rollback).",
            tuple(amounts),
            lambda f: (np.isfinite(f[list(amounts)]) & (f[list(amounts)] >= 0)).all(axis=1),
        ),
        Rule(
            "lower_sales_upper_in_order",
            "not Lower ≤ Sales ≤ Upper",
            "This is a fault of the model's intervals: train again.",
            tuple(amounts),
            lambda f: (f["Lower"] <= f["Sales"]) & (f["Sales"] <= f["Upper"]),
        ),
        Rule(
            "closed_days_are_zero",
            "closed, yet with a forecast",
            "This is a fault of the model: roll it back (rossmann models rollback).",
            ("Sales",),
            lambda f: f["opened"].astype(bool) | (f["Sales"] == 0),
        ),
        Rule(
            "one_row_per_store_and_day",
            "more than one row for the same store and day",
            "Plan each day once.",
            (),
            lambda f: ~f[["Store", "Date"]].duplicated(keep=False),
        ),
    )
    contract = Contract("forecast", KEY | amounts, rules)
    return report("forecast", [(contract, forecast.assign(opened=opened))])


def _ended(days: pd.DataFrame) -> tuple[str, ...]:
    """A store may close for good, or its rows be late: no mistake, but worth a look."""
    last = days.groupby("Store")["Date"].max()
    ended = last.index[last < last.max()]
    if not len(ended):
        return ()
    first = ", ".join(str(store) for store in ended[:10]) + (", …" if len(ended) > 10 else "")
    return (f"{len(ended):,} of {len(last):,} stores have no row on the last day, {last.max().date()}: {first}.",)


def _nothing_infinite(frame: pd.DataFrame) -> Rule:
    infinite = np.isinf(frame.to_numpy())
    columns = tuple(frame.columns[infinite.any(axis=0)])
    return Rule(
        "nothing_infinite",
        f"infinite: {', '.join(columns)}",
        "This is a fault of the features: please report it.",
        columns,
        lambda _: ~infinite.any(axis=1),
    )


def _not_after(as_of: date) -> Rule:
    return Rule(
        "no_sales_after_as_of",
        f"sales of a day after {as_of}",
        "This is a fault of the reading: please report it.",
        ("Sales",),
        lambda d: d["Date"] <= pd.Timestamp(as_of),
    )
